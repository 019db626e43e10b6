"""Transforms and proposals, neutral between IKEv1 and IKEv2 (RFC 7296 §3.3)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from isthmus.values.registry.ikev2 import (
    Encr,
    Esn,
    Integ,
    KeMethod,
    Prf,
    SecurityProtocol,
    TransformType,
)

AEAD_ENCR = frozenset(
    {
        Encr.AES_CCM_8,
        Encr.AES_CCM_12,
        Encr.AES_CCM_16,
        Encr.AES_GCM_8,
        Encr.AES_GCM_12,
        Encr.AES_GCM_16,
        Encr.CHACHA20_POLY1305,
    }
)
"""Ciphers that bring their own integrity (RFC 5282): no INTEG transform stands beside them."""


@dataclass(frozen=True, slots=True, order=True)
class Transform:
    """One algorithm: type, IANA number and, where the cipher has several, a key length in bits.

    `kind` and `number` may be unknown numbers when they came from a peer.
    """

    kind: int
    number: int
    key_bits: int | None = None
    unknown_attributes: bool = False
    """The peer added attributes that we do not know: never chosen (RFC 7296 §3.3.6)."""

    def __str__(self) -> str:
        return transform_keyword(self)


@dataclass(frozen=True, slots=True)
class Proposal:
    """An offer: any one transform of each kind that it lists.

    `spi` is 0, 4 or 8 octets as the exchange asks; `number` is the position on the wire.
    """

    protocol: SecurityProtocol
    transforms: tuple[Transform, ...]
    spi: bytes = b""
    number: int = 1

    def of_kind(self, kind: TransformType) -> tuple[Transform, ...]:
        """The transforms of one kind, in order of preference."""
        return tuple([t for t in self.transforms if t.kind == kind])

    def kinds(self) -> frozenset[int]:
        """The transform kinds that this proposal lists."""
        return frozenset([t.kind for t in self.transforms])

    def with_spi(self, spi: bytes, number: int) -> "Proposal":
        """The same offer under an SPI and a wire number."""
        return Proposal(self.protocol, self.transforms, spi, number)

    def without_kind(self, kind: TransformType) -> "Proposal":
        """The same offer with no transform of a kind (no PFS in the first Child SA, say)."""
        kept = tuple(t for t in self.transforms if t.kind != kind)
        return Proposal(self.protocol, kept, self.spi, self.number)

    def __str__(self) -> str:
        return "-".join(str(t) for t in self.transforms)


@dataclass(frozen=True, slots=True)
class Suite:
    """One transform of each kind, agreed by both sides."""

    encr: Encr
    key_bits: int
    """0 where the cipher has one key size only."""
    integ: Integ = Integ.NONE
    prf: Prf | None = None
    """None in Child SAs."""
    ke: KeMethod = KeMethod.NONE
    esn: bool = False

    @property
    def is_aead(self) -> bool:
        """The cipher brings its own integrity."""
        return self.encr in AEAD_ENCR

    def __str__(self) -> str:
        return _suite_text(self)

    def _text(self) -> str:
        key_bits = self.key_bits or None
        parts = [transform_keyword(Transform(TransformType.ENCR, self.encr, key_bits))]
        if self.integ:
            parts.append(transform_keyword(Transform(TransformType.INTEG, self.integ)))
        if self.prf is not None:
            parts.append(transform_keyword(Transform(TransformType.PRF, self.prf)))
        if self.ke:
            parts.append(transform_keyword(Transform(TransformType.KE, self.ke)))
        if self.esn:
            parts.append("esn")
        return "-".join(parts)


@lru_cache(256)
def _suite_text(suite: Suite) -> str:
    """Thousands of SAs have the same few suites."""
    return suite._text()


@dataclass(frozen=True, slots=True)
class ChosenProposal:
    """What a responder picked: the suite, and the wire form that answers the offer."""

    suite: Suite
    proposal: Proposal
    """Exactly one transform of each kind, the number and SPI of the chosen offer."""
    why: str
    """A sentence for the log: what made this one best."""


_ENCR_WORDS: dict[str, tuple[Encr, int | None]] = {"3des": (Encr.TRIPLE_DES, None)}
for _bits in (128, 192, 256):
    _ENCR_WORDS[f"aes{_bits}"] = (Encr.AES_CBC, _bits)
    _ENCR_WORDS[f"aes{_bits}ctr"] = (Encr.AES_CTR, _bits)
    for _octets, _gcm, _ccm in (
        (16, Encr.AES_GCM_16, Encr.AES_CCM_16),
        (12, Encr.AES_GCM_12, Encr.AES_CCM_12),
        (8, Encr.AES_GCM_8, Encr.AES_CCM_8),
    ):
        _ENCR_WORDS[f"aes{_bits}gcm{_octets}"] = (_gcm, _bits)
        _ENCR_WORDS[f"aes{_bits}ccm{_octets}"] = (_ccm, _bits)
_ENCR_WORDS["chacha20poly1305"] = (Encr.CHACHA20_POLY1305, None)

_INTEG_WORDS = {
    "sha1": Integ.HMAC_SHA1_96,
    "sha256": Integ.HMAC_SHA2_256_128,
    "sha384": Integ.HMAC_SHA2_384_192,
    "sha512": Integ.HMAC_SHA2_512_256,
    "aesxcbc": Integ.AES_XCBC_96,
    "aescmac": Integ.AES_CMAC_96,
    "md5": Integ.HMAC_MD5_96,
}
_PRF_WORDS = {
    "prfsha1": Prf.HMAC_SHA1,
    "prfsha256": Prf.HMAC_SHA2_256,
    "prfsha384": Prf.HMAC_SHA2_384,
    "prfsha512": Prf.HMAC_SHA2_512,
    "prfaesxcbc": Prf.AES128_XCBC,
    "prfaescmac": Prf.AES128_CMAC,
    "prfmd5": Prf.HMAC_MD5,
}
_KE_WORDS = {
    "modp1024": KeMethod.MODP_1024,
    "modp1536": KeMethod.MODP_1536,
    "modp2048": KeMethod.MODP_2048,
    "modp3072": KeMethod.MODP_3072,
    "modp4096": KeMethod.MODP_4096,
    "modp6144": KeMethod.MODP_6144,
    "modp8192": KeMethod.MODP_8192,
    "ecp256": KeMethod.ECP_256,
    "ecp384": KeMethod.ECP_384,
    "ecp521": KeMethod.ECP_521,
    "x25519": KeMethod.CURVE25519,
    "x448": KeMethod.CURVE448,
}
_SYNONYMS = {
    "aes": "aes128",
    "aes128gcm": "aes128gcm16",
    "aes192gcm": "aes192gcm16",
    "aes256gcm": "aes256gcm16",
    "curve25519": "x25519",
    "curve448": "x448",
    "sha2_256": "sha256",
    "sha2_384": "sha384",
    "sha2_512": "sha512",
}
_PRF_OF_INTEG = {
    Integ.HMAC_SHA1_96: Prf.HMAC_SHA1,
    Integ.HMAC_SHA2_256_128: Prf.HMAC_SHA2_256,
    Integ.HMAC_SHA2_384_192: Prf.HMAC_SHA2_384,
    Integ.HMAC_SHA2_512_256: Prf.HMAC_SHA2_512,
    Integ.AES_XCBC_96: Prf.AES128_XCBC,
    Integ.AES_CMAC_96: Prf.AES128_CMAC,
    Integ.HMAC_MD5_96: Prf.HMAC_MD5,
}

WEAK_WORDS = frozenset({"3des", "md5", "prfmd5", "sha1", "prfsha1", "modp1024", "modp1536"})
"""Keywords that RFC 8221/8247 advise against: accepted only where `allow_weak` is set."""


def keywords() -> frozenset[str]:
    """Every word that a proposal string may hold."""
    words = {*_ENCR_WORDS, *_INTEG_WORDS, *_PRF_WORDS, *_KE_WORDS, *_SYNONYMS, "esn", "noesn"}
    return frozenset(words)


@dataclass(slots=True)
class _Words:
    encr: list[Transform] = field(default_factory=list)
    prf: list[Transform] = field(default_factory=list)
    integ: list[Transform] = field(default_factory=list)
    ke: list[Transform] = field(default_factory=list)
    esn: list[Transform] = field(default_factory=list)

    def add(self, word: str) -> bool:
        """Sort one keyword into its kind; False when it is none."""
        if word in _ENCR_WORDS:
            number, bits = _ENCR_WORDS[word]
            self.encr.append(Transform(TransformType.ENCR, number, bits))
        elif word in _INTEG_WORDS:
            self.integ.append(Transform(TransformType.INTEG, _INTEG_WORDS[word]))
        elif word in _PRF_WORDS:
            self.prf.append(Transform(TransformType.PRF, _PRF_WORDS[word]))
        elif word in _KE_WORDS:
            self.ke.append(Transform(TransformType.KE, _KE_WORDS[word]))
        elif word in ("esn", "noesn"):
            self.esn.append(Transform(TransformType.ESN, Esn.ESN if word == "esn" else Esn.NO_ESN))
        else:
            return False
        return True


_KEPT = 256
"""Thousands of tunnels use the same few proposals."""


class UnknownKeyword(ValueError):
    """A proposal string holds a word that names no algorithm."""

    def __init__(self, word: str) -> None:
        super().__init__(f"{word!r} names no algorithm")
        self.word = word


@lru_cache(_KEPT)
def parse_proposal(text: str, protocol: SecurityProtocol) -> Proposal:
    """From strongSwan's spelling: `aes256gcm16-prfsha384-ecp256`, `aes256-sha256-modp2048`.

    In a phase 1 proposal with an AEAD cipher, `sha384` without `prf` is read as the PRF (the
    product's documents write it so); with a classic cipher a missing PRF follows the integrity
    algorithm. A Child proposal without `esn`/`noesn` offers both, ESN first.
    Raises ValueError with a sentence.
    """
    words = _Words()
    for raw in text.strip().lower().split("-"):
        word = _SYNONYMS.get(raw, raw)
        if not words.add(word):
            raise UnknownKeyword(raw)
    if not words.encr:
        raise ValueError(f"proposal {text!r} names no cipher")
    aead = [t for t in words.encr if t.number in AEAD_ENCR]
    if aead and len(aead) != len(words.encr):
        raise ValueError(f"proposal {text!r} mixes AEAD and classic ciphers; write two proposals")
    if protocol is SecurityProtocol.IKE:
        _complete_phase1(text, words, bool(aead))
    else:
        _complete_phase2(text, words, bool(aead))
    return Proposal(protocol, (*words.encr, *words.integ, *words.prf, *words.ke, *words.esn))


def _complete_phase1(text: str, words: _Words, aead: bool) -> None:
    if words.esn:
        raise ValueError(f"phase 1 proposal {text!r} names esn, which phase 2 alone has")
    if aead and words.integ:
        if words.prf:
            raise ValueError(f"proposal {text!r} names integrity beside an AEAD cipher")
        words.prf = [_prf_of(t) for t in words.integ]
        words.integ = []
    if not aead and not words.integ:
        raise ValueError(f"proposal {text!r} encrypts without integrity, which is never accepted")
    if not words.prf:
        if not words.integ:
            raise ValueError(f"phase 1 proposal {text!r} names no PRF (prfsha256, say)")
        words.prf = [_prf_of(t) for t in words.integ]
    if not words.ke:
        raise ValueError(f"phase 1 proposal {text!r} names no key exchange (x25519, ecp256, ...)")


def _complete_phase2(text: str, words: _Words, aead: bool) -> None:
    if words.prf:
        raise ValueError(f"phase 2 proposal {text!r} names a PRF, which phase 1 alone has")
    if aead and words.integ:
        raise ValueError(f"proposal {text!r} names integrity beside an AEAD cipher")
    if not aead and not words.integ:
        raise ValueError(f"proposal {text!r} encrypts without integrity, which is never accepted")
    if not words.esn:
        words.esn = [
            Transform(TransformType.ESN, Esn.ESN),
            Transform(TransformType.ESN, Esn.NO_ESN),
        ]


def _prf_of(integ: Transform) -> Transform:
    return Transform(TransformType.PRF, _PRF_OF_INTEG[Integ(integ.number)])


_ENCR_KEYWORDS = {(int(encr), bits): word for word, (encr, bits) in _ENCR_WORDS.items()}
_KEYWORDS = {
    (int(kind), int(number)): word
    for kind, words in (
        (TransformType.INTEG, _INTEG_WORDS),
        (TransformType.PRF, _PRF_WORDS),
        (TransformType.KE, _KE_WORDS),
        (TransformType.ESN, {"noesn": Esn.NO_ESN, "esn": Esn.ESN}),
    )
    for word, number in words.items()
}
_KIND_NAMES = {int(kind): kind.name.lower() for kind in TransformType}


def transform_keyword(transform: Transform) -> str:
    """The keyword of a transform; `kind:number` for what we do not know."""
    kind, number = transform.kind, transform.number
    if kind == TransformType.ENCR:
        word = _ENCR_KEYWORDS.get((number, transform.key_bits))
        if word is not None:
            return word
        size = "" if transform.key_bits is None else f"/{transform.key_bits}"
        return f"encr:{number}{size}"
    return _KEYWORDS.get((kind, number)) or f"{_KIND_NAMES.get(kind, kind)}:{number}"


def proposals_text(proposals: Iterable[Proposal]) -> str:
    """Proposals as users read them, separated by commas."""
    return ", ".join(str(p) for p in proposals)


def suite_from(proposal: Proposal) -> Suite:
    """The suite of a proposal with at most one transform of each kind.

    Raises ValueError when a kind has several, or numbers are not ones we know.
    """
    one: dict[int, Transform] = {}
    for transform in proposal.transforms:
        if transform.kind in one:
            raise ValueError("a chosen proposal has two transforms of one kind")
        one[transform.kind] = transform
    if TransformType.ENCR not in one:
        raise ValueError("a chosen proposal names no cipher")
    encr = one[TransformType.ENCR]
    integ = one.get(TransformType.INTEG)
    prf = one.get(TransformType.PRF)
    ke = one.get(TransformType.KE)
    esn = one.get(TransformType.ESN)
    return Suite(
        encr=Encr(encr.number),
        key_bits=encr.key_bits or 0,
        integ=Integ(integ.number) if integ else Integ.NONE,
        prf=Prf(prf.number) if prf else None,
        ke=KeMethod(ke.number) if ke else KeMethod.NONE,
        esn=bool(esn and esn.number == Esn.ESN),
    )
