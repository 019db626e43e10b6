"""Unit tests of isthmus.backends."""
