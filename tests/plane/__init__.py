"""A real plane in network namespaces, driven through its control socket."""
