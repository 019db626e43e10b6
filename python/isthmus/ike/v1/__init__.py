"""IKEv1 (RFC 2407, 2408, 2409): one exchange, both roles, one file under `exchanges/`.

Start at `dialect.py` (what a message does to an IKE SA), then `keys.py` and `protect.py`.
"""
