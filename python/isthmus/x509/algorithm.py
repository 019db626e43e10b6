"""AlgorithmIdentifiers of signatures in certificates, CRLs and OCSP answers (RFC 4055, 5758, 8410).

They are compared octet by octet: there is one DER form for each scheme, two for RSA with PKCS #1
(RFC 4055 §5 wants NULL and has implementations accept its absence). What stands in no row is no
algorithm of this product: MD5, SHA-1 with PSS, PSS with another salt or mask, DSA.
"""

from isthmus.values.signature import Scheme

_PKCS1 = {
    5: Scheme.RSA_PKCS1_SHA1,
    11: Scheme.RSA_PKCS1_SHA256,
    12: Scheme.RSA_PKCS1_SHA384,
    13: Scheme.RSA_PKCS1_SHA512,
}
_ECDSA = {
    "2a8648ce3d0401": Scheme.ECDSA_SHA1,
    "2a8648ce3d040302": Scheme.ECDSA_SHA256,
    "2a8648ce3d040303": Scheme.ECDSA_SHA384,
    "2a8648ce3d040304": Scheme.ECDSA_SHA512,
}
_EDWARDS = {"2b6570": Scheme.ED25519, "2b6571": Scheme.ED448}
_SHA2 = {1: Scheme.RSA_PSS_SHA256, 2: Scheme.RSA_PSS_SHA384, 3: Scheme.RSA_PSS_SHA512}
_SALT = {1: 32, 2: 48, 3: 64}


def _sequence(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((0x30, len(body))) + body


def _oid(content: str) -> bytes:
    body = bytes.fromhex(content)
    return bytes((0x06, len(body))) + body


def _explicit(number: int, body: bytes) -> bytes:
    return bytes((0xA0 | number, len(body))) + body


def _table() -> dict[bytes, Scheme]:
    table: dict[bytes, Scheme] = {}
    null = b"\x05\x00"
    for last, scheme in _PKCS1.items():
        oid = _oid(f"2a864886f70d0101{last:02x}")
        table[_sequence(oid, null)] = table[_sequence(oid)] = scheme
    for content, scheme in (_ECDSA | _EDWARDS).items():
        table[_sequence(_oid(content))] = scheme
    for last, scheme in _SHA2.items():
        digests = (
            _sequence(_oid(f"60864801650304020{last}"), null),
            _sequence(_oid(f"60864801650304020{last}")),
        )
        salt = _explicit(2, bytes((0x02, 0x01, _SALT[last])))
        for digest in digests:
            for inner in digests:
                mask = _sequence(_oid("2a864886f70d010108"), inner)
                parameters = _sequence(_explicit(0, digest), _explicit(1, mask), salt)
                table[_sequence(_oid("2a864886f70d01010a"), parameters)] = scheme
    return table


_SCHEMES = _table()


def scheme_of(identifier: bytes) -> Scheme | None:
    """The scheme of a whole AlgorithmIdentifier in DER; None for what is not known here."""
    return _SCHEMES.get(identifier)
