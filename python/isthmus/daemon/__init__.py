"""`isthmusd`: a supervisor with two children, the data plane and the IKE process.

Start at `main.py` (the command), `supervisor.py` (who starts whom), and `host.py` (the event loop
around the one engine). `perform.py` carries effects out; `link.py` tells the order of start-up.
"""
