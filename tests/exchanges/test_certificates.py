"""Phase 1 by signature between two engines: what comes up, in both roles, and how each side proves
itself."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest

from isthmus.credentials.store import Own, Trust
from isthmus.crypto.signature import MemoryKey
from isthmus.ike.core.commands import Configure, Initiate
from isthmus.ike.core.effects import JudgePeer, Sign
from isthmus.ike.core.events import ComputeFinished
from isthmus.ike.v2.exchanges import auth_terms
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.connection import Configuration, Connection
from isthmus.values.identity import Identity
from isthmus.values.signature import Scheme, schemes_of
from isthmus.values.trust import RevocationMode
from isthmus.x509.ocsp import OcspAnswer
from isthmus.x509.revocation import Statuses

from .pair import DATE, LEFT, RIGHT, Keys, Pair, Side, connection, rule
from .pki import Node, issue, ocsp_answer, private, trust

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


@cache
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


@pytest.mark.parametrize("vouching", ["left", "right"])
def test_an_ocsp_answer_goes_along_with_the_certificate(vouching: str) -> None:
    """RFC 4806: the other side knows nothing, is strict, and asks nobody."""
    answer = ocsp_answer(leaf(vouching), good=True, at=datetime.fromtimestamp(DATE - 60, UTC))
    both = _strict_about(vouching, answer).establish()
    both.agree()
    sender = both.left if vouching == "left" else both.right
    sent = [str(dict(h.detail)["payloads"]) for h in sender.events("exchange.sent")]
    assert any(f"CERT(OCSP_CONTENT {len(answer)} octets)" in payloads for payloads in sent), sent


@pytest.mark.parametrize("age_s", [0, 90_000])
@pytest.mark.parametrize("vouching", ["left", "right"])
def test_an_answer_that_says_revoked_or_nothing_does_not_help(vouching: str, age_s: int) -> None:
    """Revoked is told as that, however the answer came; one that is too old is not sent."""
    issued_at = datetime.fromtimestamp(DATE - age_s, UTC)
    until = issued_at + timedelta(days=1)
    answer = ocsp_answer(leaf(vouching), good=age_s > 0, at=issued_at, until=until)
    both = _strict_about(vouching, answer)
    both.left.command(Initiate("site-b"))
    both.settle()
    judge = both.right if vouching == "left" else both.left
    (failed,) = judge.events("phase1.failed")
    assert failed.code == ("E160" if age_s else "E151"), failed.message
    assert not both.left.sas and not both.right.sas


def _strict_about(vouching: str, answer: bytes) -> Pair:
    """One side has an OCSP answer about its own certificate, the other must have one."""
    strict = RemoteAuth(AuthKind.CERT, "trust", (), RevocationMode.STRICT)
    off = RemoteAuth(AuthKind.CERT, "trust", (), RevocationMode.OFF)
    stores = {side: keys(leaf(side).own(), trust(ROOT)) for side in ("left", "right")}
    stores[vouching].statuses = Statuses.of(answers=(OcspAnswer.parse(answer),))
    left_auth, right_auth = (CERT[0], off), (CERT[0], strict)
    if vouching == "right":
        left_auth, right_auth = right_auth, left_auth
    return pair(stores["left"], stores["right"], left_auth, right_auth)


def test_several_tunnels_behind_one_address_are_told_apart_by_identity() -> None:
    """By whom the peer says it is, and by whom it asks us to be."""
    left = left_side(*CERT)
    names = ("fqdn:a.example.org", "fqdn:right.example.org", "fqdn:b.example.org")
    rights = tuple(
        replace(
            right_side(LocalAuth(AuthKind.CERT, name), CERT[1]),
            name=f"tunnel-{at}",
            local_id=Identity.parse(name),
        )
        for at, name in enumerate(names)
    )
    store = Keys(
        owns={n: issue(n, ROOT, private("p256", 300), names=(n,)).own() for n in names},
        trusts={"trust": trust(ROOT)},
    )
    both = Pair(left, rights[0], keys(leaf("left").own(), trust(ROOT)), store)
    both.right.command(Configure(Configuration(rights)))
    both.left.command(Initiate("site-b"))
    both.settle()
    assert both.left.view().state == "up"
    states = {name: both.right.view(name).state for name in ("tunnel-0", "tunnel-1", "tunnel-2")}
    assert [name for name, state in states.items() if state == "up"] == ["tunnel-1"]
    both.agree()


def test_pairs_by_keys_say_nothing_of_signatures() -> None:
    both = Pair().establish()
    for side in (both.left, both.right):
        for happening in side.events("exchange.sent"):
            assert "SIGNATURE_HASH" not in str(happening.detail)
            assert "CERT" not in str(happening.detail)


@pytest.mark.parametrize(
    ("kind", "method", "scheme"),
    [
        ("rsa2048", "RSA_SIGNATURE", "rsa-pkcs1-sha256"),
        ("p256", "ECDSA_P256", "ecdsa-sha256"),
        ("p384", "ECDSA_P384", "ecdsa-sha384"),
        ("p521", "ECDSA_P521", "ecdsa-sha512"),
    ],
)
def test_peers_that_do_not_know_digital_signatures(
    kind: str, method: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7296 method 1 and RFC 4754: nobody has said which hashes are taken."""
    monkeypatch.setattr(auth_terms, "hashes", lambda connections: ())
    both = by_certificates(kind).establish()
    both.agree()
    for side in (both.left, both.right):
        assert verified(side)["scheme"] == scheme
        sent = [str(dict(h.detail)["payloads"]) for h in side.events("exchange.sent")]
        assert any(f"AUTH({method})" in payloads for payloads in sent), sent


@pytest.mark.parametrize("kind", ["ed25519", "ed448"])
def test_edwards_keys_need_digital_signatures(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8420 §2: not to a receiver that has not said that it takes them."""
    monkeypatch.setattr(auth_terms, "hashes", lambda connections: ())
    both = by_certificates(kind)
    both.left.command(Initiate("site-b"))
    both.settle()
    (failed,) = both.left.events("phase1.failed")
    assert failed.code == "E136"


def test_sha1_goes_to_old_peers_that_are_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Method 1 expects SHA-1 (RFC 7296 §3.8); both sides have to say that they mean it."""
    monkeypatch.setattr(auth_terms, "hashes", lambda connections: ())
    weak = (Scheme.RSA_PKCS1_SHA256, Scheme.RSA_PKCS1_SHA1)
    auth = (LocalAuth(AuthKind.CERT, "own", weak), RemoteAuth(AuthKind.CERT, "trust", weak))
    sides = [keys(leaf(side, "rsa2048").own(), trust(ROOT)) for side in ("left", "right")]
    both = pair(sides[0], sides[1], auth, auth).establish()
    assert verified(both.left)["scheme"] == verified(both.right)["scheme"] == "rsa-pkcs1-sha1"
    strict = pair(sides[0], sides[1], auth, CERT)
    strict.left.command(Initiate("site-b"))
    strict.settle()
    (failed,) = strict.right.events("phase1.failed")
    assert failed.code == "E135" and "rsa-pkcs1-sha1" in failed.message
