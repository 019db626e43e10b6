"""Tests of floor 1, `crypto`."""
