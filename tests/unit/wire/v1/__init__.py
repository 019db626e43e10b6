"""IKEv1 messages."""
