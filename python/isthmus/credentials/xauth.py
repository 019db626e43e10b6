"""Passwords of XAUTH: ours as a client, and as a server the users with hashes of theirs.

A line of the users' file is `NAME:$scrypt$ln=14,r=8,p=1$SALT$HASH`, the last two in base64 without
padding, as other programs write scrypt (RFC 7914) too. Passwords themselves are never kept.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from isthmus.crypto.compare import same
from isthmus.crypto.entropy import Entropy
from isthmus.values.errors import LocalFault
from isthmus.values.secret import Secret

PASSWORD_OCTETS_MAX = 1024
USER_CHARACTERS_MAX = 128
USERS_MAX = 4096
USERS_OCTETS_MAX = USERS_MAX * 256
LOG_N = 14
R = 8
P = 1
"""16 MiB and some 50 ms a try: the one process of IKE waits for it, and only whoever has proved
itself in phase 1 may try."""
LOG_N_RANGE = (10, 16)
R_MAX = 16
P_MAX = 4
"""What a line may ask for is bounded: it costs 128 MiB at the most."""
SALT_OCTETS = 16
HASH_OCTETS = 32

_HASH = re.compile(
    r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})"
)


class RefusedLogin(LocalFault):
    """A password or a file of users that is not used. The sentences hold no secret."""

    def __init__(self, message: str, why: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Hashed:
    """A password that can be compared and not be read."""

    log_n: int
    r: int
    p: int
    salt: bytes
    digest: Secret

    def matches(self, password: Secret) -> bool:
        """Is it the password that this was made from? Slow on purpose."""
        return same(_digest(password, self.salt, self.log_n, self.r, self.p), self.digest)

    @property
    def text(self) -> str:
        """As it stands in a file of users."""
        salt, digest = _base64(self.salt), _base64(self.digest.reveal())
        return f"$scrypt$ln={self.log_n},r={self.r},p={self.p}${salt}${digest}"


def hashed(password: Secret, entropy: Entropy) -> Hashed:
    """The hash of a password under a new salt."""
    salt = entropy.octets(SALT_OCTETS)
    return Hashed(LOG_N, R, P, salt, _digest(password, salt, LOG_N, R, P))


_NOBODY = Hashed(LOG_N, R, P, bytes(SALT_OCTETS), Secret(bytes(HASH_OCTETS)))
"""Whose password nobody knows; trying it takes as long as that of somebody."""


class Users:
    """Who may log in. Its `repr` counts them."""

    __slots__ = ("_hashes",)

    def __init__(self, hashes: Mapping[str, Hashed]) -> None:
        self._hashes = MappingProxyType(dict(hashes))

    def admits(self, user: str, password: Secret) -> bool:
        """Is this the user's password? An unknown name takes as long as a wrong password."""
        known = self._hashes.get(user)
        right = (known or _NOBODY).matches(password)
        return right and known is not None

    def names(self) -> tuple[str, ...]:
        """In the order of the file."""
        return tuple(self._hashes)

    def __repr__(self) -> str:
        return f"Users(<{len(self._hashes)}>)"


@dataclass(frozen=True, slots=True)
class Login:
    """What one tunnel does XAUTH with: a client its password, a server its users."""

    password: Secret | None = None
    users: Users | None = None


def read_password(octets: bytes) -> Secret:
    """What a file or a variable holds, without the newline at its end. Raises RefusedLogin."""
    body = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not body or b"\n" in body or b"\r" in body or len(body) > PASSWORD_OCTETS_MAX:
        raise RefusedLogin(
            "the password is empty, has several lines or is far too long",
            f"a password is one line of at most {PASSWORD_OCTETS_MAX} octets",
            "name a file that holds the password and nothing else",
        )
    return Secret(body)


def is_user(name: str) -> bool:
    """May a user be called so?"""
    return 0 < len(name) <= USER_CHARACTERS_MAX and name.isprintable() and ":" not in name


def read_users(octets: bytes) -> Users:
    """A file of users; empty lines and those that start with # are left out. Raises RefusedLogin,
    which names a line by its number alone."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedLogin(
            "the file of users is not UTF-8", "names are text", "save the file as UTF-8"
        ) from None
    found: dict[str, Hashed] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, hash_text = line.partition(":")
        one = _read_hash(hash_text)
        if one is None or not is_user(name):
            raise RefusedLogin(
                f"line {number} of the file of users cannot be used",
                "a line is a name, a colon and a hash of scrypt; passwords are never written down",
                "make it with `isthmus xauth user NAME`",
            )
        if name in found:
            raise RefusedLogin(
                f"line {number} of the file of users has a name for the second time",
                "only one of the two passwords could be right",
                "take one of the two out",
            )
        found[name] = one
    if not 1 <= len(found) <= USERS_MAX:
        raise RefusedLogin(
            f"the file of users has {len(found) or 'no'} users",
            f"from 1 to {USERS_MAX} may be there",
            "make a line with `isthmus xauth user NAME`",
        )
    return Users(found)


def _read_hash(text: str) -> Hashed | None:
    match = _HASH.fullmatch(text)
    if match is None:
        return None
    log_n, r, p = (int(match[n]) for n in (1, 2, 3))
    if not LOG_N_RANGE[0] <= log_n <= LOG_N_RANGE[1] or not 1 <= r <= R_MAX or not 1 <= p <= P_MAX:
        return None
    salt, digest = match[4], match[5]
    if len(salt) % 4 == 1:
        return None
    return Hashed(log_n, r, p, _octets(salt), Secret(_octets(digest)))


def _digest(password: Secret, salt: bytes, log_n: int, r: int, p: int) -> Secret:
    memory = 128 * r * ((1 << log_n) + p + 2)
    return Secret(
        hashlib.scrypt(
            password.reveal(),
            salt=salt,
            n=1 << log_n,
            r=r,
            p=p,
            maxmem=memory + (1 << 20),
            dklen=HASH_OCTETS,
        )
    )


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii").rstrip("=")


def _octets(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4))
