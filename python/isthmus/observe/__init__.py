"""Renderings of happenings: log lines, the journal of recent events, the catalogue of findings.

Start at `recorder.py`, the one door that a daemon hands happenings to.
"""
