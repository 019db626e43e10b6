"""Isthmus: an IPsec VPN that explains itself. Start at ARCHITECTURE.md."""

__version__ = "0.1.0"
