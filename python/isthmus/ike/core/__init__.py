"""The vocabulary in and out of the protocol, shared by IKE versions.

Start at `events.py` (what may happen) and `effects.py` (what the host must do about it).
"""
