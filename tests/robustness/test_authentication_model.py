"""R-01, S-12, S-13: whatever somebody with the keys of the IKE SA and without credentials says, in
whatever order, nobody is authenticated and nothing is installed.

Who is in the middle of a key exchange has its keys: the attacker seals anything. All sequences of
its letters to depth 8 are walked, and what workers and clocks do in between are letters too. Two
histories after which the engine stands alike (`Scene.standing`) go on alike, so that one of them is
walked on; a sample of whole sequences, drawn at random, holds this to account.
"""

from collections.abc import Callable
from random import Random

import pytest
from tests.exchanges.pair import Keys, Pair, connection, rule
from tests.exchanges.pki import issue, private

from isthmus.credentials.store import Own, Trust
from isthmus.crypto.signature import MemoryKey
from isthmus.ike.auth import psk, signature
from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import InstallSa
from isthmus.ike.core.events import DatagramReceived
from isthmus.ike.v2.authoctets import signed_octets
from isthmus.ike.v2.sa import Authenticating, SaV2
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.values.identity import Identity
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import (
    AuthMethod,
    CertEncoding,
    EapCode,
    ExchangeType,
    HeaderFlag,
    KeMethod,
    NotifyType,
    PayloadType,
    SecurityProtocol,
)
from isthmus.values.secret import Secret
from isthmus.values.selector import TrafficSelector
from isthmus.values.signature import Scheme
from isthmus.wire.header import Header
from isthmus.wire.v2.authentication import Authentication
from isthmus.wire.v2.certificate import Certificate
from isthmus.wire.v2.delete import Delete
from isthmus.wire.v2.eap import Eap
from isthmus.wire.v2.identification import Identification
from isthmus.wire.v2.key_exchange import KeyExchange
from isthmus.wire.v2.message import Payload, encode_chain
from isthmus.wire.v2.nonce import Nonce
from isthmus.wire.v2.notify import Notify
from isthmus.wire.v2.security_association import SecurityAssociation
from isthmus.wire.v2.selectors import TrafficSelectors

from .hand import Hand

DEPTH = 8
SAMPLES = 40
NAMES = {"left": "fqdn:left.example.org", "right": "fqdn:right.example.org"}
ROOT = issue("Root")
TRUE = {side: issue(side, ROOT, private("p256", 7), names=(name,)) for side, name in NAMES.items()}
STRANGER = issue("Nobody", key=private("p256", 8))
FALSE = {
    side: issue(side, STRANGER, private("p256", 9), names=(name,)) for side, name in NAMES.items()
}
PSK = Secret(b"the key that the attacker does not have")
KINDS = (AuthKind.CERT, AuthKind.PSK, AuthKind.PUBKEY)
"""What the victim asks of its peer; it proves itself by certificate."""

Proof = tuple[Payload, ...]


class Scene:
    """A victim behind IKE_SA_INIT, and the attacker with the keys of that IKE SA."""

    def __init__(self, kind: AuthKind, *, initiates: bool) -> None:
        own, other = ("left", "right") if initiates else ("right", "left")
        store = Keys(
            PSK,
            {"own": TRUE[own].own()},
            {"trust": Trust((ROOT.read,), (), (MemoryKey(TRUE[other].key).public,))},
        )
        left, right = (
            connection(
                name,
                address,
                (rule(local=local, remote=remote),),
                local_id=NAMES[us],
                remote_id=NAMES[them],
                local_auth=LocalAuth(AuthKind.CERT, "own"),
                remote_auth=RemoteAuth(kind, "trust"),
            )
            for name, address, us, them, local, remote in (
                ("site-b", "198.51.100.1", "left", "right", "10.1.0.0/24", "10.2.0.0/24"),
                ("site-a", "192.0.2.1", "right", "left", "10.2.0.0/24", "10.1.0.0/24"),
            )
        )
        self.pair = Pair(left, right, store, store)
        self.victim = self.pair.left if initiates else self.pair.right
        self.attacker = self.pair.right if initiates else self.pair.left
        self.kind, self.initiates, self.peer = kind, initiates, other
        self.pair.left.command(Initiate("site-b"))
        # The attacker's own engine does the key exchange; its IKE_AUTH is never delivered.
        self.attacker.held_computes = None
        self.pair.deliver(self.pair.left, self.pair.left.out.pop(0))
        if initiates:
            self.victim.held_computes = []
            self.pair.deliver(self.pair.right, self.pair.right.out.pop(0))
            self.work()
        (self.sa,) = self.victim.engine._sas.values()
        assert isinstance(self.sa, SaV2) and self.sa.keys is not None
        assert self.sa.authenticating is not None
        self.keys = self.sa.keys
        self.shown: Authenticating = self.sa.authenticating
        self.hand = Hand(self.sa, from_initiator=not initiates)
        self.victim.held_computes = self.victim.held_computes or []
        self.attacker.out.clear()

    @property
    def standing(self) -> object:
        """All that decides what the victim does with the next letter."""
        sa, window = self.sa, self.sa.window
        out = window.outstanding
        alive = sa in self.victim.engine._sas.values()
        return (
            alive,
            type(sa.state).__name__,
            window.expected_id,
            window.answering,
            window.next_id,
            (out.exchange, out.message_id) if out is not None else None,
            tuple(type(c.job).__name__ for c in self.victim.held_computes or ()),
            len(sa.wishes),
            len(sa.children),
            self.victim.engine.census()["ike_sas"],
        )

    @property
    def beaten(self) -> bool:
        """The victim believes somebody, or has handed keys to its plane."""
        return (
            self.sa.established_at is not None
            or self.sa.is_open
            or bool(self.sa.children)
            or any(isinstance(effect, InstallSa) for effect in self.victim.effects)
            or self.victim.view().state == "up"
        )

    # --- letters ---------------------------------------------------------------------------

    def say(self, exchange: int, payloads: tuple[Payload, ...], *, response: bool = False) -> None:
        """Under the right keys, with the message ID that the victim would take."""
        out = self.sa.window.outstanding
        due = self.sa.window.expected_id
        if response:
            due = out.message_id if out is not None else max(0, self.sa.window.next_id - 1)
        flags = HeaderFlag.RESPONSE if response else HeaderFlag.NONE
        if not self.initiates:
            flags |= HeaderFlag.INITIATOR
        header = Header(
            self.sa.spi_i, self.sa.spi_r, 0, exchange=exchange, flags=flags, message_id=due
        )
        octets = self.hand.seal(header, *encode_chain(payloads))
        local, remote = self.sa.local, self.sa.remote
        self.victim.feed(DatagramReceived(local, remote, octets))
        self.victim.out.clear()

    def work(self) -> None:
        """A worker ends its oldest job."""
        if self.victim.held_computes:
            self.victim.compute(self.victim.held_computes.pop(0))
            self.victim.out.clear()

    def wait(self) -> None:
        """Three seconds pass."""
        self.pair.advance(3, deliver=False)
        self.victim.out.clear()

    def identity(self) -> Identification:
        """Whom the victim expects."""
        role = PayloadType.ID_R if self.initiates else PayloadType.ID_I
        return Identification(role, Identity.parse(NAMES[self.peer]))

    def octets(self) -> bytes:
        """What the true peer would prove with."""
        assert self.sa.suite is not None and self.sa.suite.prf is not None
        prf, who = self.sa.suite.prf, Identity.parse(NAMES[self.peer])
        if self.initiates:
            message, nonce, key = self.shown.message_r, self.shown.nonce_i, self.keys.sk_pr
        else:
            message, nonce, key = self.shown.message_i, self.shown.nonce_r, self.keys.sk_pi
        return signed_octets(prf, message, nonce, key, who)

    def signed(
        self, own: Own, *, raw: bool = False, over: bytes | None = None
    ) -> tuple[Payload, ...]:
        """CERT and AUTH made with this key."""
        octets = self.octets() if over is None else over
        choice = signature.Choice(AuthMethod.DIGITAL_SIGNATURE, Scheme.ECDSA_SHA256)
        made = own.key.sign(choice.scheme, octets)
        shown = (
            Certificate(CertEncoding.RAW_PUBLIC_KEY, own.key.public.spki)
            if raw
            else Certificate(CertEncoding.X509_SIGNATURE, own.chain[0].der)
        )
        return shown, signature.payload(choice, own.key.public.kind, made)

    def keyed(self, secret: bytes) -> Authentication:
        """AUTH made with a pre-shared key."""
        assert self.sa.suite is not None and self.sa.suite.prf is not None
        data = psk.prove(self.sa.suite.prf, Secret(secret), self.octets())
        return Authentication(AuthMethod.SHARED_KEY, data)

    def child(self) -> tuple[Payload, ...]:
        """What a Child SA is asked for, or answered, with."""
        proposal = parse_proposal("aes256gcm16-noesn", SecurityProtocol.ESP).with_spi(
            b"\xc1\2\3\4", 1
        )
        return (
            SecurityAssociation((proposal,)),
            TrafficSelectors(PayloadType.TS_I, (TrafficSelector.of_network("10.1.0.0/24"),)),
            TrafficSelectors(PayloadType.TS_R, (TrafficSelector.of_network("10.2.0.0/24"),)),
        )


def _auth(make: Callable[[Scene], tuple[Payload, ...]]) -> Callable[[Scene], None]:
    def letter(scene: Scene) -> None:
        payloads = (scene.identity(), *make(scene), *scene.child())
        scene.say(ExchangeType.IKE_AUTH, payloads, response=scene.initiates)

    return letter


def _bare(
    exchange: int, make: Callable[[Scene], tuple[Payload, ...]], *, response: bool = False
) -> Callable[[Scene], None]:
    return lambda scene: scene.say(exchange, make(scene), response=response)


def _false(scene: Scene) -> Own:
    return FALSE[scene.peer].own()


def _stolen(scene: Scene) -> tuple[Payload, ...]:
    """The true peer's certificate, which is public, and a signature by another key."""
    _, proof = scene.signed(_false(scene))
    return Certificate(CertEncoding.X509_SIGNATURE, TRUE[scene.peer].der), proof


def _replayed(scene: Scene) -> tuple[Payload, ...]:
    """A signature of the true peer, over another conversation."""
    return scene.signed(TRUE[scene.peer].own(), over=scene.octets() + b"of yesterday")


def _new_child(scene: Scene) -> tuple[Payload, ...]:
    return (*scene.child()[:1], Nonce(bytes(32)), *scene.child()[1:])


def _new_ike(scene: Scene) -> tuple[Payload, ...]:
    proposal = parse_proposal("aes256gcm16-prfsha384-x25519", SecurityProtocol.IKE)
    key = KeyExchange(KeMethod.CURVE25519, bytes(range(1, 33)))
    offer = SecurityAssociation((proposal.with_spi(b"\1" * 8, 1),))
    return offer, Nonce(bytes(32)), key


EAP_SUCCESS = Eap(EapCode.SUCCESS, 1)
LETTERS: dict[str, Callable[[Scene], None]] = {
    "work": Scene.work,
    "wait": Scene.wait,
    "untrusted": _auth(lambda s: s.signed(_false(s))),
    "stolen": _auth(_stolen),
    "replayed": _auth(_replayed),
    "own bare key": _auth(lambda s: s.signed(_false(s), raw=True)),
    "no certificate": _auth(lambda s: s.signed(_false(s))[1:]),
    "empty signature": _auth(
        lambda s: (s.signed(_false(s))[0], Authentication(AuthMethod.DIGITAL_SIGNATURE, b""))
    ),
    "wrong key": _auth(lambda s: (s.keyed(b"another pre-shared key than theirs"),)),
    "empty key": _auth(lambda s: (s.keyed(b""),)),
    "NULL": _auth(lambda s: (Authentication(AuthMethod.NULL, s.keyed(b"").data),)),
    "no proof": _auth(lambda s: ()),
    "EAP success": _bare(ExchangeType.IKE_AUTH, lambda s: (EAP_SUCCESS,)),
    "proof alone": _bare(ExchangeType.IKE_AUTH, lambda s: s.signed(_false(s))[1:]),
    "EAP success, answered": _bare(
        ExchangeType.IKE_AUTH, lambda s: (s.identity(), EAP_SUCCESS), response=True
    ),
    "refusal": _bare(
        ExchangeType.IKE_AUTH,
        lambda s: (Notify(kind=NotifyType.AUTHENTICATION_FAILED),),
        response=True,
    ),
    "new child": _bare(ExchangeType.CREATE_CHILD_SA, _new_child),
    "new child, answered": _bare(ExchangeType.CREATE_CHILD_SA, _new_child, response=True),
    "new IKE SA": _bare(ExchangeType.CREATE_CHILD_SA, _new_ike),
    "probe": _bare(ExchangeType.INFORMATIONAL, lambda s: ()),
    "probe, answered": _bare(ExchangeType.INFORMATIONAL, lambda s: (), response=True),
    "delete": _bare(ExchangeType.INFORMATIONAL, lambda s: (Delete(SecurityProtocol.IKE, ()),)),
    "intermediate": _bare(ExchangeType.IKE_INTERMEDIATE, lambda s: ()),
    "resume": _bare(ExchangeType.IKE_SESSION_RESUME, lambda s: (Nonce(bytes(32)),)),
    "follow-up": _bare(ExchangeType.IKE_FOLLOWUP_KE, lambda s: ()),
    "first again": _bare(ExchangeType.IKE_SA_INIT, _new_ike),
}
ROLES = pytest.mark.parametrize("initiates", [False, True], ids=["responder", "initiator"])


def played(kind: AuthKind, initiates: bool, letters: tuple[str, ...]) -> Scene:
    """The victim after these letters; it must not have been beaten by any."""
    scene = Scene(kind, initiates=initiates)
    for at, letter in enumerate(letters):
        LETTERS[letter](scene)
        assert not scene.beaten, letters[: at + 1]
    return scene


@ROLES
@pytest.mark.parametrize("kind", KINDS)
def test_no_sequence_of_letters_leads_in(
    kind: AuthKind, initiates: bool, record_property: Callable[[str, object], None]
) -> None:
    known: set[object] = {Scene(kind, initiates=initiates).standing}
    front: list[tuple[str, ...]] = [()]
    walked = 0
    for _ in range(DEPTH):
        following: list[tuple[str, ...]] = []
        for history in front:
            for letter in LETTERS:
                walked += 1
                standing = played(kind, initiates, (*history, letter)).standing
                if standing not in known:
                    known.add(standing)
                    following.append((*history, letter))
        front = following
    record_property("walked", walked)
    record_property("sequences", len(LETTERS) ** DEPTH)
    assert len(known) >= 3, "the victim never moved"


@ROLES
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_at_random_do_not_lead_in(kind: AuthKind, initiates: bool) -> None:
    chance = Random(f"{kind} {initiates}")
    for _ in range(SAMPLES):
        played(kind, initiates, tuple(chance.choices(tuple(LETTERS), k=DEPTH)))


@ROLES
@pytest.mark.parametrize("kind", KINDS)
def test_the_true_peer_is_let_in_by_the_same_words(kind: AuthKind, initiates: bool) -> None:
    """Else what holds the attacker out might just be a message that nobody would take."""
    scene = Scene(kind, initiates=initiates)
    true = TRUE[scene.peer].own()
    if kind is AuthKind.PSK:
        proof: tuple[Payload, ...] = (scene.keyed(PSK.reveal()),)
    else:
        proof = scene.signed(true, raw=kind is AuthKind.PUBKEY)
    if initiates:
        scene.work()  # its own signature
    _auth(lambda _: proof)(scene)
    while scene.victim.held_computes:
        assert not any(isinstance(effect, InstallSa) for effect in scene.victim.effects)
        scene.work()
    assert scene.beaten and scene.sa.is_open
    assert any(isinstance(effect, InstallSa) for effect in scene.victim.effects)
