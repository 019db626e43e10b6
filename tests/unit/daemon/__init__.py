"""Unit tests of isthmus.daemon."""
