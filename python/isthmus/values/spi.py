"""Security parameter indexes: eight octets for IKE SAs, a 32-bit number for ESP."""

from typing import NewType

IkeSpi = NewType("IkeSpi", bytes)
"""Eight octets (RFC 7296 §2.6)."""

Spi = NewType("Spi", int)
"""An ESP SPI, 256 to 2**32 - 1; lower values are reserved (RFC 4303 §2.1)."""

NO_IKE_SPI = IkeSpi(bytes(8))
IKE_SPI_SIZE = 8
ESP_SPI_SIZE = 4
FIRST_SPI = 256


def spi_octets(spi: Spi) -> bytes:
    """The four octets of an ESP SPI as they stand in payloads."""
    return int(spi).to_bytes(ESP_SPI_SIZE, "big")


def spi_from(octets: bytes) -> Spi:
    """The ESP SPI that four octets hold."""
    return Spi(int.from_bytes(octets, "big"))


def spi_text(spi: Spi) -> str:
    """How users read an SPI: 0x and eight hexadecimal digits."""
    return f"0x{int(spi):08x}"
