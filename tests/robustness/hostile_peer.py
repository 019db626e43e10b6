"""A hostile peer as a program in a namespace: mutated datagrams at a running isthmusd.

Three kinds in turn: messages behind the integrity check, sealed with the keys of IKE SAs that it
really makes with the victim; damaged first messages; and damaged copies of what two gateways said
to each other, sent under the other gateway's address to UDP 500, to UDP 4500 and as ESP.

It reads its orders as one JSON line on standard input and prints one JSON line when it is done.
"""

import json
import select
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import cached_property
from random import Random

from tests.exchanges.pair import PHASE1, PHASE2, Keys, Side, connection, rule

from isthmus.crypto.entropy import SeededEntropy
from isthmus.ike.core.commands import Configure, Initiate
from isthmus.ike.core.effects import SendDatagram
from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.engine import IkeEngine
from isthmus.ike.v2.sa import SaV2
from isthmus.policy.connection import Configuration, Nat
from isthmus.values.address import Endpoint
from isthmus.values.errors import IntegrityFailed, Malformed
from isthmus.values.registry.ikev2 import ExchangeType, NotifyType
from isthmus.values.secret import Secret
from isthmus.wire.header import Header
from isthmus.wire.marker import NON_ESP_MARKER

from .hand import Hand, Opened
from .mutation import HEADER_SIZE, Mutator
from .scenes import SCENES, Stage

ANSWER_S = 0.004
"""How long an answer to a sealed mutant is waited for."""
SILENCES_MAX = 6
MUTANTS_OF_AUTH = 5
NOISE = (1, 2, 2, 3)
"""Datagrams outside the integrity check that follow each sealed one."""
HANDSHAKE_S = 1.0
UDP_HEADER = struct.Struct(">HHHH")
ESP, UDP = 50, 17
LOCAL_TS, REMOTE_TS = "10.66.0.0/24", "10.1.0.0/24"
IDENTITY, VICTIM_IDENTITY = "fqdn:hostile", "fqdn:gw-a"


def genuine_chains() -> dict[str, tuple[int, Opened]]:
    """The inside of each request of each exchange, and its exchange type."""
    found = {}
    for scene in SCENES:
        if not scene.is_response and scene.exchange is not ExchangeType.IKE_SA_INIT:
            found[scene.name] = (int(scene.exchange), Stage(scene).inside)
    return found


class Forger:
    """A raw socket for lies."""

    def __init__(self, victim: str) -> None:
        self.victim = victim
        self.raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.sent: Counter[str] = Counter()

    def lie(self, kind: str, source: str, protocol: int, payload: bytes) -> None:
        """An IP packet under another's address."""
        self.sent[kind] += 1
        header = struct.pack(
            ">BBHHHBBH4s4s",
            *(0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0),
            *(socket.inet_aton(source), socket.inet_aton(self.victim)),
        )
        self.raw.sendto(header + payload, (self.victim, 0))

    def lie_udp(self, kind: str, source: str, port: int, octets: bytes) -> None:
        """A UDP datagram under another's address, without a checksum."""
        start = UDP_HEADER.pack(port, port, UDP_HEADER.size + len(octets), 0)
        self.lie(kind, source, UDP, start + octets)


class Wire(Forger):
    """Sockets of the attacker: honest UDP at 500 and 4500, and the raw one."""

    def __init__(self, own: str, victim: str) -> None:
        super().__init__(victim)
        self.own = own
        self.udp = {}
        for port in (500, 4500):
            self.udp[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp[port].bind((own, port))
            self.udp[port].setblocking(False)
        self.received = 0

    def send(self, kind: str, port: int, octets: bytes) -> None:
        """From the attacker's own address; IKE on 4500 has its marker before it."""
        self.sent[kind] += 1
        self.udp[port].sendto(octets, (self.victim, port))

    def receive(self, seconds: float) -> tuple[int, bytes] | None:
        """The next IKE message from the victim and the port it came to."""
        ready, _, _ = select.select(list(self.udp.values()), [], [], max(0.0, seconds))
        for port, open_socket in self.udp.items():
            if open_socket in ready:
                octets, source = open_socket.recvfrom(65535)
                if source[0] != self.victim:
                    return None
                self.received += 1
                return port, octets.removeprefix(NON_ESP_MARKER) if port == 4500 else octets
        return None


class Attacker:
    """One campaign."""

    def __init__(self, orders: dict[str, object]) -> None:
        self.chance = Random(str(orders["seed"]))
        self.mutator = Mutator(self.chance)
        self.wire = Wire(str(orders["own"]), str(orders["victim"]))
        self.spoofed = str(orders["spoofed"])
        self.psk = Secret(str(orders["psk"]).encode())
        corpus = orders["corpus"]
        assert isinstance(corpus, list)
        self.corpus = [(int(port), bytes.fromhex(octets)) for port, octets in corpus]
        self.count = int(str(orders["count"]))
        self.rate = float(str(orders["rate"]))
        self.seed = int(str(orders["seed"]))
        self.tally: Counter[str] = Counter()
        self.started = time.monotonic()

    @cached_property
    def chains(self) -> dict[str, tuple[int, Opened]]:
        """What a genuine peer would ask."""
        return genuine_chains()

    @property
    def total(self) -> int:
        """Mutants sent so far."""
        return self.wire.sent.total() - self.wire.sent["genuine"]

    def run(self) -> dict[str, object]:
        """Until enough was sent; then one last honest session, which is deleted again."""
        while self.total < self.count:
            self.session()
        seconds = time.monotonic() - self.started
        parted = any(self.part() for _ in range(20))
        return {
            "sent": dict(self.wire.sent),
            "total": self.total,
            "seconds": seconds,
            "answers": self.wire.received,
            "tally": dict(self.tally),
            "parted": parted,
        }

    def pace(self) -> None:
        """No faster than asked."""
        ahead = self.total / self.rate - (time.monotonic() - self.started)
        if ahead > 0.002:
            time.sleep(ahead)

    # --- sessions --------------------------------------------------------------------------

    def engine(self) -> Side:
        """A fresh initiator that the victim's tunnel `hostile` accepts."""
        self.seed += 1
        entropy = SeededEntropy(self.seed)
        side = Side("hostile", self.wire.own, IkeEngine(entropy, Keys(self.psk)), time.monotonic)
        side._entropy = SeededEntropy(-self.seed)
        nat = self.chance.choice((Nat.AUTO, Nat.AUTO, Nat.FORCE))
        terms = connection(
            "hostile",
            self.wire.victim,
            (rule(local=LOCAL_TS, remote=REMOTE_TS, proposals=PHASE2),),
            PHASE1,
            local_id=IDENTITY,
            remote_id=VICTIM_IDENTITY,
            nat=nat,
            local_address=self.wire.own,
        )
        side.command(Configure(Configuration((terms,))))
        side.command(Initiate("hostile"))
        return side

    def flush(self, side: Side) -> None:
        """Send what the engine wants sent."""
        while side.out:
            datagram = side.out.pop(0)
            self.genuine(datagram)

    def genuine(self, datagram: SendDatagram) -> None:
        """One message as the engine wrote it."""
        port = datagram.remote.port
        marker = NON_ESP_MARKER if port == 4500 else b""
        self.wire.send("genuine", port, marker + datagram.octets)

    def hear(self, side: Side, seconds: float) -> bool:
        """Give the engine the next answer; False when none came."""
        found = self.wire.receive(seconds)
        if found is None:
            return False
        port, octets = found
        own, victim = Endpoint(self.wire.own, port), Endpoint(self.wire.victim, port)
        side.feed(DatagramReceived(own, victim, octets))
        return True

    def up_to_auth(self, side: Side) -> SendDatagram | None:
        """Through IKE_SA_INIT, cookies too; the IKE_AUTH request that is due."""
        until = time.monotonic() + HANDSHAKE_S
        while time.monotonic() < until:
            while side.out:
                if Header.decode(side.out[0].octets).exchange == ExchangeType.IKE_AUTH:
                    return side.out.pop(0)
                self.genuine(side.out.pop(0))
            self.hear(side, 0.1)
        return None

    def through_auth(self, side: Side, auth: SendDatagram) -> SaV2 | None:
        """Authenticate; the IKE SA that stands."""
        until = time.monotonic() + HANDSHAKE_S
        self.genuine(auth)
        while time.monotonic() < until:
            sa = next((s for s in side.engine._sas.values() if s.is_open), None)
            if sa is not None:
                return sa
            if not self.hear(side, 0.2):
                self.genuine(auth)
        return None

    def session(self) -> None:
        """One IKE SA, and what it is good for."""
        side = self.engine()
        auth = self.up_to_auth(side)
        if auth is None:
            self.tally["handshakes_unanswered"] += 1
            self.noise(20)
            return
        (sa,) = side.engine._sas.values()
        hand = Hand(sa, from_initiator=True, seed=self.seed)
        if self.chance.random() < 0.4:
            inside = hand.open(auth.octets)
            for _ in range(MUTANTS_OF_AUTH):
                header = Header.decode(auth.octets)
                self.sealed("sealed_auth", hand, header, inside, auth.remote.port)
                self.noise(self.chance.choice(NOISE))
                if self.answer(sa) is not None:
                    self.tally["auth_refused"] += 1
                    return
        if self.through_auth(side, auth) is None:
            self.tally["auth_unanswered"] += 1
            return
        self.tally["established"] += 1
        self.abuse(side, sa, hand)

    def abuse(self, side: Side, sa: SaV2, hand: Hand) -> None:
        """Damaged requests over an established IKE SA, until the victim has had enough."""
        message_id, silences = sa.window.next_id, 0
        port = sa.remote.port
        children = tuple(sa.children.values())
        child = children[0].spi_in.to_bytes(4, "big") if children else bytes(4)
        while silences < SILENCES_MAX and self.total < self.count:
            name, (exchange, inside) = self.chance.choice(list(self.chains.items()))
            if self.chance.random() < 0.3:
                inside = Opened(inside.first, self.freshened(name, inside.chain, child))
            header = Header(
                *(sa.spi_i, sa.spi_r, 0),
                exchange=exchange,
                flags=0x08,
                message_id=message_id,
            )
            if self.chance.random() < 0.06:
                header = replace(
                    header,
                    exchange=self.chance.choice((34, 35, 36, 37, 38, 43, 255)),
                    flags=self.chance.choice((0x08, 0x28, 0, 0x20)),
                )
            self.sealed(f"sealed_{name.removesuffix('-request')}", hand, header, inside, port)
            self.noise(self.chance.choice(NOISE))
            answer = self.answer(sa)
            if answer is None:
                silences += 1
                continue
            silences = 0
            message_id = max(message_id, answer.message_id + 1)
            if answer.fatal:
                self.tally["sessions_ended_by_victim"] += 1
                return
        self.tally["sessions_left"] += 1

    def freshened(self, name: str, chain: bytes, child: bytes) -> bytes:
        """An SPI that means something now, that of the session's own Child SA."""
        if name.startswith(("rekey-child", "delete-child")):
            # Behind four octets each of the generic header and of the Notify or Delete.
            return chain[:8] + child + chain[12:]
        return chain

    def sealed(self, kind: str, hand: Hand, header: Header, inside: Opened, port: int) -> None:
        """One mutant behind the integrity check."""
        self.pace()
        first, chain = inside.first, inside.chain
        if self.chance.random() < 0.9:
            first, chain = self.mutator.chain(first, chain)
        octets = hand.seal(header, first, chain[:1400])
        self.wire.send(kind, port, (NON_ESP_MARKER if port == 4500 else b"") + octets)

    def answer(self, sa: SaV2) -> "Answer | None":
        """What the victim says to a sealed mutant, if it says anything soon."""
        until = time.monotonic() + ANSWER_S
        found: Answer | None = None
        while (left := until - time.monotonic()) > 0:
            heard = self.wire.receive(left)
            if heard is None:
                break
            answer = Answer.read(sa, heard[1])
            if answer is not None:
                found = answer
                if answer.fatal or sa.keys is None:
                    break
                until = min(until, time.monotonic() + 0.0002)
        if found is not None:
            self.tally[f"answer_{found.word}"] += 1
        return found

    def part(self) -> bool:
        """An honest session in the place of all others (INITIAL_CONTACT), and its Delete."""
        side = self.engine()
        auth = self.up_to_auth(side)
        if auth is None or (sa := self.through_auth(side, auth)) is None:
            return False
        hand = Hand(sa, from_initiator=True, seed=self.seed)
        _, inside = self.chains["delete-ike-request"]
        header = Header(sa.spi_i, sa.spi_r, 0, exchange=37, flags=8, message_id=sa.window.next_id)
        for _ in range(5):
            octets = hand.seal(header, inside.first, inside.chain)
            port = sa.remote.port
            self.wire.send("genuine", port, (NON_ESP_MARKER if port == 4500 else b"") + octets)
            heard = self.wire.receive(0.5)
            answer = Answer.read(sa, heard[1]) if heard is not None else None
            if answer is not None and answer.message_id == header.message_id:
                return True
        return False

    # --- outside the integrity check -------------------------------------------------------

    def noise(self, count: int) -> None:
        """Damaged datagrams that no key of the victim stands behind."""
        for _ in range(count):
            self.pace()
            port, octets = self.chance.choice(self.corpus)
            other = self.chance.choice(self.corpus)[1]
            damaged = self.mutator.datagram(octets, other)[:1440]
            if self.chance.random() < 0.15:
                damaged = octets[:HEADER_SIZE] + self.chance.randbytes(self.chance.randrange(300))
            if port == ESP:
                if self.chance.random() < 0.5:
                    self.wire.lie("forged_esp", self.spoofed, ESP, damaged)
                else:
                    self.wire.lie_udp("forged_esp_in_udp", self.spoofed, 4500, damaged)
                continue
            to = self.chance.choice((500, 500, 4500))
            marker = NON_ESP_MARKER if to == 4500 and self.chance.random() < 0.9 else b""
            if self.chance.random() < 0.6:
                self.wire.lie_udp("forged_ike", self.spoofed, to, marker + damaged)
            else:
                self.wire.send("damaged_ike", to, marker + damaged)


class Answer:
    """What came back: its message ID, and whether the IKE SA has ended with it."""

    def __init__(self, message_id: int, word: str, fatal: bool) -> None:
        self.message_id = message_id
        self.word = word
        self.fatal = fatal

    @classmethod
    def read(cls, sa: SaV2, octets: bytes) -> "Answer | None":
        """None for what is no answer to this IKE SA's requests."""
        try:
            header = Header.decode(octets)
        except Malformed:
            return None
        if header.spi_i != sa.spi_i or not header.is_response:
            return None
        if header.next_payload != 46:
            return cls(header.message_id, "unknown_spi", True)
        try:
            inside = Hand(sa, from_initiator=False).open(octets)
        except (IntegrityFailed, Malformed):
            return None
        if inside.first == 41:
            kind = int.from_bytes(inside.chain[6:8], "big")
            known = kind in NotifyType._value2member_map_
            word = NotifyType(kind).name if known else str(kind)
            fatal = kind in (NotifyType.INVALID_SYNTAX, NotifyType.AUTHENTICATION_FAILED)
            return cls(header.message_id, word, fatal)
        return cls(header.message_id, "accepted" if inside.first else "empty", False)


def main() -> None:
    """One campaign from standard input."""
    orders = json.loads(sys.stdin.readline())
    print(json.dumps(Attacker(orders).run()), flush=True)


if __name__ == "__main__":
    main()
