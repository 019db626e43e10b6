"""Floor 1: algorithms behind their registry names; nothing about IKE's messages.

Imports `values`, the `cryptography` package and the private native module. Start at `suite.py`
(ciphers), `prf.py` (keys) and `agreement.py` (Diffie-Hellman).
"""
