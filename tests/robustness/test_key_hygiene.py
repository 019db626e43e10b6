"""S-23, S-24, S-25, R-07, R-11: public values, ephemeral keys and initialization vectors."""

from collections.abc import Iterator

import pytest
from tests.exchanges.pair import Pair

from isthmus.crypto import agreement
from isthmus.crypto.modp import prime
from isthmus.crypto.suite import MessageCipher
from isthmus.ike.core.commands import Initiate
from isthmus.ike.core.effects import Agree, Compute, MakeKey, MakeKeyAndAgree
from isthmus.ike.v2 import protect
from isthmus.ike.v2.exchanges import ike_sa_init, rekey_ike
from isthmus.values.registry.ikev2 import KeMethod

from .mutation import Piece, join, split
from .scenes import CBC1, CBC2, SCENES, Scene, Stage, pair_of

KE = 34
AEADS = ("aes256gcm16", "aes128gcm8", "aes256ccm16", "chacha20poly1305")


# --- public values ---------------------------------------------------------------------------


def bad_values(method: KeMethod) -> Iterator[tuple[str, bytes]]:
    """Public values that no honest peer sends."""
    size = agreement.public_size(method)
    yield "short", bytes(range(1, size))
    yield "long", bytes(range(256)) * 3 + bytes(size)
    yield "nothing", b""
    if method is KeMethod.CURVE25519:
        for low in (0, 1, 2**255 - 19, 2**255 - 20, 2**255 - 18):
            yield f"low order {low:x}", low.to_bytes(32, "little")
        yield (
            "order 8",
            bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        )
    elif method is KeMethod.ECP_256:
        yield "infinity", bytes(64)
        yield "off the curve", (1).to_bytes(32, "big") + (1).to_bytes(32, "big")
        yield "coordinates too large", b"\xff" * 64
    else:
        p = prime(method)
        for name, value in (("0", 0), ("1", 1), ("p-1", p - 1), ("p", p), ("p+1", p + 1)):
            yield name, value.to_bytes(size, "big")


GROUPS = {
    "x25519": KeMethod.CURVE25519,
    "ecp256": KeMethod.ECP_256,
    "modp2048": KeMethod.MODP_2048,
}
WITH_KE = tuple(s for s in SCENES if s.name.startswith(("init-", "new-child-", "rekey-")))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("scene", WITH_KE, ids=[s.name for s in WITH_KE])
def test_bad_public_values_are_refused_before_any_key_is_derived(
    scene: Scene, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every message that carries one; nothing is installed, and no key comes of it."""
    for name, value in bad_values(GROUPS[group]):
        stage = Stage(scene, (f"aes256gcm16-prfsha384-{group}",), (f"aes256gcm16-{group}",))
        pieces = split(stage.inside.first, stage.inside.chain)
        wronged = [Piece(p.kind, p.body[:4] + value) if p.kind == KE else p for p in pieces]
        assert wronged != pieces
        sas = set(stage.victim.sas)

        def never(*_: object, name: str = name) -> None:
            raise AssertionError(f"keys were derived from a bad value: {name}")

        with monkeypatch.context() as patch:
            for module, function in (
                (ike_sa_init, "skeyseed"),
                (rekey_ike, "rekey_skeyseed"),
            ):
                patch.setattr(module, function, never)
            stage.deliver(stage.written(*join(wronged)))
        assert set(stage.victim.sas) <= sas
        if scene.name.startswith("init"):
            assert not stage.victim.out
            assert stage.victim.engine.census()["ike_sas"] == 0


# --- ephemeral keys --------------------------------------------------------------------------


def test_a_private_value_is_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-24: over handshakes, group changes, renewals and refusals each value agrees once."""
    made: list[bytes] = []
    used: list[bytes] = []
    generate, agree = agreement.generate, agreement.agree

    def generating(*given: object) -> object:
        private, public = generate(*given)  # type: ignore[arg-type]
        made.append(private.reveal())
        return private, public

    def agreeing(method: object, private: object, peer: object) -> object:
        used.append(private.reveal())  # type: ignore[attr-defined]
        return agree(method, private, peer)  # type: ignore[arg-type]

    monkeypatch.setattr(agreement, "generate", generating)
    monkeypatch.setattr(agreement, "agree", agreeing)
    for seed in range(40):
        pair = busy(pair_of(), seed)
        for side in (pair.left, pair.right):
            jobs = [e.job for e in side.effects if isinstance(e, Compute)]
            agreed = [j for j in jobs if isinstance(j, Agree)]
            assert len({j.private.reveal() for j in agreed}) == len(agreed)
            assert any(isinstance(j, MakeKey | MakeKeyAndAgree) for j in jobs)
        # Both sides of a pair are seeded alike in each round: distinct within it.
        assert len(set(made)) == len(made) and len(set(used)) == len(used) > 10
        made.clear(), used.clear()


def busy(pair: Pair, rounds: int) -> Pair:
    """Many exchanges of every kind from both sides, over several IKE SAs."""
    pair.left.command(Initiate("site-b", "lan"))
    pair.settle()
    for turn in range(6 + rounds % 5):
        side = pair.left if turn % 2 else pair.right
        pair.rekey(side, 1 + turn % 3 // 2)
        if turn % 4 == 3:
            pair.rekey(pair.other(side), 1)
        pair.settle()
        pair.advance(40.0)
    return pair


# --- initialization vectors ------------------------------------------------------------------


class Tap:
    """Writes down every (key, IV) that something is sealed with."""

    def __init__(self, inner: MessageCipher, key: bytes, seen: list[tuple[bytes, bytes]]) -> None:
        self._inner = inner
        self._key = key
        self._seen = seen
        self.iv_size = inner.iv_size
        self.icv_size = inner.icv_size
        self.block_size = inner.block_size
        self.counter_iv = inner.counter_iv

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        self._seen.append((self._key, iv))
        return self._inner.seal(iv, aad, plaintext)

    def open(self, iv: bytes, aad: bytes, octets: bytes) -> bytes:
        return self._inner.open(iv, aad, octets)


@pytest.mark.parametrize("cipher", [*AEADS, "cbc"])
def test_no_iv_is_used_twice_with_a_key(cipher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-11: over renewals, collisions and probes, on both sides; repeats are sent, not sealed."""
    seen: list[tuple[bytes, bytes]] = []
    make = protect.message_cipher

    def tapped(suite: object, key: object, integrity: object) -> MessageCipher:
        inner = make(suite, key, integrity)  # type: ignore[arg-type]
        return Tap(inner, key.reveal(), seen)  # type: ignore[attr-defined]

    monkeypatch.setattr(protect, "message_cipher", tapped)
    terms = (CBC1, CBC2) if cipher == "cbc" else ((f"{cipher}-prfsha256-x25519",), CBC2)
    pair = pair_of(*terms)
    pair.left.command(Initiate("site-b", "lan"))
    pair.settle()
    for turn in range(150):
        side = pair.left if turn % 2 else pair.right
        pair.rekey(side, 1 if turn % 10 == 9 else 2)
        if turn % 7 == 0:
            pair.rekey(pair.other(side), 1 + turn % 2)
        if turn % 5 == 0:
            pair.lose()
        pair.settle()
        pair.advance(30.0)
    assert len(pair.left.sas) >= 2
    assert len({key for key, _ in seen}) > 20 and len(seen) > 1000
    assert len(set(seen)) == len(seen), "an IV came twice with one key"
