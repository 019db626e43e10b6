"""One file for each exchange, both roles."""
