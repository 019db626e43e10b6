"""Floor 2: the secrets that authentication asks for, and where they come from.

Main names: `store.Credentials` (the questions the core may ask), `reference` (how a configuration
names a secret), `load` (the one file of floors 0-3 that reads the disk), `psk` (what makes a good
pre-shared key). Start at `store.py`.
"""
