"""Floor 0: the words everything else is written in.

Frozen values and registries without behaviour of their own beyond algebra. Imports nothing but the
standard library. Start at `proposal.py`, `selector.py` and `identity.py`.
"""
