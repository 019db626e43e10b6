"""The one place where secret octets are compared (SECURITY class S-30)."""

import hmac

from isthmus.values.secret import Secret


def same(a: bytes | Secret, b: bytes | Secret) -> bool:
    """True for equal octets, in a time that tells at most their lengths."""
    return hmac.compare_digest(_octets(a), _octets(b))


def _octets(value: bytes | Secret) -> bytes:
    return value.reveal() if isinstance(value, Secret) else value
