"""What a datagram on UDP port 4500 is (RFC 3948 §2)."""

from enum import Enum

from isthmus.wire.header import HEADER_SIZE

NON_ESP_MARKER = bytes(4)
"""Stands before IKE messages on port 4500, where an ESP packet has its SPI."""
KEEPALIVE = b"\xff"
ESP_HEADER_SIZE = 8
"""SPI and sequence number, in octets."""


class DatagramKind(Enum):
    """Who a datagram on port 4500 is for."""

    IKE = "ike"
    """The marker and at least an IKE header behind it."""
    ESP = "esp"
    KEEPALIVE = "keepalive"
    JUNK = "junk"
    """Too short to be any of them: drop and count."""


def classify(octets: bytes) -> DatagramKind:
    """Tell IKE, ESP and NAT keepalives apart. Takes any octets; looks at the first four."""
    if octets == KEEPALIVE:
        return DatagramKind.KEEPALIVE
    if octets[:4] == NON_ESP_MARKER:
        whole = len(octets) >= len(NON_ESP_MARKER) + HEADER_SIZE
        return DatagramKind.IKE if whole else DatagramKind.JUNK
    return DatagramKind.ESP if len(octets) >= ESP_HEADER_SIZE else DatagramKind.JUNK


def marked(message: bytes) -> bytes:
    """An IKE message as it goes out of port 4500."""
    return NON_ESP_MARKER + message


def unmarked(datagram: bytes) -> bytes:
    """The IKE message behind the marker of a datagram that `classify` calls IKE."""
    return datagram[len(NON_ESP_MARKER) :]
