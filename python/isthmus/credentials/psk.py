"""What makes a good pre-shared key: lints, an estimate of strength, and a generator."""

import hashlib
import math
import re
from dataclasses import dataclass

from isthmus.crypto.entropy import Entropy
from isthmus.values.errors import LocalFault
from isthmus.values.secret import Secret

CHARACTERS_MIN = 16
"""Shorter secrets are guessed offline by whoever impersonates the peer (SECURITY S-18)."""
STRONG_BITS = 128
OCTETS_MAX = 4096
GENERATED_CHARACTERS = 32
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"
"""What every vendor takes; AWS refuses a leading 0 and more than 64 characters."""
AWS_CHARACTERS = (8, 64)

_QUOTES = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb\u2032\u2033"
_WORD = re.compile(r"[A-Za-z]?[a-z]{4,}|[A-Z]{5,}")
_VOWELS = re.compile(r"[aeiouyAEIOUY]")
_POOLS = ((r"[0-9]", 10), (r"[a-z]", 26), (r"[A-Z]", 26), (r"[ -/:-@\[-`{-~]", 33))
_REPEAT_BITS = 1.0
_WORD_LETTER_BITS = 2.2
"""A little above the entropy of a letter of running text."""


class RefusedPsk(LocalFault):
    """A secret that is not used. The three sentences hold nothing of it."""

    def __init__(self, message: str, why: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint


@dataclass(frozen=True, slots=True)
class ExaminedPsk:
    """A usable secret and what is doubtful about it, in sentences that hold nothing of it."""

    secret: Secret
    warnings: tuple[str, ...]


def examine(octets: bytes, *, allow_weak: bool = False) -> ExaminedPsk:
    """Make a secret of what a file, a variable or a command held.

    One newline at the end is taken off, as every editor adds it. Raises RefusedPsk for an empty
    secret, one of several lines, and one of fewer than 16 characters unless `allow_weak`.
    """
    body = _without_newline(octets)
    if not body.strip():
        raise RefusedPsk(
            "the pre-shared key is empty",
            "an empty secret proves nothing about the peer",
            "make one with `isthmus psk new` and give it to the peer too",
        )
    if len(body) > OCTETS_MAX:
        raise RefusedPsk(
            f"the pre-shared key has more than {OCTETS_MAX} octets",
            "no peer takes a secret that long; this is likely to be another file",
            "name the file that holds the pre-shared key and nothing else",
        )
    if b"\n" in body or b"\r" in body:
        raise RefusedPsk(
            "the pre-shared key has more than one line",
            "a line break within a secret is nearly always a mistake and cannot be typed elsewhere",
            "keep one line: the secret and nothing else",
        )
    length = len(_characters(body))
    if length < CHARACTERS_MIN and not allow_weak:
        raise RefusedPsk(
            f"the pre-shared key has {length} characters; at least {CHARACTERS_MIN} are needed",
            "a short secret can be guessed offline by anyone who poses as the peer once",
            "make a new one with `isthmus psk new` (or, if the peer cannot change,"
            " set allow_weak = true)",
        )
    return ExaminedPsk(Secret(body), (*_traps(body), *_weakness(body)))


def generate(entropy: Entropy) -> Secret:
    """32 characters of `[A-Za-z0-9._]` without a leading 0: 192 bits that every vendor takes."""
    characters: list[str] = []
    while len(characters) < GENERATED_CHARACTERS:
        # The alphabet has 64 characters: six bits of an octet pick one without bias.
        character = ALPHABET[entropy.octets(1)[0] & 0x3F]
        if characters or character != "0":
            characters.append(character)
    return Secret("".join(characters).encode("ascii"))


def strength_bits(octets: bytes) -> float:
    """A cautious estimate of how many bits a guesser must search.

    Each character counts as one of its alphabet, but one that repeats or continues what stands
    before it counts a bit, and letters that read like a word count as running text.
    """
    text = _characters(octets)
    pool = sum(size for pattern, size in _POOLS if re.search(pattern, text))
    if not all(" " <= character <= "~" for character in text):
        pool += 100
    each = math.log2(pool) if pool > 1 else 1.0
    bits = [each] * len(text)
    for match in _WORD.finditer(text):
        if _VOWELS.search(match[0]):
            bits[match.start() : match.end()] = [min(each, _WORD_LETTER_BITS)] * len(match[0])
    for index in range(1, len(text)):
        if _is_predictable(text, index):
            bits[index] = min(bits[index], _REPEAT_BITS)
    return sum(bits)


def aws_warnings(secret: Secret) -> tuple[str, ...]:
    """What AWS would refuse about a secret: 8 to 64 of `[A-Za-z0-9._]`, no leading 0."""
    text = _characters(secret.reveal())
    found = []
    if not AWS_CHARACTERS[0] <= len(text) <= AWS_CHARACTERS[1]:
        found.append("AWS takes pre-shared keys of 8 to 64 characters only")
    if not set(text) <= set(ALPHABET):
        found.append("AWS takes letters, digits, full stop and underscore only in pre-shared keys")
    if text.startswith("0"):
        found.append("AWS takes no pre-shared key that starts with 0")
    return tuple(found)


def _without_newline(octets: bytes) -> bytes:
    if octets.endswith(b"\r\n"):
        return octets[:-2]
    return octets.removesuffix(b"\n")


def _characters(octets: bytes) -> str:
    """The text that UTF-8 octets hold, or one character for each octet."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _traps(octets: bytes) -> tuple[str, ...]:
    """Signs that a secret was damaged on its way here."""
    text = _characters(octets)
    found = []
    if text.startswith("\ufeff"):
        found.append("the pre-shared key starts with a byte order mark, which counts as part of it")
    if text != text.strip():
        found.append("the pre-shared key has blanks at its start or end, which count as part of it")
    if any(quote in text for quote in _QUOTES):
        found.append("the pre-shared key has curly quotes, as word processors make them")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        found.append("the pre-shared key stands in quotes, which count as part of it")
    if text[:2] in ("0x", "0s"):
        found.append(
            f"the pre-shared key starts with {text[:2]}; it is used as written, where strongSwan"
            " would decode it"
        )
    if any(not character.isprintable() for character in text.strip().lstrip("\ufeff")):
        found.append("the pre-shared key has characters that cannot be printed")
    return tuple(found)


_strengths: dict[bytes, float] = {}
"""Of secrets seen before, by their SHA-256: a reload reads thousands of them again."""
_STRENGTHS_MAX = 65_536


def _known_strength_bits(octets: bytes) -> float:
    digest = hashlib.sha256(octets).digest()
    bits = _strengths.get(digest)
    if bits is None:
        bits = strength_bits(octets)
        if len(_strengths) >= _STRENGTHS_MAX:
            _strengths.clear()
        _strengths[digest] = bits
    return bits


def _weakness(octets: bytes) -> tuple[str, ...]:
    bits = _known_strength_bits(octets)
    if bits >= STRONG_BITS:
        return ()
    return (
        f"the pre-shared key is weak: about {bits:.0f} bits where {STRONG_BITS} are wanted;"
        " `isthmus psk new` makes a strong one",
    )


def _is_predictable(text: str, index: int) -> bool:
    """The character repeats the one before, goes on counting, or goes on with an earlier part."""
    if text[index] == text[index - 1]:
        return True
    step = ord(text[index]) - ord(text[index - 1])
    if index >= 2 and abs(step) == 1 and ord(text[index - 1]) - ord(text[index - 2]) == step:
        return True
    return index >= 3 and text.find(text[index - 2 : index + 1], 0, index) != -1
