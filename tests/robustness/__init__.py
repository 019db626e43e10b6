"""What strangers and hostile peers may do to us: mutation, omission, forgery, leaks, reflection."""
