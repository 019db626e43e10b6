"""What a tunnel says about who the two sides are and how they prove it."""

from dataclasses import dataclass

from isthmus.config import proof_schema, schema
from isthmus.config.errors import Report
from isthmus.config.proof_fields import Placed, PlacedScheme, Sides
from isthmus.config.section import Given, Section
from isthmus.config.syntax import Position
from isthmus.credentials.reference import KeyReference, Reference
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.values.trust import EkuRule, RevocationMode

_PSK_ALONE = Sides(AuthKind.PSK, AuthKind.PSK)


@dataclass(frozen=True, slots=True)
class WantedSecret:
    """A pre-shared key that a tunnel needs, and where its reference stands."""

    name: str
    reference: Reference
    at: Position
    allow_weak: bool
    is_for_aws: bool


@dataclass(frozen=True, slots=True)
class WantedOwn:
    """Our key, and the file of our certificate; None: it is with the key, or the key is bare."""

    name: str
    key: KeyReference
    at: Position
    """Of the key."""
    certificate: Placed | None
    is_bare: bool


@dataclass(frozen=True, slots=True)
class WantedTrust:
    """Files and folders that say whom the peer's proof may go back to."""

    name: str
    anchors: tuple[Placed, ...] = ()
    extra: tuple[Placed, ...] = ()
    keys: tuple[Placed, ...] = ()
    lists: tuple[Placed, ...] = ()
    """Of revoked certificates."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What has to be read for one tunnel before it can prove anything."""

    secret: WantedSecret | None = None
    own: WantedOwn | None = None
    trust: WantedTrust | None = None


@dataclass(frozen=True, slots=True)
class Proofs:
    """How the two sides authenticate, and what that takes."""

    local: LocalAuth
    remote: RemoteAuth
    wanted: Wanted


def compile_proofs(name: str, section: Section, *, allow_weak: bool, report: Report) -> Proofs:
    """Both sides. What is missing, or has no meaning, is reported."""
    given = section.get(proof_schema.AUTH)
    kinds = given.value if given is not None else _PSK_ALONE
    schemes = tuple(p.scheme for p in _schemes(section, allow_weak, report))
    revocation, eku = section.get(proof_schema.REVOCATION), section.get(proof_schema.REMOTE_EKU)
    by_url = section.get(proof_schema.REMOTE_CERT_URL)
    wanted = Wanted()
    # Of a misspelt auth nobody can say what else it needs.
    if given is not None or not section.has(proof_schema.AUTH):
        _refuse_idle_keys(section, kinds, given is not None, report)
        wanted = Wanted(
            _secret(name, section, kinds, allow_weak, report),
            _own(name, section, kinds, report),
            _trust(name, section, kinds, report),
        )
    return Proofs(
        LocalAuth(kinds.local, name, schemes),
        RemoteAuth(
            kinds.remote,
            name,
            schemes,
            revocation.value if revocation else RevocationMode.SOFT,
            eku.value if eku else EkuRule.IKE,
            by_url.value if by_url else False,
        ),
        wanted,
    )


def _schemes(section: Section, allow_weak: bool, report: Report) -> tuple[PlacedScheme, ...]:
    # The table's other keys, and those that it does not have, are `phases`' business.
    own = section.inner(schema.PHASE1, schema.PHASE1_KEYS)
    if own is None or (given := own.get(proof_schema.SIGNATURE)) is None:
        return ()
    for placed in given.value:
        if placed.is_weak and not allow_weak:
            report.error(
                placed.at,
                f"{placed.scheme} in {own.title} is weak",
                "signatures over SHA-1 can be forged with enough money",
                "take it out, or write allow_weak = true in the tunnel if the peer has nothing"
                " better",
            )
        elif placed.is_weak:
            report.warn(placed.at, f"{own.title} allows the weak {placed.scheme}")
    return given.value


def _refuse_idle_keys(section: Section, kinds: Sides, is_said: bool, report: Report) -> None:
    """Keys that only other kinds of authentication read."""
    both = {kinds.local, kinds.remote}
    signs = kinds.local is not AuthKind.PSK
    readers = (
        (proof_schema.PSK, AuthKind.PSK in both, "psk"),
        (proof_schema.CERT, kinds.local is AuthKind.CERT, "cert"),
        (proof_schema.KEY, signs, "cert"),
        (proof_schema.CA, kinds.remote is AuthKind.CERT, "cert"),
        (proof_schema.INTERMEDIATES, AuthKind.CERT in both, "cert"),
        (proof_schema.REVOCATION, kinds.remote is AuthKind.CERT, "cert"),
        (proof_schema.CRL, kinds.remote is AuthKind.CERT, "cert"),
        (proof_schema.REMOTE_EKU, kinds.remote is AuthKind.CERT, "cert"),
        (proof_schema.REMOTE_CERT_URL, kinds.remote is AuthKind.CERT, "cert"),
        (proof_schema.REMOTE_KEY, kinds.remote is AuthKind.PUBKEY, "pubkey"),
    )
    for key, is_read, kind in readers:
        if is_read or not section.has(key):
            continue
        report.error(
            section.table[key.name].key_at,
            f"{key.name} in {section.title} is not used"
            f" with auth = {_written(kinds)}{'' if is_said else ', which is the default'}",
            "a setting that nobody reads would silently do nothing",
            f'take it out, or write auth = "{kind}"',
        )


def _written(kinds: Sides) -> str:
    if kinds.local is kinds.remote:
        return f'"{kinds.local}"'
    return f'{{ local = "{kinds.local}", remote = "{kinds.remote}" }}'


def _secret(
    name: str, section: Section, kinds: Sides, allow_weak: bool, report: Report
) -> WantedSecret | None:
    if AuthKind.PSK not in (kinds.local, kinds.remote):
        return None
    psk = section.get(proof_schema.PSK)
    if psk is not None:
        suite = section.get(schema.SUITE)
        is_for_aws = suite is not None and suite.value == "aws"
        return WantedSecret(name, psk.value.reference, psk.at, allow_weak, is_for_aws)
    if not section.has(proof_schema.PSK):
        report.error(
            section.at,
            f"{section.title} has no psk",
            "the two gateways prove who they are with a pre-shared key",
            "make one with `isthmus psk new` into a file of mode 0600, and add"
            f' psk = {{ file = "/etc/isthmus/secrets/{_file_name(name)}.psk" }}',
        )
    return None


def _own(name: str, section: Section, kinds: Sides, report: Report) -> WantedOwn | None:
    if kinds.local is AuthKind.PSK:
        return None
    key, certificate = section.get(proof_schema.KEY), section.get(proof_schema.CERT)
    if not section.has(proof_schema.KEY):
        report.error(
            section.at,
            f"{section.title} has no key",
            "we prove who we are by a signature, which our private key makes",
            f'add key = {{ file = "/etc/isthmus/secrets/{_file_name(name)}.key" }}',
        )
    if key is None or (section.has(proof_schema.CERT) and certificate is None):
        return None
    is_bare = kinds.local is AuthKind.PUBKEY
    return WantedOwn(
        name, key.value, key.at, certificate.value if certificate is not None else None, is_bare
    )


def _trust(name: str, section: Section, kinds: Sides, report: Report) -> WantedTrust | None:
    """For a side of ours that has a certificate, CAs complete its chain."""
    extra = _placed(section.get(proof_schema.INTERMEDIATES))
    match kinds.remote:
        case AuthKind.PSK:
            return WantedTrust(name, extra=extra) if extra else None
        case AuthKind.CERT:
            if not section.has(proof_schema.CA):
                report.error(
                    section.at,
                    f"{section.title} has no ca",
                    "nothing would tell which certificates of a peer to believe",
                    'add ca = ["/etc/isthmus/certs/root.pem"], with the root certificate that the'
                    " peer's goes back to",
                )
            anchors = _placed(section.get(proof_schema.CA))
            lists = _placed(section.get(proof_schema.CRL))
            return WantedTrust(name, anchors, extra, lists=lists)
        case AuthKind.PUBKEY:
            if not section.has(proof_schema.REMOTE_KEY):
                report.error(
                    section.at,
                    f"{section.title} has no remote_key",
                    "a bare public key is believed only if it is known beforehand",
                    f'add remote_key = ["/etc/isthmus/certs/{_file_name(name)}.pub"]',
                )
            return WantedTrust(
                name, extra=extra, keys=_placed(section.get(proof_schema.REMOTE_KEY))
            )


def _placed(given: Given[tuple[Placed, ...]] | None) -> tuple[Placed, ...]:
    return given.value if given is not None else ()


def _file_name(name: str) -> str:
    return name if name.isascii() and name.isprintable() and len(name) <= 64 else "NAME"
