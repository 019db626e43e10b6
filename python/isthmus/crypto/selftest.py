"""Start-up self-test: what works here is offered, what does not is withdrawn and said (S-29).

Each algorithm must give the octets of `known_answers.py`, take back what it sealed and refuse it
after one bit changed. It takes some tens of milliseconds: once, before the event loop runs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from isthmus.crypto import agreement, modp
from isthmus.crypto.cipher import CtrCipher, PlainCipher
from isthmus.crypto.integrity import INTEGS, icv, integrity_key_size
from isthmus.crypto.known_answers import (
    AGREEMENT,
    DATA,
    ENCRYPTION,
    IV,
    KEY,
    PLAINTEXT,
    Agreement,
)
from isthmus.crypto.known_answers import INTEGRITY as INTEGRITY_ANSWERS
from isthmus.crypto.known_answers import PRF as PRF_ANSWERS
from isthmus.crypto.prf import PRFS, prf
from isthmus.crypto.suite import (
    ENCRS,
    chained_cipher,
    encryption_key_size,
    icv_size,
    iv_size,
    key_lengths,
    message_cipher,
)
from isthmus.values.errors import IntegrityFailed
from isthmus.values.proposal import AEAD_ENCR, Proposal, Suite, Transform
from isthmus.values.registry.ikev2 import Encr, Esn, Integ, KeMethod, Prf, TransformType
from isthmus.values.secret import Secret


class SelfTestFailed(Exception):
    """An algorithm did not do what its known answer says. The text is the reason to report."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """An algorithm that failed its self-test, and a sentence that says how."""

    transform: Transform
    reason: str

    def __str__(self) -> str:
        return f"{self.transform}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this host can really do. Policy is checked against it before anything is offered."""

    transforms: frozenset[Transform]
    withdrawn: tuple[Withdrawn, ...] = ()

    def supports(self, transform: Transform) -> bool:
        """The transform passed its self-test. Never true for unknown attributes."""
        return transform in self.transforms

    def unsupported(self, proposal: Proposal) -> tuple[Withdrawn, ...]:
        """The transforms of a proposal that cannot be used here, each with the reason."""
        reasons = {w.transform: w for w in self.withdrawn}
        return tuple(
            reasons.get(t, Withdrawn(t, "not supported by this version"))
            for t in proposal.transforms
            if not self.supports(t)
        )


def supported() -> Capabilities:
    """Run the self-test of every algorithm and tell the outcome. Never raises."""
    passed: set[Transform] = {
        Transform(TransformType.INTEG, Integ.NONE),
        Transform(TransformType.KE, KeMethod.NONE),
        *(Transform(TransformType.ESN, number) for number in Esn),
    }
    withdrawn: list[Withdrawn] = []
    for transform, test in _tests():
        try:
            test()
        except SelfTestFailed as failure:
            withdrawn.append(Withdrawn(transform, str(failure)))
        except Exception as failure:
            # Whatever a library does wrong on this host, the others must still be offered.
            reason = f"self-test raised {type(failure).__name__}: {failure}"
            withdrawn.append(Withdrawn(transform, reason))
        else:
            passed.add(transform)
    return Capabilities(frozenset(passed), tuple(withdrawn))


def _tests() -> Iterable[tuple[Transform, Callable[[], None]]]:
    for encr in sorted(ENCRS):
        for bits in key_lengths(encr) or (None,):
            transform = Transform(TransformType.ENCR, encr, bits)
            yield transform, partial(_test_encryption, encr, bits or 0)
    for integ in sorted(INTEGS):
        yield Transform(TransformType.INTEG, integ), partial(_test_integrity, integ)
    for number in sorted(PRFS):
        yield Transform(TransformType.PRF, number), partial(_test_prf, number)
    for method in sorted(agreement.METHODS):
        test = _test_modp if method in modp.METHODS else _test_curve
        yield Transform(TransformType.KE, method), partial(test, method)


def _expect(found: bytes, answer: bytes) -> None:
    if found != answer:
        raise SelfTestFailed("self-test gave a wrong answer")


def _test_encryption(encr: Encr, key_bits: int) -> None:
    key = KEY[: encryption_key_size(encr, key_bits)]
    iv = IV[: iv_size(encr)]
    integ = Integ.NONE if encr in AEAD_ENCR else Integ.HMAC_SHA2_256_128
    suite = Suite(encr, key_bits, integ)
    integrity_key = Secret(KEY[:32] if integ else b"")
    cipher = message_cipher(suite, Secret(key), integrity_key)
    sealed = cipher.seal(iv, DATA, PLAINTEXT)
    answer = ENCRYPTION[encr, key_bits]
    if encr in AEAD_ENCR:
        _expect(sealed, answer)
    else:
        if encr == Encr.AES_CTR:
            bare: PlainCipher = CtrCipher(key[:-4], key[-4:])
        else:
            bare = chained_cipher(encr, Secret(key))
        _expect(bare.encrypt(iv, PLAINTEXT), answer)
        _expect(sealed, answer + icv(integ, integrity_key, DATA + iv + answer))
    _expect(cipher.open(iv, DATA, sealed), PLAINTEXT)
    if len(sealed) != len(PLAINTEXT) + icv_size(suite):
        raise SelfTestFailed("self-test gave a wrong length")
    for damaged, aad in ((sealed[:-1] + bytes((sealed[-1] ^ 1,)), DATA), (sealed, DATA[1:])):
        try:
            cipher.open(iv, aad, damaged)
        except IntegrityFailed:
            continue
        raise SelfTestFailed("self-test accepted a damaged message")


def _test_integrity(integ: Integ) -> None:
    key = Secret(KEY[: integrity_key_size(integ)])
    _expect(icv(integ, key, DATA), INTEGRITY_ANSWERS[integ])


def _test_prf(number: Prf) -> None:
    _expect(prf(number, KEY[:24], DATA), PRF_ANSWERS[number])


def _test_modp(method: KeMethod) -> None:
    """The native module against Python's own power function; no secret is in it."""
    private = KEY[:28]
    prime, exponent = modp.prime(method), int.from_bytes(private, "big")
    ours = agreement.public_value(method, Secret(private))
    _expect(ours, pow(2, exponent, prime).to_bytes(modp.size(method), "big"))
    # 4 = 2^2, so the shared secret is the square of our public value: one power less to compute.
    peer = (4).to_bytes(modp.size(method), "big")
    shared = agreement.agree(method, Secret(private), peer).reveal()
    square = pow(int.from_bytes(ours, "big"), 2, prime)
    _expect(shared, square.to_bytes(modp.size(method), "big"))
    _refuses(method, Secret(private), (prime - 1).to_bytes(modp.size(method), "big"))


def _test_curve(method: KeMethod) -> None:
    answer: Agreement = AGREEMENT[method]
    ours, theirs = Secret(answer.private_i), Secret(answer.private_r)
    public_i = agreement.public_value(method, ours)
    public_r = agreement.public_value(method, theirs)
    _expect(agreement.agree(method, ours, public_r).reveal(), answer.shared)
    _expect(agreement.agree(method, theirs, public_i).reveal(), answer.shared)
    _refuses(method, ours, bytes(len(public_r)))


def _refuses(method: KeMethod, private: Secret, peer: bytes) -> None:
    try:
        agreement.agree(method, private, peer)
    except agreement.BadPublicValue:
        return
    raise SelfTestFailed("self-test accepted a bad public value")
