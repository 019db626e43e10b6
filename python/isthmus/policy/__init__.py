"""Floor 2: decisions that need no protocol state.

Main names: `connection.Connection` (what a tunnel is), `negotiate` (pick a proposal, narrow
selectors), `select` (which tunnel fits a peer). Start at `connection.py`.
"""
