"""Prove and check identities. Told which octets to sign; never builds them."""
