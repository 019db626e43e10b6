"""Reads what tunnels prove themselves with, and lints it: keys, chains, roots, revocation lists."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from isthmus.config.errors import Report
from isthmus.config.proof_fields import Placed
from isthmus.config.proofs import WantedOwn, WantedTrust
from isthmus.config.syntax import Position
from isthmus.credentials.certificates import (
    Unusable,
    make_own,
    read_certificates,
    read_lists,
    read_public_keys,
)
from isthmus.credentials.inventory import doubts, held, timing, weakness
from isthmus.credentials.keys import open_key
from isthmus.credentials.load import (
    FileContent,
    Unavailable,
    beside,
    files_in,
    is_directory,
    read_file,
)
from isthmus.credentials.reference import (
    KeyProcess,
    KeyReference,
    SecretCommand,
    SecretFile,
)
from isthmus.credentials.store import Own, Trust
from isthmus.policy.connection import Connection
from isthmus.values.identity import Identity
from isthmus.x509.crl import CRL_SIZE_MAX, Crl
from isthmus.x509.errors import Defect
from isthmus.x509.identity import describe, identities, matches

CERTIFICATES_OCTETS_MAX = 4 * 1_048_576
"""A bundle of a thousand roots."""
LISTS_OCTETS_MAX = 2 * CRL_SIZE_MAX
"""PEM is a third longer than what it holds."""
FILES_MAX = 256
"""In one folder."""
_SUFFIXES = (".pem", ".crt", ".cer", ".der")
_LIST_SUFFIXES = (".crl", ".pem", ".der")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for all tunnels. `contents` are the configuration's own files, whose permissions decide
    whether a program may be started on their word; `at` is Unix time, None: dates do not matter."""

    contents: Mapping[str, FileContent]
    environ: Mapping[str, str]
    at: int | None
    report: Report

    def trust(self, wanted: WantedTrust) -> tuple[Trust, tuple[Crl, ...]]:
        """Roots, CAs between and bare keys, and revocation lists; what cannot be had is
        reported."""
        title = f"[tunnel.{wanted.name}]"
        trust = Trust(
            self._all(wanted.anchors, f"ca in {title}", _SUFFIXES, read_certificates),
            self._all(wanted.extra, f"intermediates in {title}", _SUFFIXES, read_certificates),
            self._all(wanted.keys, f"remote_key in {title}", (".pub", ".pem"), read_public_keys),
        )
        lists = self._all(
            wanted.lists, f"crl in {title}", _LIST_SUFFIXES, read_lists, LISTS_OCTETS_MAX
        )
        if wanted.anchors:
            for one in held(wanted.name, None, trust):
                self._warn(wanted.anchors[0].at, wanted.name, weakness(one))
        if wanted.anchors and self.at is not None:
            at = wanted.anchors[0].at
            for one in held(wanted.name, None, trust):
                self._warn(at, wanted.name, timing(one, self.at))
            for crl in lists:
                if crl.next_update is not None and crl.next_update < self.at:
                    self._warn(
                        wanted.lists[0].at,
                        wanted.name,
                        f"the revocation list of {crl.issuer} is out of date"
                        f" ({Defect.STATUS_STALE})",
                    )
        return trust, lists

    def own(self, wanted: WantedOwn, trust: Trust | None) -> Own | None:
        """Our key and chain; None when something was refused, and reported."""
        try:
            key, certificates = open_key(self._reference(wanted), self.environ)
        except (Unavailable, Unusable) as error:
            what = f"key in [tunnel.{wanted.name}]: {error.message}"
            self.report.error(wanted.at, what, error.why, error.hint)
            return None
        if wanted.is_bare:
            return Own(key)
        before = len(self.report.errors)
        if wanted.certificate is not None:
            what = f"cert in [tunnel.{wanted.name}]"
            placed = wanted.certificate
            path = _beside(placed.at, placed.path)
            found = self._read(path, placed.at, what, read_certificates)
            certificates = (*found, *certificates)
        if len(self.report.errors) > before:
            return None
        try:
            return make_own(key, certificates, trust.extra if trust is not None else ())
        except Unusable as error:
            at = wanted.certificate.at if wanted.certificate is not None else wanted.at
            what = f"[tunnel.{wanted.name}]: {error.message}"
            self.report.error(at, what, error.why, error.hint)
            return None

    def identity(self, connection: Connection, own: Own, wanted: WantedOwn) -> Identity | None:
        """Who we say we are with this certificate: as configured, if it speaks for that; else its
        first name. Reports what peers would hold against the chain."""
        if not own.chain:
            return connection.local_id
        leaf = own.chain[0]
        at = wanted.certificate.at if wanted.certificate is not None else wanted.at
        if self.at is not None:
            for one in held(connection.name, own, None):
                self._warn(at, connection.name, timing(one, self.at))
        if connection.local_id is None:
            return next(iter(identities(leaf)), None)
        if not matches(leaf, connection.local_id):
            self.report.error(
                at,
                f"our certificate does not contain {connection.local_id}, which is local_id in"
                f" [tunnel.{connection.name}] (it has {describe(leaf)}) ({Defect.IDENTITY})",
                "the peer refuses whoever says to be somebody else than the certificate",
                "write one of its names as local_id, or have it issued again with this one",
            )
        return connection.local_id

    def doubt(self, own: Own, trust: Trust | None, wanted: WantedOwn) -> None:
        """Warn of what peers will hold against our chain."""
        at = wanted.certificate.at if wanted.certificate is not None else wanted.at
        moment = own.chain[0].not_before if own.chain and self.at is None else self.at or 0
        for sentence in doubts(own, trust, moment):
            self._warn(at, wanted.name, sentence)

    def _reference(self, wanted: WantedOwn) -> KeyReference:
        """With relative paths made whole."""
        key = wanted.key
        source, passphrase = key.source, key.passphrase
        if isinstance(source, SecretFile):
            source = SecretFile(_beside(wanted.at, source.path))
        if isinstance(passphrase, SecretFile):
            passphrase = SecretFile(_beside(wanted.at, passphrase.path))
        return KeyReference(source, passphrase)

    def _all(
        self,
        wanted: tuple[Placed, ...],
        what: str,
        suffixes: tuple[str, ...],
        parse: Callable[[bytes], tuple[T, ...]],
        octets_max: int = CERTIFICATES_OCTETS_MAX,
    ) -> tuple[T, ...]:
        """Everything in these files and folders, each thing once."""
        found: list[T] = []
        for placed in wanted:
            path = _beside(placed.at, placed.path)
            names: tuple[str, ...] = (path,)
            if is_directory(path):
                names = self._files(path, placed, what, suffixes)
            for name in names:
                found += self._read(name, placed.at, what, parse, octets_max)
        return tuple(dict.fromkeys(found))

    def _files(
        self, path: str, placed: Placed, what: str, suffixes: tuple[str, ...]
    ) -> tuple[str, ...]:
        try:
            names = files_in(path, *suffixes)
        except Unavailable as error:
            self.report.error(placed.at, f"{what}: {error.message}", error.why, error.hint)
            return ()
        if not 1 <= len(names) <= FILES_MAX:
            self.report.error(
                placed.at,
                f"{what}: the folder {path} has {len(names) or 'no'} files that could be read",
                f"files ending in {', '.join(suffixes)} are, up to {FILES_MAX} of them",
                "put the files there, or name another folder",
            )
            return ()
        return names

    def _read(
        self,
        path: str,
        at: Position,
        what: str,
        parse: Callable[[bytes], tuple[T, ...]],
        octets_max: int = CERTIFICATES_OCTETS_MAX,
    ) -> tuple[T, ...]:
        try:
            content = read_file(path, octets_max)
            if content.mode & 0o002:
                raise Unavailable(
                    f"everyone may write {path} (mode {content.mode:04o})",
                    "whoever writes it decides who is believed",
                    f"run: chmod o-w {path}",
                )
            return parse(content.octets)
        except Unavailable as error:
            self.report.error(at, f"{what}: {error.message}", error.why, error.hint)
        except Unusable as error:
            self.report.error(at, f"{what}: {path}: {error.message}", error.why, error.hint)
        return ()

    def _warn(self, at: Position, tunnel: str, sentence: str | None) -> None:
        if sentence is not None:
            self.report.warn(at, f"[tunnel.{tunnel}]: {sentence}")


def starts_program(wanted: WantedOwn) -> bool:
    """Must a program be run to have this key?"""
    programs = (KeyProcess, SecretCommand)
    return isinstance(wanted.key.source, programs) or isinstance(wanted.key.passphrase, programs)


def may_start(content: FileContent, at: Position, what: str, report: Report) -> bool:
    """Programs are started on the word of a file that nobody else can change."""
    if content.is_trusted:
        return True
    report.error(
        at,
        f"{what} stands in a file that others may change"
        f" (mode {content.mode:04o}, owner {content.owner})",
        "whoever changes the file could make the daemon run any program",
        f"run: chmod go-w {at.file} (and let root or the daemon's user own it)",
    )
    return False


def _beside(at: Position, path: str) -> str:
    """A relative path starts where the configuration file is, not where the daemon runs."""
    return beside(at.file, path)
