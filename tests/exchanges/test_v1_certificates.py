"""Phase 1 of IKEv1 by signature: RSA and ECDSA in both roles, and what is refused (E129..E160)."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from isthmus.credentials.store import Own
from isthmus.ike.core.commands import Configure, Initiate
from isthmus.ike.core.effects import InstallSa
from isthmus.ike.core.events import DatagramReceived
from isthmus.observe.codes import CATALOGUE
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import Configuration, Connection
from isthmus.values.address import Endpoint
from isthmus.values.identity import IdentityPattern
from isthmus.values.registry.ikev1 import ExchangeType, NotifyType
from isthmus.values.signature import AnyScheme, DigestScheme
from isthmus.wire.v1 import Notify

from .pair import LEFT, RIGHT, Keys, Pair, Side, rule
from .pki import Node, Private, issue, private, trust
from .test_certificate_refusals import CASES, ROOT, SHA256_INFO, Case, forged
from .test_certificates import LEFT_ID, RIGHT_ID
from .v1 import PHASE2_V1, nothing_left, site, standing, v1_sa
from .v1 import forged as sealed

BETWEEN_HERE = issue("Issuing here", ROOT, private("p256", 950), ca=True)
CERT = (LocalAuth(AuthKind.CERT, "own"), RemoteAuth(AuthKind.CERT, "trust"))
FAR = rule("lan", "10.2.0.0/24", "10.1.0.0/24", PHASE2_V1)
NEAR = rule(proposals=PHASE2_V1)


@cache
def leaf(side: str, kind: str, issuer: Node = ROOT) -> Node:
    """A sound certificate."""
    number = 100 if side == "left" else 200
    return issue(side, issuer, private(kind, number), names=(f"fqdn:{side}.example.org",))


def ends(
    left: Keys, right: Keys, left_remote: RemoteAuth = CERT[1], right_remote: RemoteAuth = CERT[1]
) -> Pair:
    """Two sides with these stores."""
    near: Connection = site(
        "site-b",
        RIGHT,
        (NEAR,),
        local_id=LEFT_ID,
        remote_id=RIGHT_ID,
        local_auth=CERT[0],
        remote_auth=left_remote,
    )
    far: Connection = site(
        "site-a",
        LEFT,
        (FAR,),
        local_id=RIGHT_ID,
        remote_id=LEFT_ID,
        local_auth=CERT[0],
        remote_auth=right_remote,
    )
    return Pair(near, far, left, right)


def store(own: Own) -> Keys:
    """Trust in the one root."""
    return Keys(owns={"own": own}, trusts={"trust": trust(ROOT)})


@pytest.mark.parametrize("kind", ["rsa2048", "rsa3072", "p256", "p384", "p521"])
@pytest.mark.parametrize("who", ["left", "right"])
def test_signatures_in_both_roles(kind: str, who: str) -> None:
    pair = ends(store(leaf("left", kind).own()), store(leaf("right", kind).own()))
    side: Side = getattr(pair, who)
    side.command(Initiate(side.view().name))
    pair.settle().advance(1)
    for each in (pair.left, pair.right):
        assert each.view().rules[0].state == "up", each.happenings[-3:]
        (told,) = each.events("peer.verified")
        assert "signature holds" in told.message
    pair.agree()
    pair.advance(20)
    for each in (pair.right, pair.left):
        pair.rekey(each, 1)
        pair.settle().advance(20)
    assert pair.left.engine.census()["ike_sas"] == 1 and len(pair.left.children()) == 1
    pair.down(pair.left)
    pair.settle()
    nothing_left(pair)


def test_an_intermediate_is_sent_along() -> None:
    left = leaf("left", "p256", BETWEEN_HERE)
    pair = ends(store(left.own(BETWEEN_HERE)), store(leaf("right", "p256").own()))
    standing(pair)


def test_each_message_of_a_proof_by_signature_lost_once() -> None:
    for lost in range(6):
        pair = ends(store(leaf("left", "p256").own()), store(leaf("right", "p256").own()))
        pair.packet(pair.left)
        for _ in range(lost):
            pair.step()
        pair.lose()
        pair.advance(5)
        assert pair.left.view().rules[0].state == pair.right.view().rules[0].state == "up"
        assert len(pair.right.events("peer.verified")) == 1
        pair.agree()


def test_another_kind_of_key_on_each_side_has_no_common_method() -> None:
    """In IKEv1 one method says how both sides sign."""
    pair = ends(store(leaf("left", "rsa2048").own()), store(leaf("right", "p256").own()))
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(2)
    for side in (pair.left, pair.right):
        failure = side.view().failure
        assert failure is not None and failure.code == "E110"
    assert "ECDSA" in pair.right.events("phase1.failed")[0].message


def test_a_pre_shared_key_where_a_certificate_is_asked_for() -> None:
    both = ends(store(leaf("left", "p256").own()), store(leaf("right", "p256").own()))
    (far,) = both.right.engine._tunnels.connections()
    near = site("site-b", RIGHT, (NEAR,), local_id=LEFT_ID, remote_id=RIGHT_ID)
    pair = Pair(near, far, None, store(leaf("right", "p256").own()))
    pair.left.command(Initiate("site-b"))
    pair.settle().advance(2)
    assert pair.right.events("phase1.failed")[0].code == "E110"
    assert not pair.right.sas


def padded(make: Callable[[bytes], bytes]) -> Callable[[Private, AnyScheme, bytes], bytes]:
    """PKCS#1 with a block of the forger's making around the right hash."""

    def forge(key: Private, scheme: AnyScheme, octets: bytes) -> bytes:
        assert scheme is DigestScheme.RSA_PKCS1 and isinstance(key, rsa.RSAPrivateKey)
        numbers = key.private_numbers()
        block = int.from_bytes(make(octets))
        return pow(block, numbers.d, numbers.public_numbers.n).to_bytes(256)

    return forge


def filled(inside: bytes) -> bytes:
    """A block as it should be, around this."""
    return b"\0\x01" + b"\xff" * (253 - len(inside)) + b"\0" + inside


def cut(inside: bytes) -> bytes:
    """Too little padding, and garbage behind."""
    start = b"\0\x01" + b"\xff" * 8 + b"\0" + inside
    return start + bytes(256 - len(start))


RSA_CASES = (
    *tuple(
        Case(name, "E134", forged("rsa2048", padded(make)), "does not hold")
        for name, make in (
            ("short padding", cut),
            ("trailing garbage", lambda inside: filled(inside + b"\x00")),
            ("another hash", lambda inside: filled(bytes(len(inside)))),
            ("half of the hash", lambda inside: filled(inside[:16])),
            ("nothing", lambda inside: filled(b"")),
            ("another digit", lambda inside: filled(bytes((inside[0] ^ 1, *inside[1:])))),
            ("block type 2", lambda inside: b"\x00\x02" + filled(inside)[2:]),
        )
    ),
    Case("empty", "E134", forged("rsa2048", lambda key, scheme, octets: b""), "does not hold"),
)
OF_VERSION_2 = {
    "short PS",
    "trailing garbage",
    "wrong DigestInfo",
    "empty signature",
    "signature over wrong octets",
}
SHARED = tuple(
    case for case in CASES if case.local.kind is AuthKind.CERT and case.name not in OF_VERSION_2
)


@pytest.mark.parametrize("faulty", ["left", "right"])
@pytest.mark.parametrize("case", (*SHARED, *RSA_CASES), ids=lambda case: case.name)
def test_is_refused(case: Case, faulty: str) -> None:
    """The left begins: with the fault there, the responder has to refuse, else the initiator."""
    kind = "rsa2048" if case in RSA_CASES else "p256"
    sound = "right" if faulty == "left" else "left"
    stores = {
        faulty: store(case.own(faulty)),
        sound: Keys(
            owns={"own": leaf(sound, kind).own()},
            trusts={"trust": case.trust},
            statuses=case.statuses(faulty),
        ),
    }
    remotes = {faulty: CERT[1], sound: case.remote}
    pair = ends(stores["left"], stores["right"], remotes["left"], remotes["right"])
    judge, other = (pair.right, pair.left) if faulty == "left" else (pair.left, pair.right)
    pair.left.command(Initiate("site-b"))
    pair.settle()
    failures = judge.events("phase1.failed")
    assert [f.code for f in failures] == [case.code], [(f.code, f.message) for f in failures]
    assert case.says in failures[0].message
    assert not judge.sas and not any(isinstance(e, InstallSa) for e in judge.effects)
    assert not judge.events("phase1.up")
    assert case.code in {finding.id for finding in CATALOGUE}
    pair.advance(2)
    # The other side is told, under the keys of the phase 1 that does not come to be.
    assert not other.sas and not any(isinstance(e, InstallSa) for e in other.effects)
    if faulty == "left":
        assert "E129" in {f.code for f in other.events("phase1.failed")}
    else:
        assert other.events("phase1.down"), "a responder believes in it until it is told"
    pair.advance(3)
    for side in (pair.left, pair.right):
        census = side.engine.census()
        assert census["half_open"] == census["waiting_computes"] == census["ike_sas"] == 0


def test_a_digest_with_its_name_around_is_no_signature_of_version_1() -> None:
    """RFC 2409 §5.1: the hash itself is what is padded."""
    case = Case(
        "", "E134", forged("rsa2048", padded(lambda inside: filled(SHA256_INFO + inside))), ""
    )
    pair = ends(store(case.own("left")), store(leaf("right", "rsa2048").own()))
    pair.left.command(Initiate("site-b"))
    pair.settle()
    assert [f.code for f in pair.right.events("phase1.failed")] == ["E134"]


def test_a_responder_whose_proof_is_refused_later_does_not_stand_on() -> None:
    """Some initiators say so in a notify and send no Delete."""
    pair = ends(store(leaf("left", "p256").own()), store(leaf("right", "p256").own()))
    pair.left.command(Initiate("site-b"))
    for _ in range(6):
        pair.step()
    pair.lose()
    left, right = v1_sa(pair.left), v1_sa(pair.right)
    assert right.is_open and not right.children
    refusal = Notify(NotifyType.AUTHENTICATION_FAILED, b"", 1, bytes(left.spi_i + left.spi_r))
    octets = sealed(left, ExchangeType.INFORMATIONAL, 5, (refusal,))
    pair.right.feed(DatagramReceived(Endpoint(RIGHT, 500), Endpoint(LEFT, 500), octets))
    assert not right.is_open and pair.right.engine.census()["ike_sas"] == 0
    (down,) = pair.right.events("phase1.down")
    assert down.code == "E129"


@pytest.mark.parametrize("faulty", ["left", "right"])
def test_another_identity_than_expected_tells_all_three(faulty: str) -> None:
    """Sent, expected, and what the certificate holds."""
    pair = ends(store(leaf("left", "p256").own()), store(leaf("right", "p256").own()))
    judge = pair.right if faulty == "left" else pair.left
    (tunnel,) = judge.engine._tunnels.connections()
    expected = IdentityPattern.parse("fqdn:*.example.com")
    judge.command(Configure(Configuration((replace(tunnel, remote_id=expected),))))
    pair.left.command(Initiate("site-b"))
    pair.settle()
    (failed,) = judge.events("phase1.failed")
    assert failed.code == "E130" and f"fqdn:{faulty}.example.org" in failed.message
    assert f"{expected} (tunnel {tunnel.name})" in failed.message
    assert f"its certificate holds fqdn:{faulty}.example.org" in failed.message
    pair.advance(5)
    assert pair.left.engine.census()["ike_sas"] == pair.right.engine.census()["ike_sas"] == 0
