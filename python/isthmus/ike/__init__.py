"""Floor 3: the IKE protocol, sans I/O. Takes events and the time, returns effects.

Main names: `engine.IkeEngine`, `core.events`, `core.effects`. Start at `engine.py`.
"""
