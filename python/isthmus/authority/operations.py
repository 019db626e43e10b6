"""What an authority does: come into being, issue, revoke, publish its list."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from ipaddress import ip_network

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec.structs import replace

from isthmus.authority import folder as files
from isthmus.authority import keys, profile
from isthmus.authority.errors import AuthorityError
from isthmus.authority.folder import Folder
from isthmus.authority.index import (
    DAY_S,
    FORMAT,
    WARN_DAYS,
    Index,
    Issued,
    Reason,
    State,
    decode,
    encode,
)
from isthmus.authority.keys import Kind
from isthmus.authority.profile import Draft, Issuer
from isthmus.crypto.entropy import Entropy
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev2 import IdType
from isthmus.values.secret import Secret
from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import BadCertificate, Untrusted
from isthmus.x509.identity import matches
from isthmus.x509.path import validate
from isthmus.x509.rules import PathRules
from isthmus.x509.usage import Purpose

HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.:-]{0,252})")
MAILBOX = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9_.-]{1,253}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DAYS_MAX = 7300
THEIRS = "theirs"
PASSPHRASE_MIN = 12
"""Characters of a passphrase: a copy of the folder can be tried out at leisure."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new certificate is to say."""

    name: str
    identities: tuple[str, ...] = ()
    address: str = ""
    networks: tuple[str, ...] = ()
    key: Kind | None = None
    days: int | None = None
    request: bytes | None = None
    """A signing request (PEM): somebody else holds the key."""
    is_authority: bool = False
    renew: bool = False


class Authority:
    """An authority that exists. Every change is made alone with its folder, and is whole."""

    def __init__(self, folder: Folder) -> None:
        """Raises AuthorityError when there is none."""
        if not folder.exists:
            raise AuthorityError(
                f"There is no authority in {folder.path}.",
                "Its index.json is not there.",
                "Make one with `isthmus ca init`, or name its folder with -d.",
            )
        self.folder = folder
        self.index = decode(files.read(folder.index), str(folder.index))
        pem = files.read(folder.certificate)
        try:
            self.certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            raise AuthorityError(
                f"{folder.certificate} holds no certificate.",
                "It was damaged.",
                "Restore it from a backup of the folder.",
            ) from None

    @property
    def ends_at(self) -> int:
        """Unix seconds when the root certificate ends, and everything below it."""
        return int(self.certificate.not_valid_after_utc.replace(tzinfo=UTC).timestamp())

    @property
    def is_encrypted(self) -> bool:
        """Does it take a passphrase to sign?"""
        return keys.is_encrypted(files.read(self.folder.key))

    def pem_of(self, issued: Issued) -> bytes:
        """A certificate that was issued."""
        return files.read(self.folder.issued(issued.serial, ".pem"))

    def key_of(self, issued: Issued) -> bytes | None:
        """Its private key; None where somebody else holds it."""
        if issued.key == THEIRS:
            return None
        return files.read(self.folder.issued(issued.serial, ".key"))

    def warnings(self, at: int) -> list[str]:
        """What ends soon, with the way out. Of each name only the newest certificate counts."""
        found = []
        newest = {issued.name: issued for issued in self.index.certificates}
        for issued in newest.values():
            days = issued.days_left(at)
            renew = f"isthmus ca issue {issued.name} --renew"
            if issued.state(at) is State.ENDING:
                found.append(f"{issued.name} ends in {days} days: {renew}")
            elif issued.state(at) is State.EXPIRED:
                found.append(f"{issued.name} has expired: {renew}")
        left = (self.ends_at - at) // DAY_S
        if left < self.index.days:
            found.append(
                f"the root certificate ends in {left} days, before what is issued now would:"
                " make a new authority, and let gateways trust both for a while"
            )
        if self.index.crl_next_update - at < WARN_DAYS * DAY_S:
            days = (self.index.crl_next_update - at) // DAY_S
            found.append(
                f"the revocation list ends in {days} days: `isthmus ca export` writes a new one"
            )
        return found

    def list_is_old(self, at: int) -> bool:
        """Half of the revocation list's time is over: the next chance to make a new one."""
        return self.index.crl_next_update - at < self.index.crl_days * DAY_S // 2

    # --- changes ---------------------------------------------------------------------------

    def issue(
        self, wanted: Wanted, *, at: int, entropy: Entropy, passphrase: Secret | None
    ) -> Issued:
        """Make a certificate, and a key unless there is a request. Raises AuthorityError."""
        with self.folder.locked():
            self._read_again()
            issuer = self._issuer(passphrase)
            wanted = self._completed(wanted)
            until = min(profile.end_of(at, wanted.days or self.index.days), self.ends_at)
            if until <= at:
                raise AuthorityError(
                    "The root certificate has expired.",
                    "What it issues is worth nothing.",
                    "Make a new authority in another folder, with `isthmus ca init -d`.",
                )
            serial = profile.serial_of(entropy.octets(profile.SERIAL_OCTETS))
            identities = [_identity(text) for text in wanted.identities]
            kind, key_pem = THEIRS, None
            if wanted.request is not None:
                request = _request(wanted.request)
                public, subject = request.public_key(), request.subject
            else:
                chosen = wanted.key or Kind(self.index.key)
                private = keys.generate(chosen)
                kind, key_pem, public = chosen.value, keys.to_pem(private), private.public_key()
                subject = x509.Name([])
            if not list(subject):
                subject = profile.subject_of(self.index.name, _common(identities) or wanted.name)
            url, draft = self.index.crl_url, Draft(subject, public, serial, at, until)
            if wanted.is_authority:
                made = profile.authority(issuer, draft, url)
            else:
                names = [n for i in identities if (n := profile.alternative(i)) is not None]
                made = profile.gateway(issuer, draft, names, url)
            _prove(made, issuer.certificate, identities, at, is_authority=wanted.is_authority)
            issued = Issued(
                name=wanted.name,
                serial=f"{serial:040x}",
                subject=made.subject.rfc4514_string(),
                identities=tuple(map(str, identities)),
                key=kind,
                not_before=int(made.not_valid_before_utc.timestamp()),
                not_after=until,
                address=wanted.address,
                networks=wanted.networks,
                is_authority=wanted.is_authority,
            )
            if key_pem is not None:
                path = self.folder.issued(issued.serial, ".key")
                files.write(path, key_pem, private=True, replace=False)
            path = self.folder.issued(issued.serial, ".pem")
            files.write(path, made.public_bytes(Encoding.PEM), replace=False)
            self._publish(issuer, (*self.index.certificates, issued), at)
            return issued

    def revoke(
        self, what: str, reason: Reason, *, at: int, passphrase: Secret | None
    ) -> tuple[Issued, ...]:
        """Revoke every certificate of a name, or the one with that serial number.

        Raises AuthorityError when there is none that is not revoked already.
        """
        with self.folder.locked():
            self._read_again()
            found = self.index.find(what)
            chosen = {c.serial for c in found if c.state(at) in (State.VALID, State.ENDING)}
            if not chosen:
                why = (
                    "All of its certificates are revoked or have expired."
                    if found
                    else "No certificate has that name, or a serial number that begins so."
                )
                raise AuthorityError(
                    f"{what} cannot be revoked.", why, "`isthmus ca list` shows what there is."
                )
            issuer = self._issuer(passphrase)
            after = tuple(
                replace(c, revoked_at=at, reason=reason) if c.serial in chosen else c
                for c in self.index.certificates
            )
            self._publish(issuer, after, at)
            return tuple(c for c in after if c.serial in chosen)

    def publish(self, *, at: int, passphrase: Secret | None) -> None:
        """Write the revocation list anew, so that it lasts longer."""
        with self.folder.locked():
            self._read_again()
            self._publish(self._issuer(passphrase), self.index.certificates, at)

    def _read_again(self) -> None:
        self.index = decode(files.read(self.folder.index), str(self.folder.index))

    def _issuer(self, passphrase: Secret | None) -> Issuer:
        file = self.folder.key
        key = keys.from_pem(files.read(file), passphrase, str(file))
        if key.public_key() != self.certificate.public_key():
            raise AuthorityError(
                f"{file} does not belong to {self.folder.certificate}.",
                "One of them was replaced.",
                "Restore both from the same backup.",
            )
        return Issuer(self.certificate, key)

    def _completed(self, wanted: Wanted) -> Wanted:
        """What is not said anew at a renewal is as it was. Raises AuthorityError for what cannot
        be."""
        _check_name(wanted.name)
        _check_days(wanted.days)
        _check_place(wanted.address, wanted.networks)
        before = self.index.current(wanted.name)
        if before is not None and before.revoked_at is None and not wanted.renew:
            raise AuthorityError(
                f"{wanted.name} has a certificate.",
                "Two certificates of one name are told apart by their serial numbers only.",
                f"Add --renew for a new one, or run `isthmus ca revoke {wanted.name}` first.",
            )
        if before is None and wanted.renew:
            raise AuthorityError(
                f"{wanted.name} has no certificate yet.",
                "There is nothing to renew.",
                "Leave --renew out, and say its names.",
            )
        if before is not None and wanted.renew:
            wanted = Wanted(
                wanted.name,
                wanted.identities or before.identities,
                wanted.address or before.address,
                wanted.networks or before.networks,
                wanted.key or (None if before.key == THEIRS else Kind(before.key)),
                wanted.days,
                wanted.request,
                before.is_authority or wanted.is_authority,
                renew=True,
            )
            if before.key == THEIRS and wanted.request is None:
                raise AuthorityError(
                    f"The key of {wanted.name} is not here.",
                    "Its certificate was made from a request.",
                    "Name the new request with --csr.",
                )
        if wanted.is_authority and wanted.request is None:
            raise AuthorityError(
                "An authority below this one keeps its own key.",
                "--authority signs a request that it has made.",
                "Name its request with --csr.",
            )
        if wanted.is_authority and wanted.identities:
            raise AuthorityError(
                "An authority has no gateway's names.",
                "Its certificate is for issuing.",
                "Leave the names out.",
            )
        if not wanted.is_authority and not wanted.identities:
            raise AuthorityError(
                f"{wanted.name} has no names.",
                "Peers know a gateway by a name that stands in its certificate.",
                f"Add them: isthmus ca issue {wanted.name} vpn.example.net",
            )
        return wanted

    def _publish(self, issuer: Issuer, certificates: tuple[Issued, ...], at: int) -> None:
        """The index first: what is lost in a crash between the two is written again next time."""
        until = min(at + self.index.crl_days * DAY_S, self.ends_at)
        revoked = [c for c in certificates if c.revoked_at is not None and c.not_after > at]
        number = self.index.crl_number + 1
        crl = profile.revocation_list(issuer, revoked, number, at, until)
        self.index = replace(
            self.index, crl_number=number, crl_next_update=until, certificates=certificates
        )
        files.write(self.folder.index, encode(self.index), private=True)
        files.write(self.folder.crl, crl.public_bytes(Encoding.DER))


def create(
    folder: Folder,
    name: str,
    *,
    key: Kind,
    days: int,
    root_days: int,
    crl_url: str,
    at: int,
    entropy: Entropy,
    passphrase: Secret | None,
) -> Authority:
    """A new authority. Raises AuthorityError when there is one, or something cannot be."""
    if not name.strip() or len(name) > 50 or not name.isprintable():
        raise AuthorityError(
            f"{name!r} cannot be the name of an authority.",
            "It has 1 to 50 characters that can be printed; every certificate shows it.",
            'Write it like "Example VPN".',
        )
    if passphrase is not None and len(passphrase.reveal()) < PASSPHRASE_MIN:
        raise AuthorityError(
            "The passphrase is too short.",
            f"Whoever has a copy of the key can try at leisure: {PASSPHRASE_MIN} characters are"
            " the least.",
            "Take a longer one, or none and keep the folder where nobody else reads.",
        )
    if crl_url and not crl_url.startswith("http://"):
        raise AuthorityError(
            f"{crl_url} cannot be where the revocation list is.",
            "Peers fetch it by plain HTTP: it is signed, and HTTPS would need another certificate.",
            "Write http://HOST/PATH.",
        )
    _check_days(days)
    _check_days(root_days)
    files.make_directory(folder.path / "issued")
    with folder.locked():
        if folder.exists or folder.key.exists():
            raise AuthorityError(
                f"There is an authority in {folder.path}.",
                "Its key would be lost, and with it every certificate.",
                "Name another folder with -d.",
            )
        private = keys.generate(key)
        serial = profile.serial_of(entropy.octets(profile.SERIAL_OCTETS))
        certificate = profile.root(name, private, serial, at, root_days)
        pem = keys.to_pem(private, passphrase)
        files.write(folder.key, pem, private=True, replace=False)
        files.write(folder.certificate, certificate.public_bytes(Encoding.PEM), replace=False)
        index = Index(FORMAT, name, key.value, days, profile.CRL_DAYS, crl_url)
        files.write(folder.index, encode(index), private=True, replace=False)
    made = Authority(folder)
    made.publish(at=at, passphrase=passphrase)
    return made


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise AuthorityError(
            f"{name!r} cannot be the name of a gateway.",
            "Names have 1 to 64 letters, digits, underscores and hyphens, and start with a letter"
            " or digit: tunnels and files are called so.",
            "Write it like hq or branch-7, and its DNS name behind it.",
        )


def _check_days(days: int | None) -> None:
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise AuthorityError(
            f"{days} days cannot be a certificate's life.",
            f"It is 1 to {DAYS_MAX} days.",
            f"Leave --days out for {profile.GATEWAY_DAYS}.",
        )


def _check_place(address: str, networks: Sequence[str]) -> None:
    """They go into configurations as they are."""
    if address and not HOST.fullmatch(address):
        raise AuthorityError(
            f"{address!r} is no address.",
            "Peers reach a gateway by an address or a DNS name.",
            "Write --address 192.0.2.1.",
        )
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise AuthorityError(
                f"{network!r} is no network.",
                _sentence(error),
                "Write --network 10.1.0.0/24, once for each.",
            ) from None


def _sentence(error: ValueError) -> str:
    """Names in it stay as they are written."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _identity(text: str) -> Identity:
    try:
        found = Identity.parse(text)
        shape = {IdType.FQDN: HOST, IdType.RFC822_ADDR: MAILBOX}.get(IdType(found.kind))
        if shape is not None and not shape.fullmatch(found.octets.decode("ascii")):
            raise ValueError("it has characters that no DNS name or mailbox has")
    except ValueError as error:
        raise AuthorityError(
            f"{text} is no name of a gateway.",
            _sentence(error),
            "Write vpn.example.net, 192.0.2.1 or email:gw@example.net.",
        ) from None
    if profile.alternative(found) is None:
        raise AuthorityError(
            f"{text} cannot stand in a certificate.",
            "Certificates hold DNS names, addresses and e-mail addresses.",
            "Write vpn.example.net, 192.0.2.1 or email:gw@example.net.",
        )
    return found


def _common(identities: Sequence[Identity]) -> str:
    return str(identities[0]).partition(":")[2] if identities else ""


def _request(pem: bytes) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_pem_x509_csr(pem)
        sound = request.is_signature_valid and profile.is_strong(request.public_key())
    except (ValueError, UnsupportedAlgorithm):
        sound = False
    if not sound:
        raise AuthorityError(
            "The signing request is refused.",
            "It is no PEM request, its signature does not hold, or its key is weak or unknown.",
            "Have it made anew, with RSA of 2048 bits or more, ECDSA or Ed25519.",
        )
    return request


def _prove(
    made: x509.Certificate,
    root: x509.Certificate,
    identities: Sequence[Identity],
    at: int,
    *,
    is_authority: bool,
) -> None:
    """Nothing leaves that our own judgement of peers' certificates would not take."""
    purpose = Purpose.ANY if is_authority else Purpose.IKE
    try:
        leaf = Certificate.parse(made.public_bytes(Encoding.DER))
        anchor = Certificate.parse(root.public_bytes(Encoding.DER))
        validate(leaf, (), (anchor,), at=at, rules=PathRules(purpose=purpose))
    except (BadCertificate, Untrusted) as error:
        raise AuthorityError(
            "The certificate would not be believed.",
            f"{error}.",
            "Look at ca.pem; if it is as it should be, please report this.",
        ) from None
    missing = [str(i) for i in identities if not matches(leaf, i)]
    if missing:
        raise AuthorityError(
            f"{', '.join(missing)} would not be found in the certificate.",
            "Peers compare names strictly.",
            "Write the name as peers will say it, in ASCII.",
        )
