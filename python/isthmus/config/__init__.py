"""Floor 3: text that a user wrote becomes `policy` values, or a list of errors with positions.

Main names: `load.load` (a file, its `conf.d` and its secrets), `load.compile_sources` (the same
without the disk), `errors.ConfigErrors`, `explain.explain_defaults`. The way of a line: `syntax`
(positions) -> `fields` and `schema` (types) -> `compile` (defaults, policy values). Start at
`load.py`.
"""
