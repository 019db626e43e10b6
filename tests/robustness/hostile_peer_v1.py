"""A hostile peer of IKEv1 as a program in a namespace: mutated datagrams at a running isthmusd.

As `hostile_peer.py` does for IKEv2, it makes phase 1 again and again, in Main Mode with and without
a log-in behind it, and seals damaged messages of every exchange with the keys: some of them under a
HASH that is right, some in pieces. Between them go damaged first messages and damaged copies of
what gateways, ours and strongSwan's, have said to each other.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from tests.exchanges.pair import Keys, Side, connection, rule
from tests.exchanges.v1 import PFS_V1, PHASE1_V1

from isthmus.credentials.xauth import Login
from isthmus.crypto.entropy import SeededEntropy
from isthmus.ike.core.commands import Configure, Initiate, Terminate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.engine import IkeEngine
from isthmus.ike.v1 import fragments
from isthmus.ike.v1.keys import phase1_iv
from isthmus.ike.v1.sa import SaV1
from isthmus.policy.connection import (
    AccessRole,
    Configuration,
    IkeVersion,
    ModeConfig,
    Nat,
    V1Terms,
    Xauth,
)
from isthmus.values.address import Endpoint
from isthmus.values.errors import IntegrityFailed, Malformed
from isthmus.values.registry.ikev1 import ExchangeType, Flag, NotifyType, PayloadType
from isthmus.values.secret import Secret
from isthmus.wire.header import Header

from .hand import Opened
from .hand_v1 import HandV1
from .hostile_peer import (
    ANSWER_S,
    HANDSHAKE_S,
    IDENTITY,
    LOCAL_TS,
    REMOTE_TS,
    VICTIM_IDENTITY,
    Attacker,
)
from .mutation import GENERIC, HEADER_SIZE, OF_V1, Mutator
from .scenes_v1 import SCENES, StageV1

E = ExchangeType
PHASE2 = ("aes128gcm16-noesn", *PFS_V1)
USER, LOGIN_IDENTITY = "mallory", "fqdn:hostile-user"
MUTANTS_OF_PROOF = 5
NOISE = (2, 2, 3, 3)
SILENCES_MAX = 25
"""IKEv1 answers no Informational, nor what it does not believe."""
SESSION_MAX = 900
"""Mutants of one phase 1, what goes beside it included: there are many beginnings to be tried."""
GUESSES = 4
PIECE_SIZES = (200, 400, 576)
NETWORKS = ((b"\x0a\1\0\0", b"\x0a\x42\0\0"), (b"\x0a\2\0\0", b"\x0a\1\0\0"))
"""Those of the scenes, and ours and the victim's in their place: `LOCAL_TS` and `REMOTE_TS`."""
NONCE = int(PayloadType.NONCE)


@dataclass(frozen=True, slots=True)
class Said:
    """What a genuine peer says, without the HASH in front."""

    exchange: int
    first: int
    rest: bytes


def genuine_requests() -> dict[str, Said]:
    """The first message of each exchange behind phase 1, as an initiator would send it."""
    found = {}
    for scene in SCENES:
        first_of_quick = scene.of_quick == 1
        if first_of_quick or scene.exchange in (E.INFORMATIONAL, E.TRANSACTION):
            inside = StageV1(scene).inside
            kind, _, length = GENERIC.unpack_from(inside.chain, 0)
            found[scene.name] = Said(scene.exchange, kind, inside.chain[length:])
    return found


class AttackerV1(Attacker):
    """One campaign against IKEv1."""

    def __init__(self, orders: dict[str, object]) -> None:
        super().__init__(orders)
        self.mutator = Mutator(self.chance, OF_V1)

    @cached_property
    def requests(self) -> dict[str, Said]:
        """What a genuine peer would begin."""
        return genuine_requests()

    def run(self) -> dict[str, object]:
        """As for IKEv2, behind log-ins that fail: the hash of a password takes 16 MiB, which the
        allocator keeps, so that they belong before what is measured."""
        if self.count:
            for _ in range(GUESSES):
                self.guess_password()
        return super().run()

    # --- sessions --------------------------------------------------------------------------

    def guess_password(self) -> None:
        """An honest client with a wrong password."""
        side = self.initiator(logs_in=True)
        fifth = self.until_encrypted(side)
        if fifth is None:
            return
        self.genuine(fifth)
        until = time.monotonic() + 2 * HANDSHAKE_S
        while time.monotonic() < until and not side.events("phase1.failed"):
            self.hear(side, 0.1)
            self.flush(side)
        self.tally["passwords_refused"] += bool(side.events("phase1.failed"))

    def initiator(self, *, logs_in: bool) -> Side:
        """A fresh initiator that the victim's tunnel `hostile` or `hostile-user` accepts."""
        self.seed += 1
        known = Keys(self.psk, logins={"hostile": Login(password=Secret(b"a guess at it"))})
        engine = IkeEngine(SeededEntropy(self.seed), known)
        side = Side("hostile", self.wire.own, engine, time.monotonic)
        side._entropy = SeededEntropy(-self.seed)
        xauth = Xauth(AccessRole.CLIENT, "hostile", USER) if logs_in else None
        config = ModeConfig(AccessRole.CLIENT) if logs_in else None
        terms = connection(
            "hostile",
            self.wire.victim,
            (rule(local=LOCAL_TS, remote=REMOTE_TS, proposals=PHASE2),),
            PHASE1_V1,
            local_id=LOGIN_IDENTITY if logs_in else IDENTITY,
            remote_id=VICTIM_IDENTITY,
            nat=self.chance.choice((Nat.AUTO, Nat.AUTO, Nat.FORCE)),
            local_address=self.wire.own,
            ike=IkeVersion.V1,
            v1=V1Terms(xauth=xauth, mode_config=config),
        )
        side.command(Configure(Configuration((terms,))))
        side.command(Initiate("hostile"))
        return side

    def until_encrypted(self, side: Side) -> SendDatagram | None:
        """Through four messages of Main Mode; the fifth, which is due."""
        until = time.monotonic() + HANDSHAKE_S
        while time.monotonic() < until:
            while side.out:
                datagram = side.out.pop(0)
                if Header.decode(datagram.octets).flags & Flag.ENCRYPTION:
                    return datagram
                if self.chance.random() < 0.5:
                    self.damaged_clear(datagram)
                self.genuine(datagram)
            self.hear(side, 0.1)
        return None

    def damaged_clear(self, datagram: SendDatagram) -> None:
        """A damaged copy before the genuine one, sound lengths and all."""
        octets = datagram.octets
        header = Header.decode(octets)
        inside = Opened(*self.mutator.chain(header.next_payload, octets[HEADER_SIZE:]))
        size = HEADER_SIZE + len(inside.chain)
        if size <= 1440:
            damaged = header.with_payload(inside.first, size).encode(size) + inside.chain
            self.pace()
            self.send("damaged_first", datagram.remote.port, damaged)

    def send(self, kind: str, port: int, octets: bytes) -> None:
        """From our own address."""
        self.wire.send(kind, port, (bytes(4) if port == 4500 else b"") + octets)

    def session(self) -> None:
        """One phase 1, and what it is good for."""
        logs_in = self.chance.random() < 0.12
        side = self.initiator(logs_in=logs_in)
        fifth = self.until_encrypted(side)
        if fifth is None:
            self.tally["handshakes_unanswered"] += 1
            self.noise(20)
            return
        (sa,) = side.engine._sas.values()
        assert isinstance(sa, SaV1)
        hand = HandV1(sa)
        if self.chance.random() < 0.3:
            self.guess_proof(sa, hand, fifth)
            return
        if not self.proved(side, sa, fifth):
            self.tally["proof_unanswered"] += 1
            return
        self.tally["logins_begun" if logs_in else "established"] += 1
        self.abuse(side, sa, hand, logs_in=logs_in)

    def guess_proof(self, sa: SaV1, hand: HandV1, fifth: SendDatagram) -> None:
        """Damaged proofs, the HASH right for most."""
        header = Header.decode(fifth.octets)
        iv = _first_iv_of_five(sa, hand)
        inside = hand.open(fifth.octets, iv)
        for _ in range(MUTANTS_OF_PROOF):
            damaged = Opened(*self.mutator.chain(inside.first, inside.chain))
            if self.chance.random() < 0.7:
                damaged = hand.proved(damaged, initiator=True)
            self.send_sealed("sealed_main", hand.seal(header, damaged, iv), fifth.remote.port)
            self.noise(self.chance.choice(NOISE))
            if self.replies(sa, ANSWER_S):
                self.tally["proof_refused"] += 1
                return
        self.tally["proof_left"] += 1

    def proved(self, side: Side, sa: SaV1, fifth: SendDatagram) -> bool:
        """The last two messages of Main Mode."""
        until = time.monotonic() + HANDSHAKE_S
        self.genuine(fifth)
        while time.monotonic() < until:
            if sa.last_block:
                return True
            if not self.hear(side, 0.2):
                self.genuine(fifth)
        return False

    def abuse(self, side: Side, sa: SaV1, hand: HandV1, *, logs_in: bool) -> None:
        """Damaged messages over a phase 1, until the victim has had enough."""
        silences = 0
        if not logs_in:
            self.flush(side)
        until = min(self.count, self.total + SESSION_MAX)
        while silences < SILENCES_MAX and self.total < until:
            name, said = self.chance.choice(list(self.requests.items()))
            if logs_in and self.chance.random() < 0.6:
                name, said = "login-answer", self.requests["login-answer"]
            octets, message_id = self.request(sa, hand, said)
            self.send_sealed(f"sealed_{_kind(name)}", octets, sa.remote.port)
            self.noise(self.chance.choice(NOISE))
            replies = self.replies(sa, ANSWER_S)
            silences = 0 if replies else silences + 1
            for reply in replies:
                header = Header.decode(reply)
                if header.exchange == E.TRANSACTION and header.message_id != message_id:
                    self.answer_question(sa, hand, header, reply)
                elif header.exchange == E.QUICK_MODE and header.message_id == message_id:
                    self.third(sa, hand, octets, reply)
                elif self.tell(hand, header, reply):
                    self.tally["sessions_ended_by_victim"] += 1
                    return
        self.tally["sessions_left"] += 1

    def request(self, sa: SaV1, hand: HandV1, said: Said) -> tuple[bytes, int]:
        """A damaged message that begins an exchange, and its ID."""
        header = Header(
            *(sa.spi_i, sa.spi_r, 0),
            version=0x10,
            exchange=said.exchange,
            message_id=self.chance.getrandbits(32) or 1,
        )
        if self.chance.random() < 0.04:
            header = replace(header, exchange=self.chance.choice((0, 2, 4, 5, 6, 32, 33, 255)))
        if self.chance.random() < 0.04:
            header = replace(header, flags=self.chance.choice((2, 4, 0xFE)))
        first, rest = said.first, self.freshened(said, sa)
        if self.chance.random() < 0.85:
            first, rest = self.mutator.chain(first, rest)
        rest = rest[:1300]
        inside = hand.hashed(header, first, rest)
        if self.chance.random() < 0.2:
            # What is behind the HASH may be no sound chain any more, and the HASH is wrong now.
            alone = b"\0" + inside.chain[1 : len(inside.chain) - len(rest)]
            inside = Opened(*self.mutator.chain(inside.first, alone))
        iv = hand.first_iv(header.message_id)
        return hand.seal(header, inside, iv), header.message_id

    def freshened(self, said: Said, sa: SaV1) -> bytes:
        """The cookies and SPIs that mean something now in the place of those of the scene."""
        cookies = bytes(sa.spi_i + sa.spi_r)
        rest = said.rest
        if said.exchange == E.INFORMATIONAL and len(rest) >= 28 and self.chance.random() < 0.7:
            # Behind the generic header and the fields of a Notify or Delete.
            rest = rest[:12] + cookies + rest[28:]
        if said.exchange == E.QUICK_MODE:
            # An SPI of its own: behind the generic headers of SA and proposal, and their fields.
            rest = rest[:20] + self.chance.randbytes(4) + rest[24:]
            for there, here in NETWORKS:
                rest = rest.replace(there, here)
        return rest

    def third(self, sa: SaV1, hand: HandV1, first: bytes, second: bytes) -> None:
        """The victim has answered a Quick Mode: HASH(3), right or damaged, or none."""
        self.tally["quick_answered"] += 1
        header = Header.decode(second)
        try:
            asked = hand.open(first, hand.first_iv(header.message_id))
            answer = hand.open(second, first[-hand.block :])
        except (IntegrityFailed, Malformed, IndexError):
            return
        nonces = _nonce(asked), _nonce(answer)
        if nonces[0] is None or nonces[1] is None or self.chance.random() < 0.3:
            return
        head = replace(header, flags=0)
        hashed = hand.hashed(head, 0, b"", 3, (nonces[0], nonces[1]))
        if self.chance.random() < 0.4:
            hashed = Opened(*self.mutator.chain(hashed.first, hashed.chain))
        octets = hand.seal(head, hashed, second[-hand.block :])
        self.send_sealed("sealed_quick-3", octets, sa.remote.port)

    def answer_question(self, sa: SaV1, hand: HandV1, header: Header, question: bytes) -> None:
        """The victim asks who we are: a damaged answer under its ID."""
        self.tally["questions"] += 1
        said = self.requests["login-answer"]
        first, rest = self.mutator.chain(said.first, said.rest)
        head = replace(header, flags=0)
        inside = hand.hashed(head, first, rest[:1300])
        octets = hand.seal(head, inside, question[-hand.block :])
        self.send_sealed("sealed_login-answer", octets, sa.remote.port)

    def tell(self, hand: HandV1, header: Header, reply: bytes) -> bool:
        """Count what an Informational says; True if the victim has ended phase 1 by it."""
        try:
            inside = hand.open(reply, hand.first_iv(header.message_id))
        except (IntegrityFailed, Malformed, IndexError):
            self.tally["answer_other"] += 1
            return False
        for kind, body in _bodies(inside):
            if kind == PayloadType.NOTIFY:
                number = int.from_bytes(body[6:8], "big")
                known = number in NotifyType._value2member_map_
                self.tally[f"answer_{NotifyType(number).name if known else number}"] += 1
            elif kind == PayloadType.DELETE:
                self.tally["answer_delete"] += 1
                return body[4] == 1
        return False

    def replies(self, sa: SaV1, seconds: float) -> list[bytes]:
        """What the victim says of this phase 1 soon."""
        until = time.monotonic() + seconds
        found: list[bytes] = []
        while (left := until - time.monotonic()) > 0:
            heard = self.wire.receive(left)
            if heard is None:
                break
            octets = heard[1]
            try:
                header = Header.decode(octets)
            except Malformed:
                continue
            if header.spi_i == sa.spi_i and header.flags & Flag.ENCRYPTION:
                found.append(octets)
                until = min(until, time.monotonic() + 0.0005)
        return found

    def send_sealed(self, kind: str, octets: bytes, port: int) -> None:
        """One mutant behind the cipher, whole or in pieces, of which some may be damaged."""
        self.pace()
        if self.chance.random() < 0.08 and len(octets) > 300:
            header = Header.decode(octets)
            size = self.chance.choice(PIECE_SIZES)
            to = Endpoint(self.wire.victim, port)
            pieces = fragments.cut(header, octets, size, to, self.chance.randrange(1, 0x10000))
            for piece in pieces:
                if self.chance.random() < 0.15:
                    piece = self.mutator.datagram(piece, octets)[:1440]
                self.send(f"{kind}-pieces" if len(pieces) > 1 else kind, port, piece)
            return
        self.send(kind, port, octets[:1440])

    def part(self) -> bool:
        """An honest session in the place of all others, which is deleted when it has answered."""
        side = self.initiator(logs_in=False)
        fifth = self.until_encrypted(side)
        if fifth is None:
            return False
        (sa,) = side.engine._sas.values()
        assert isinstance(sa, SaV1)
        if not self.proved(side, sa, fifth):
            return False
        until = time.monotonic() + HANDSHAKE_S
        while time.monotonic() < until and not side.sas:
            self.flush(side)
            self.hear(side, 0.1)
        self.flush(side)
        if not side.sas:
            return False
        time.sleep(0.3)
        side.command(Terminate("hostile"))
        self.flush(side)
        return True


def _kind(name: str) -> str:
    return name.rsplit("-", 1)[0] if name[-1].isdigit() else name


def _bodies(inside: Opened) -> Iterator[tuple[int, bytes]]:
    kind, at = inside.first, 0
    while kind and at + 4 <= len(inside.chain):
        following, _, length = GENERIC.unpack_from(inside.chain, at)
        if length < 4:
            return
        yield kind, inside.chain[at + 4 : at + length]
        kind, at = following, at + length


def _nonce(inside: Opened) -> bytes | None:
    return next((body for kind, body in _bodies(inside) if kind == NONCE), None)


def _first_iv_of_five(sa: SaV1, hand: HandV1) -> bytes:
    shown = sa.proving
    assert shown is not None and sa.suite is not None and sa.suite.prf is not None
    return phase1_iv(sa.suite.prf, shown.public_i, shown.public_r, hand.block)


def main() -> None:
    """One campaign from standard input."""
    orders = json.loads(sys.stdin.readline())
    print(json.dumps(AttackerV1(orders).run()), flush=True)


if __name__ == "__main__":
    main()
