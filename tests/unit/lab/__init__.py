"""The lab's rooms that need no namespaces."""
