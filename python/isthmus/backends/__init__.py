"""Where packets are really handled: data planes behind one interface, and the network's set-up.

Start at `interface.py` (what every data plane can do). `userspace.py` talks to the plane process
in the frames of `frames.py`; `simulated.py` is a plane for tests; `network.py` brings interfaces,
routes and rules of the machine to a desired state.
"""
