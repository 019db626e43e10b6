"""The octets of docs/one-handshake.md: one IKE_SA_INIT and IKE_AUTH from two seeded engines.

Each message is cut into lines of offset, octets and meaning; the lines cover every octet once.
After a change that is meant, `python -m exchanges.one_handshake`, run in `tests`, writes the page's
blocks anew.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from isthmus.crypto import agreement
from isthmus.crypto.suite import message_cipher
from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import Agree, Compute, InstallSa
from isthmus.ike.v2.keys import IkeKeys, ike_keys, skeyseed
from isthmus.values.proposal import Suite, Transform, suite_from
from isthmus.values.registry.ikev2 import (
    AuthMethod,
    ExchangeType,
    IdType,
    NotifyType,
    PayloadType,
    SecurityProtocol,
    TransformType,
    label,
)
from isthmus.values.secret import Secret
from isthmus.values.spi import IkeSpi
from isthmus.wire.describe import describe_payloads
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import decode_chain, decode_message
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.security_association import SecurityAssociation

from .pair import LEFT, PSK, RIGHT, Pair, connection, rule

PAGE = Path(__file__).parents[2] / "docs" / "one-handshake.md"
SEED = 7
MESSAGES = ("init-request", "init-response", "auth-request", "auth-response")
HEADER, GENERIC, IV, ICV = 28, 4, 8, 16
ROW = 16
"""Octets of one line."""
FENCE = re.compile(r"<!-- octets: ([a-z-]+) -->\n```\n(.*?)```\n", re.DOTALL)


@dataclass(frozen=True)
class Handshake:
    """What crossed the wire, and what both sides made of it."""

    wire: tuple[bytes, bytes, bytes, bytes]
    suite: Suite
    shared: Secret
    skeyseed: Secret
    keys: IkeKeys
    inside: tuple[bytes, bytes]
    """The plaintexts of the two SK payloads, padding included."""
    first_inside: tuple[int, int]
    """The type of the first payload in each."""
    child_keys: tuple[Secret, Secret]
    """Keys of the Child SA: from the initiator, from the responder."""


def run() -> Pair:
    """Two engines that have just met."""
    pair = Pair(
        connection("site-b", RIGHT, (rule(),), local_id="fqdn:gw-a", remote_id="fqdn:gw-b"),
        connection(
            "site-a",
            LEFT,
            (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),),
            local_id="fqdn:gw-b",
            remote_id="fqdn:gw-a",
        ),
        seed=SEED,
    )
    pair.left.command(Initiate("site-b"))
    return pair.settle()


@cache
def handshake() -> Handshake:
    """What they said and made."""
    pair = run()
    one, two, three, four = (datagram.octets for datagram in pair.wire)
    asked = decode_message(one).payloads
    answered = decode_message(two).payloads
    agree = next(
        effect.job
        for effect in pair.left.effects
        if isinstance(effect, Compute) and isinstance(effect.job, Agree)
    )
    nonce_i, nonce_r = (
        next(p.data for p in payloads if isinstance(p, Nonce)) for payloads in (asked, answered)
    )
    answer = next(p for p in answered if isinstance(p, SecurityAssociation))
    peer = next(p for p in answered if isinstance(p, KeyExchange))
    suite = suite_from(answer.proposals[0])
    assert suite.prf is not None
    shared = agreement.agree(agree.method, agree.private, peer.data)
    seed = skeyseed(suite.prf, nonce_i, nonce_r, shared)
    keys = ike_keys(suite, seed, nonce_i, nonce_r, IkeSpi(two[:8]), IkeSpi(two[8:16]))
    sas = [e for e in pair.left.effects if isinstance(e, InstallSa)]
    out, into = (next(s for s in sas if s.inbound is way) for way in (False, True))
    return Handshake(
        (one, two, three, four),
        suite,
        shared,
        seed,
        keys,
        (_open(suite, keys.sk_ei, three), _open(suite, keys.sk_er, four)),
        (three[HEADER], four[HEADER]),
        (out.encryption_key, into.encryption_key),
    )


def _open(suite: Suite, key: Secret, octets: bytes) -> bytes:
    cut = HEADER + GENERIC
    cipher = message_cipher(suite, key, Secret(b""))
    return cipher.open(octets[cut : cut + IV], octets[:cut], octets[cut + IV :])


class Lines:
    """Lines of offset, octets and meaning."""

    def __init__(self, octets: bytes, at: int = 0) -> None:
        self.octets = octets
        self.at = at
        self.text: list[str] = []

    def take(self, count: int, meaning: str) -> bytes:
        """The next octets, told on as many lines as they need."""
        taken = self.octets[self.at : self.at + count]
        for start in range(0, count, ROW):
            row = taken[start : start + ROW].hex(" ", -4)
            words = meaning if start == 0 else ""
            self.text.append(f"{self.at + start:4}  {row:<35}  {words}".rstrip())
        self.at += count
        return taken

    def heading(self, words: str) -> None:
        """A line without octets."""
        self.text.append(f"      {words}")


def blocks() -> dict[str, str]:
    """Every block of the page by its name."""
    seen = handshake()
    found = {}
    for name, octets in zip(MESSAGES, seen.wire, strict=True):
        lines = Lines(octets)
        first = _header(lines)
        if first == PayloadType.SK:
            _sealed(lines)
        else:
            _chain(lines, first, len(octets))
        found[name] = "\n".join(lines.text) + "\n"
    for name, plain, first in zip(MESSAGES[2:], seen.inside, seen.first_inside, strict=True):
        lines = Lines(plain)
        _chain(lines, first, len(plain) - 1 - plain[-1])
        lines.take(plain[-1] + 1, f"pad length {plain[-1]}")
        found[f"{name}-inside"] = "\n".join(lines.text) + "\n"
    found["keys"] = _keys(seen)
    found["short"] = _short(seen)
    return found


def _short(seen: Handshake) -> str:
    chains = [decode_message(octets).payloads for octets in seen.wire[:2]]
    for plain, first in zip(seen.inside, seen.first_inside, strict=True):
        chains.append(decode_chain(first, plain[: len(plain) - 1 - plain[-1]]))
    rows = []
    for number, (octets, payloads) in enumerate(zip(seen.wire, chains, strict=True)):
        arrow = "<--" if number % 2 else "-->"
        rows.append(f"{arrow} {label(ExchangeType, octets[18])}, {len(octets)} octets")
        rows.append(f"    {describe_payloads(payloads, is_response=bool(number % 2))}")
    return "\n".join(rows) + "\n"


def _keys(seen: Handshake) -> str:
    keys = seen.keys
    named = [
        ("pre-shared key", PSK),
        ("g^ir", seen.shared),
        ("SKEYSEED", seen.skeyseed),
        ("SK_d", keys.sk_d),
        ("SK_ei, then salt", keys.sk_ei),
        ("SK_er, then salt", keys.sk_er),
        ("SK_pi", keys.sk_pi),
        ("SK_pr", keys.sk_pr),
        ("ESP key i to r, then salt", seen.child_keys[0]),
        ("ESP key r to i, then salt", seen.child_keys[1]),
    ]
    rows = []
    for name, secret in named:
        octets = secret.reveal()
        for start in range(0, len(octets), ROW):
            words = name if start == 0 else ""
            rows.append(f"{words:<26} {octets[start : start + ROW].hex(' ', -4)}")
    return "\n".join(rows) + "\n"


def _header(lines: Lines) -> int:
    lines.heading("IKE header: wire/header.py")
    lines.take(8, "SPI of the initiator")
    spi = lines.octets[8:16]
    lines.take(8, "SPI of the responder" if any(spi) else "no SPI of the responder yet")
    first = lines.take(1, f"first payload: {label(PayloadType, lines.octets[16])}")[0]
    lines.take(1, "version 2.0")
    lines.take(1, label(ExchangeType, lines.octets[18]))
    flags = lines.octets[19]
    who = "the initiator" if flags & 0x08 else "the responder"
    lines.take(1, f"flags: {'response' if flags & 0x20 else 'request'} of {who}")
    lines.take(4, f"message ID {int.from_bytes(lines.octets[20:24], 'big')}")
    lines.take(4, f"length {int.from_bytes(lines.octets[24:28], 'big')}")
    return first


def _sealed(lines: Lines) -> None:
    lines.heading("SK payload: wire/v2/encrypted.py, ike/v2/protect.py")
    inner = label(PayloadType, lines.octets[lines.at])
    lines.take(GENERIC, f"first payload inside: {inner}; not critical; length")
    lines.take(IV, "IV: a counter, never the same twice under one key")
    lines.take(len(lines.octets) - lines.at - ICV, "ciphertext")
    lines.take(ICV, "ICV over everything from octet 0")


FILES = {
    PayloadType.SA: "security_association",
    PayloadType.KE: "key_exchange",
    PayloadType.NONCE: "nonce",
    PayloadType.NOTIFY: "notify",
    PayloadType.VENDOR_ID: "vendor_id",
    PayloadType.ID_I: "identification",
    PayloadType.ID_R: "identification",
    PayloadType.AUTH: "authentication",
    PayloadType.TS_I: "selectors",
    PayloadType.TS_R: "selectors",
}


def _chain(lines: Lines, first: int, end: int) -> None:
    kind = PayloadType(first)
    while kind:
        after = lines.octets[lines.at]
        length = int.from_bytes(lines.octets[lines.at + 2 : lines.at + GENERIC], "big")
        lines.heading(f"{label(PayloadType, kind)} payload: wire/v2/{FILES[kind]}.py")
        following = label(PayloadType, after) if after else "none"
        lines.take(GENERIC, f"next payload: {following}; not critical; length {length}")
        stop = lines.at + length - GENERIC
        for count, meaning in _body(kind, lines.octets[lines.at : stop]):
            lines.take(count, meaning)
        assert lines.at == stop, kind
        kind = PayloadType(after)
    assert lines.at == end


def _body(kind: PayloadType, body: bytes) -> Iterator[tuple[int, str]]:
    match kind:
        case PayloadType.SA:
            yield from _proposals(body)
        case PayloadType.KE:
            method = Transform(TransformType.KE, int.from_bytes(body[:2], "big"))
            yield 2, f"method: {method}"
            yield 2, "reserved"
            yield len(body) - 4, "public value"
        case PayloadType.NONCE:
            yield len(body), "nonce"
        case PayloadType.NOTIFY:
            yield 2, "no protocol, no SPI"
            yield 2, label(NotifyType, int.from_bytes(body[2:4], "big"))
            if len(body) > 4:
                yield len(body) - 4, "SHA-1 of SPIs, address and port: ike/v2/nat.py"
        case PayloadType.VENDOR_ID:
            yield len(body), repr(body.decode())
        case PayloadType.ID_I | PayloadType.ID_R:
            yield 4, f"{label(IdType, body[0])}, reserved"
            yield len(body) - 4, repr(body[4:].decode())
        case PayloadType.AUTH:
            yield 4, f"{label(AuthMethod, body[0])}, reserved"
            yield len(body) - 4, "the proof: ike/auth/psk.py"
        case PayloadType.TS_I | PayloadType.TS_R:
            yield 4, f"{body[0]} selector, reserved"
            yield 4, "IPv4 range, any protocol, length 16"
            yield 4, "ports 0 to 65535"
            yield 4, "from " + ".".join(map(str, body[12:16]))
            yield 4, "to " + ".".join(map(str, body[16:20]))
        case _:
            raise AssertionError(kind)


def _proposals(body: bytes) -> Iterator[tuple[int, str]]:
    assert body[0] == 0, "one proposal"
    name = label(SecurityProtocol, body[5])
    yield 8, f"last proposal, number {body[4]}, {name}, {body[7]} transforms"
    if body[6]:
        yield body[6], f"SPI of {name} that the sender wants to receive on"
    at = 8 + body[6]
    while at < len(body):
        length = int.from_bytes(body[at + 2 : at + 4], "big")
        bits = int.from_bytes(body[at + 10 : at + 12], "big") if length == 12 else None
        kind, number = body[at + 4], int.from_bytes(body[at + 6 : at + 8], "big")
        last = "last transform" if body[at] == 0 else "transform"
        yield length, f"{last}: {label(TransformType, kind)} {Transform(kind, number, bits)}"
        at += length


def octets_of(block: str) -> bytes:
    """The octets that a block of offset lines shows; offsets must follow each other."""
    octets = b""
    for line in block.splitlines():
        if (found := re.match(r" *(\d+)  ((?:[0-9a-f]+ ?)+)(?:  |$)", line)) is not None:
            assert int(found[1]) == len(octets), line
            octets += bytes.fromhex(found[2])
    return octets


def written(text: str) -> str:
    """The page with every block as it must be."""
    found = blocks()
    return FENCE.sub(lambda m: f"<!-- octets: {m[1]} -->\n```\n{found[m[1]]}```\n", text)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
