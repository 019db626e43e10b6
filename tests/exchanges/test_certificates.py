"""Phase 1 by signature between two engines: what comes up, in both roles, and how each side proves
itself."""

import re

import pytest

from isthmus.credentials.store import Own, Trust
from isthmus.crypto.signature import MemoryKey
from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import JudgePeer, Sign
from isthmus.ike.core.events import ComputeFinished
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import Connection
from isthmus.values.signature import Scheme, schemes_of

from .pair import LEFT, RIGHT, Keys, Pair, Side, connection, rule
from .pki import Node, issue, private, trust

LEFT_ID, RIGHT_ID = "fqdn:left.example.org", "fqdn:right.example.org"
ROOT = issue("Root")
BETWEEN = issue("Issuing", ROOT, ca=True)
CERT = (LocalAuth(AuthKind.CERT, "own"), RemoteAuth(AuthKind.CERT, "trust"))
PSK_AUTH = (LocalAuth(AuthKind.PSK, "psk"), RemoteAuth(AuthKind.PSK, "psk"))


def left_side(local: LocalAuth, remote: RemoteAuth) -> Connection:
    """The tunnel as the left has it."""
    return connection(
        "site-b",
        RIGHT,
        (rule(),),
        local_id=LEFT_ID,
        remote_id=RIGHT_ID,
        local_auth=local,
        remote_auth=remote,
    )


def right_side(local: LocalAuth, remote: RemoteAuth) -> Connection:
    """The tunnel as the right has it."""
    return connection(
        "site-a",
        LEFT,
        (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),),
        local_id=RIGHT_ID,
        remote_id=LEFT_ID,
        local_auth=local,
        remote_auth=remote,
    )


def keys(own: Own, trusted: Trust) -> Keys:
    """The store of one side."""
    return Keys(owns={"own": own}, trusts={"trust": trusted})


def leaf(side: str, kind: str = "p256", issuer: Node = ROOT) -> Node:
    """The certificate of a side."""
    number = 100 if side == "left" else 200
    return issue(side, issuer, private(kind, number), names=(f"fqdn:{side}.example.org",))


def pair(
    left: Keys,
    right: Keys,
    left_auth: tuple[LocalAuth, RemoteAuth] = CERT,
    right_auth: tuple[LocalAuth, RemoteAuth] = CERT,
) -> Pair:
    """Two sides with these stores."""
    return Pair(left_side(*left_auth), right_side(*right_auth), left, right)


def by_certificates(kind: str = "p256") -> Pair:
    """Both sides by certificates of one root."""
    return pair(
        keys(leaf("left", kind).own(), trust(ROOT)), keys(leaf("right", kind).own(), trust(ROOT))
    )


def verified(side: Side) -> dict[str, str | int | float | bool]:
    """What a side has found out about the other."""
    (happening,) = side.events("peer.verified")
    return dict(happening.detail)


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "p521", "ed25519", "ed448"])
def test_two_sides_with_certificates_of_one_root(kind: str) -> None:
    both = by_certificates(kind).establish()
    both.agree()
    best = str(schemes_of(MemoryKey(private(kind, 100)).public.kind)[0])
    for side, other in ((both.left, "right"), (both.right, "left")):
        facts = verified(side)
        assert facts["scheme"] == best
        assert f"CN={other}" in str(facts["key"])
        assert facts["not_after"] == int(leaf(other).certificate.not_valid_after_utc.timestamp())


@pytest.mark.parametrize(
    "scheme",
    [s for k in ("rsa2048", "p384") for s in schemes_of(MemoryKey(private(k)).public.kind)],
)
def test_every_scheme_that_is_named_is_used(scheme: Scheme) -> None:
    """Weak ones too: naming them is how the user says that they are meant."""
    kind = "rsa2048" if scheme.startswith("rsa") else "p384"
    left, right = leaf("left", kind), leaf("right", kind)
    auth = (
        LocalAuth(AuthKind.CERT, "own", (scheme,)),
        RemoteAuth(AuthKind.CERT, "trust", (scheme,)),
    )
    both = pair(keys(left.own(), trust(ROOT)), keys(right.own(), trust(ROOT)), auth, auth)
    both.establish()
    assert verified(both.left)["scheme"] == verified(both.right)["scheme"] == scheme


def test_weak_schemes_are_not_used_unless_named() -> None:
    auth = (LocalAuth(AuthKind.CERT, "own", (Scheme.RSA_PKCS1_SHA1,)), CERT[1])
    both = pair(
        keys(leaf("left", "rsa2048").own(), trust(ROOT)),
        keys(leaf("right", "rsa2048").own(), trust(ROOT)),
        auth,
    )
    both.left.command(Initiate("site-b"))
    both.settle()
    (failed,) = both.left.events("phase1.failed")
    assert failed.code == "E136" and "SHA2_256" in failed.message


def test_a_chain_is_sent_leaf_first_and_without_its_root() -> None:
    left = leaf("left", issuer=BETWEEN)
    right = leaf("right", issuer=BETWEEN)
    both = pair(
        keys(left.own(BETWEEN, ROOT), trust(ROOT)), keys(right.own(BETWEEN, ROOT), trust(ROOT))
    )
    both.establish()
    for side in (both.left, both.right):
        sent = next(
            dict(h.detail)["payloads"]
            for h in side.events("exchange.sent")
            if dict(h.detail)["exchange"] == "IKE_AUTH"
        )
        assert len(re.findall(r"\bCERT\b", str(sent))) == 2, sent


def test_an_intermediate_that_the_peer_does_not_send_may_be_here() -> None:
    left = leaf("left", issuer=BETWEEN)
    trusted = Trust((ROOT.read,), (BETWEEN.read,))
    both = pair(keys(left.own(), trusted), keys(leaf("right").own(), trusted))
    both.establish()


@pytest.mark.parametrize("signer", ["left", "right"])
def test_one_side_by_certificate_and_the_other_by_key(signer: str) -> None:
    store = keys(leaf(signer).own(), trust(ROOT))
    signs, checks = (CERT[0], PSK_AUTH[1]), (PSK_AUTH[0], CERT[1])
    left_auth, right_auth = (signs, checks) if signer == "left" else (checks, signs)
    both = pair(store, store, left_auth, right_auth)
    both.establish().agree()
    assert len(both.left.events("peer.verified")) == (signer == "right")
    assert len(both.right.events("peer.verified")) == (signer == "left")


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "ed25519", "ed448"])
def test_bare_keys(kind: str) -> None:
    """RFC 7670: no certificate at all."""
    auth = (LocalAuth(AuthKind.PUBKEY, "own"), RemoteAuth(AuthKind.PUBKEY, "trust"))
    left, right = private(kind, 100), private(kind, 200)
    publics = [MemoryKey(left).public, MemoryKey(right).public]
    both = pair(
        Keys(owns={"own": Own(MemoryKey(left))}, trusts={"trust": Trust(raw=(publics[1],))}),
        Keys(owns={"own": Own(MemoryKey(right))}, trusts={"trust": Trust(raw=(publics[0],))}),
        auth,
        auth,
    )
    both.establish().agree()
    assert verified(both.left)["key"] == str(publics[1])


def test_nothing_stands_and_nothing_is_installed_while_workers_judge_and_sign() -> None:
    both = by_certificates()
    both.left.command(Initiate("site-b"))
    while not any(isinstance(c.job, JudgePeer) for c in both.right.held_computes or ()):
        both.right.held_computes = both.right.held_computes or []
        if not both.step():
            held = both.right.held_computes
            assert held, "nothing moves any more"
            both.right.compute(held.pop(0))
    judge = next(c for c in both.right.held_computes or () if isinstance(c.job, JudgePeer))
    assert judge.sheddable, "a stranger asked for it"
    assert not both.right.sas and both.right.view().state != "up"
    before = len(both.right.out)
    both.advance(20, deliver=True)  # repeats of the request are absorbed
    assert len(both.right.out) == before and len(both.right.held_computes or ()) == 1
    both.right.held_computes = []
    both.right.compute(judge)
    (sign,) = both.right.held_computes
    assert isinstance(sign.job, Sign) and not sign.sheddable
    assert not both.right.sas and not both.left.sas
    both.right.held_computes = None
    both.right.compute(sign)
    both.settle()
    both.agree()
    assert both.left.view().state == both.right.view().state == "up"


def test_a_job_that_is_shed_leaves_the_door_open() -> None:
    both = by_certificates()
    both.right.held_computes = []
    both.left.command(Initiate("site-b"))
    both.settle()
    (agree,) = both.right.held_computes
    both.right.held_computes = []
    both.right.compute(agree)
    both.settle()
    (judge,) = both.right.held_computes
    both.right.held_computes = None
    both.right.feed(ComputeFinished(judge.ticket, None, "too many jobs wait"))
    dropped = both.right.events("datagram.dropped")[-1]
    assert dict(dropped.detail)["reason"] == "too_busy_to_judge"
    both.advance(30)
    assert both.left.view().state == both.right.view().state == "up"
    both.agree()


def test_half_open_counts_end_with_the_job() -> None:
    both = by_certificates().establish()
    assert both.right.engine.census()["half_open"] == 0
    assert both.right.engine.census()["waiting_computes"] == 0
