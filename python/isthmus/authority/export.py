"""What a gateway needs of an authority, as its software reads it."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    KeySerializationEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    serialize_key_and_certificates,
)

from isthmus.authority import folder as files
from isthmus.authority.errors import AuthorityError
from isthmus.authority.index import Issued
from isthmus.authority.keys import from_pem
from isthmus.authority.operations import THEIRS, Authority

PASSWORD_OCTETS = 15
"""120 random bits, in 20 characters that every system lets one type."""
_ROUNDS = 50_000


class Form(StrEnum):
    """For whom."""

    ISTHMUS = "isthmus"
    STRONGSWAN = "strongswan"
    PKCS12 = "pkcs12"
    PKCS12_OLD = "pkcs12-old"


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export, its path relative to the gateway's folder."""

    path: str
    octets: bytes
    is_private: bool = False
    is_edited: bool = False
    """The user's once it is there: never overwritten."""


def export(
    authority: Authority, issued: Issued, peer: Issued | None, form: Form
) -> tuple[File, ...]:
    """The files for one gateway; `peer` is the other end of a tunnel. Raises AuthorityError."""
    if issued.is_authority and form is not Form.ISTHMUS:
        raise AuthorityError(
            f"{issued.name} is an authority.",
            "It needs its certificate and ours, and no more.",
            f"Run `isthmus ca export {issued.name}`.",
        )
    match form:
        case Form.ISTHMUS:
            return tuple(_isthmus(authority, issued, peer))
        case Form.STRONGSWAN:
            return tuple(_strongswan(authority, issued, peer))
        case Form.PKCS12 | Form.PKCS12_OLD:
            return tuple(_pkcs12(authority, issued, form))


def put(where: Path, found: tuple[File, ...]) -> tuple[Path, ...]:
    """Write an export below a folder, its secrets for the owner's eyes only.

    Returns configurations that were there already and say something else: they are left alone.
    """
    kept = []
    for file in found:
        path = where / file.path
        files.make_directory(path.parent)
        if file.is_edited and path.exists():
            if files.read(path) != file.octets:
                kept.append(path)
        else:
            files.write(path, file.octets, private=file.is_private)
    return tuple(kept)


def _isthmus(authority: Authority, issued: Issued, peer: Issued | None) -> Iterator[File]:
    yield from _common(authority, issued, "", "", "")
    if peer is not None:
        text = isthmus_configuration(issued, peer)
        yield File("isthmus.toml", text.encode(), is_private=True, is_edited=True)


def _strongswan(authority: Authority, issued: Issued, peer: Issued | None) -> Iterator[File]:
    yield from _common(authority, issued, "x509/", "private/", "x509ca/", "x509crl/")
    if peer is not None:
        text = swanctl_configuration(authority, issued, peer)
        yield File(f"conf.d/{peer.name}.conf", text.encode(), is_edited=True)


def _common(
    authority: Authority, issued: Issued, own: str, private: str, roots: str, lists: str = ""
) -> Iterator[File]:
    yield File(f"{own}{issued.name}.pem", authority.pem_of(issued))
    key = authority.key_of(issued)
    if key is not None:
        yield File(f"{private}{issued.name}.key", key, is_private=True)
    yield File(f"{roots}ca.pem", files.read(authority.folder.certificate))
    yield File(f"{lists}ca.crl", files.read(authority.folder.crl))


def _pkcs12(authority: Authority, issued: Issued, form: Form) -> Iterator[File]:
    pem = authority.key_of(issued)
    if pem is None:
        raise AuthorityError(
            f"The key of {issued.name} is not here.",
            f"Its certificate was made from a request: the key is {THEIRS}.",
            f"Run `isthmus ca export {issued.name}` for the certificate alone.",
        )
    key = from_pem(pem, None, f"{issued.name}.key")
    password = secrets.token_urlsafe(PASSWORD_OCTETS).encode()
    octets = serialize_key_and_certificates(
        issued.name.encode(),
        key,
        x509.load_pem_x509_certificate(authority.pem_of(issued)),
        [authority.certificate],
        _lock(form, password),
    )
    yield File(f"{issued.name}.p12", octets, is_private=True)
    yield File(f"{issued.name}.p12.password", password + b"\n", is_private=True)
    yield File("ca.pem", files.read(authority.folder.certificate))


def _lock(form: Form, password: bytes) -> KeySerializationEncryption:
    """Windows before 10 1809 and macOS before 15 read nothing newer than 3DES and SHA-1; with a
    random password of 120 bits that is still more than anybody can try."""
    if form is Form.PKCS12:
        return BestAvailableEncryption(password)
    return (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_ROUNDS)
        .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(password)
    )


# --- configurations -------------------------------------------------------------------------


def isthmus_configuration(issued: Issued, peer: Issued) -> str:
    """A whole isthmus.toml for one gateway; what is not known stands there as a comment."""
    lines = [
        f"# {issued.name}, towards {peer.name}. The files named here stand beside this one.",
        "",
        f"[tunnel.{peer.name}]",
        f"peer      = {_text(address_of(peer))}",
        'auth      = "cert"',
        f"cert      = {_text(issued.name + '.pem')}",
        f"key       = {{ file = {_text(issued.name + '.key')} }}",
        'ca        = ["ca.pem"]',
        'crl       = ["ca.crl"]',
        f"local_id  = {_text(issued.identities[0])}",
        f"remote_id = {_text(peer.identities[0])}",
    ]
    for version in _versions(issued, peer):
        lines += [
            "",
            f"[tunnel.{peer.name}.rule.{'lan' if version == 4 else 'lan6'}]",
            _networks("local ", issued, version),
            _networks("remote", peer, version),
        ]
    return "\n".join(lines) + "\n"


def _versions(issued: Issued, peer: Issued) -> tuple[int, ...]:
    """Families of addresses that both sides have; IPv4 when nobody has said any."""
    here, there = ({ip_network(n).version for n in side.networks} for side in (issued, peer))
    return tuple(sorted(here & there)) or (4,)


def _networks(key: str, side: Issued, version: int) -> str:
    found = [n for n in side.networks if ip_network(n).version == version]
    if found:
        return f"{key} = {json.dumps(found)}"
    return f'# {key} = ["10.0.0.0/24"]   # the networks behind {side.name}'


def swanctl_configuration(authority: Authority, issued: Issued, peer: Issued) -> str:
    """A connection for strongSwan's swanctl, to lie in conf.d of its folder."""
    here = address_of(issued)
    local = f"    local_addrs = {here}\n" if issued.address else ""
    return f"""connections {{
  {peer.name} {{
    version = 2
{local}    remote_addrs = {address_of(peer)}
    proposals = aes256gcm16-prfsha384-ecp256, aes256gcm16-prfsha384-x25519, default
    local {{
      auth = pubkey
      certs = {issued.name}.pem
      id = {_bare(issued.identities[0])}
    }}
    remote {{
      auth = pubkey
      id = {_bare(peer.identities[0])}
      cacerts = ca.pem
    }}
    children {{
      lan {{
        local_ts = {_selectors(issued)}
        remote_ts = {_selectors(peer)}
        esp_proposals = aes256gcm16-ecp256, aes256gcm16-x25519, default
        start_action = trap
      }}
    }}
  }}
}}
"""


def _selectors(side: Issued) -> str:
    return ", ".join(side.networks) or "dynamic"


def address_of(side: Issued) -> str:
    """Where peers reach it: what was said, else an address or name of its certificate."""
    if side.address:
        return side.address
    addresses = [i for i in side.identities if i.startswith("ip:")]
    names = [i for i in side.identities if i.startswith("fqdn:")]
    return _bare((addresses or names or ["fqdn:"])[0]) or "any"


def _bare(identity: str) -> str:
    return identity.partition(":")[2]


def _text(text: str) -> str:
    # JSON's strings are also TOML's.
    return json.dumps(text)
