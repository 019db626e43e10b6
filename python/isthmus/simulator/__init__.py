"""Real engines in a virtual world: seeded networks, NAT boxes that forget, invariants, replay.

A world is its seed. Start reading at `world.py`; `scenario.py` draws worlds, `checks.py` says what
must hold in each of them, `run.py` is what `make sim` calls.
"""
