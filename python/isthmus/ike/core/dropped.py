"""A datagram that is not believed."""


class Dropped(Exception):
    """A datagram that changes nothing; the text is the counter's name."""
