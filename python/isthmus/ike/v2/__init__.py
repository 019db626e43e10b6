"""IKEv2 (RFC 7296): one exchange, both roles, one file under `exchanges/`.

Start at `dialect.py` (what a message does to an IKE SA), then `states.py` and `keys.py`.
"""
