"""One suite, every data plane."""
