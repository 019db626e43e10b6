"""Endpoints (address and UDP port) and the two ports of IKE."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

IpAddress = IPv4Address | IPv6Address

IKE_PORT = 500
"""RFC 7296 §2."""
NAT_T_PORT = 4500
"""IKE and ESP in UDP with the non-ESP marker (RFC 3948)."""


_READ_MAX = 1024
"""Addresses whose text has been read last are known by it: each datagram asks several times."""
_read = lru_cache(_READ_MAX)(ip_address)


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An address in text form and a UDP port. Unspecified address: the kernel chooses."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else self.endpoint_v4()

    def endpoint_v4(self) -> str:
        """`address:port` without brackets."""
        return f"{self.address}:{self.port}"

    @property
    def ip(self) -> IpAddress:
        """The address as a value. Raises ValueError if the text is none."""
        return _read(self.address)

    @property
    def is_unspecified(self) -> bool:
        """True for 0.0.0.0 and ::, where the kernel chooses the address."""
        return self.ip.is_unspecified
