"""The one way into a running daemon: typed requests and replies as JSON lines on a Unix socket.

Start at `api.py` (what may be said) and `control.py` (what the daemon must offer to `service.py`).
The CLI and scripts use `client.py`. Documented for users in docs/commands.md.
"""
