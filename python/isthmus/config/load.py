"""From a path to a configuration with its secrets: the door of this room."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.config.compile import Compiled, Source, Written, compile_sources, report_syntax
from isthmus.config.errors import ConfigErrors, Report
from isthmus.config.ikev1 import check_key
from isthmus.config.main_mode import check_main_mode
from isthmus.config.proofs import Wanted, WantedLogin, WantedOwn, WantedSecret
from isthmus.config.syntax import Position, SyntaxFault, decode
from isthmus.config.trusting import Reader, may_start, starts_program
from isthmus.credentials.inventory import Held, held
from isthmus.credentials.load import (
    PASSWORD,
    USERS,
    FileContent,
    Unavailable,
    beside,
    fetch,
    files_in,
    read_file,
)
from isthmus.credentials.psk import RefusedPsk, aws_warnings, examine
from isthmus.credentials.reference import Reference, SecretCommand, SecretFile, SecretLiteral
from isthmus.credentials.store import Credentials, Own, Trust
from isthmus.credentials.xauth import Login, RefusedLogin, read_password, read_users
from isthmus.policy.connection import Configuration, Connection
from isthmus.values.secret import Secret
from isthmus.x509.crl import Crl
from isthmus.x509.revocation import Statuses

FILE_OCTETS_MAX = 4 * 1_048_576
"""More than the characters that `syntax` takes can need in UTF-8."""
FILES_MAX = 1024
"""Files in conf.d."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A complete configuration. Its `repr` shows no secret."""

    configuration: Configuration
    credentials: Credentials
    warnings: tuple[str, ...]
    """`file:line: sentence`, in the order they were found; also in the configuration."""
    given: Mapping[str, Written]
    """What was set and where, by its dotted name (`tunnel.office.peer`); no secrets."""

    def certificates(self) -> Iterator[Held]:
        """Those that the tunnels rest on, by tunnel."""
        for connection in self.configuration.connections:
            own = self.credentials.own(connection.local_auth.name)
            trust = self.credentials.trust(connection.remote_auth.name)
            yield from held(connection.name, own, trust)


def load(path: Path, environ: Mapping[str, str] | None = None, at: int | None = None) -> Loaded:
    """Load a file, the `conf.d/*.toml` beside it, and the secrets that they name.

    `environ` stands for the process's environment when secrets are fetched. Certificates that have
    expired at `at` (Unix seconds), or soon will have, are warned of; None: nobody asks. Raises
    ConfigErrors with everything that is wrong; nothing is loaded by halves.
    """
    report = Report()
    contents = _contents(path, report)
    sources = list(_sources(contents, report))
    if not sources:
        raise ConfigErrors(report.errors)
    compiled = compile_sources(sources, report)
    fetcher = _Fetcher(contents, os.environ if environ is None else environ, at, report)
    credentials, connections = fetcher.credentials(compiled)
    if report.errors:
        raise ConfigErrors(report.errors)
    if not compiled.configuration.connections:
        report.warn(Position(str(path), 1, 1), "there is no tunnel yet")
    warnings = tuple(dict.fromkeys(report.warnings))
    configuration = replace(compiled.configuration, connections=connections, warnings=warnings)
    return Loaded(configuration, credentials, warnings, compiled.given)


def _contents(path: Path, report: Report) -> dict[str, FileContent]:
    """The main file and those of conf.d, by name."""
    contents: dict[str, FileContent] = {}
    try:
        beside = files_in(str(path.parent / "conf.d"), ".toml")
    except Unavailable as error:
        beside = ()
        _report_unavailable(error, Position(str(path.parent / "conf.d"), 0, 0), report)
    if len(beside) > FILES_MAX:
        report.error(
            Position(str(path.parent / "conf.d"), 0, 0),
            f"conf.d has {len(beside)} files",
            f"at most {FILES_MAX} are read",
            "put several tunnels into one file",
        )
        beside = ()
    for name in (str(path), *beside):
        try:
            contents[name] = read_file(name, FILE_OCTETS_MAX)
        except Unavailable as error:
            _report_unavailable(error, Position(name, 0, 0), report)
    return contents


def _sources(contents: Mapping[str, FileContent], report: Report) -> Sequence[Source]:
    sources = []
    for name, content in contents.items():
        if content.mode & 0o002:
            report.error(
                Position(name, 0, 0),
                f"everyone may write this file (mode {content.mode:04o})",
                "whoever writes it decides where the traffic goes",
                f"run: chmod o-w {name}",
            )
        try:
            sources.append(Source(name, decode(content.octets, name)))
        except SyntaxFault as fault:
            report_syntax(fault, report)
    return sources


def _report_unavailable(error: Unavailable, at: Position, report: Report) -> None:
    report.error(at, error.message, error.why, error.hint)


def _from(reference: Reference, at: Position) -> Reference:
    """A relative path starts where the configuration file is, not where the daemon runs."""
    if isinstance(reference, SecretFile):
        return SecretFile(beside(at.file, reference.path))
    return reference


@dataclass(frozen=True, slots=True)
class _Fetcher:
    """Fetches secrets, and refuses references that the file's own permissions make unsafe."""

    contents: Mapping[str, FileContent]
    environ: Mapping[str, str]
    at: int | None
    report: Report

    def credentials(self, compiled: Compiled) -> tuple[Credentials, tuple[Connection, ...]]:
        """The secrets of all tunnels, and the tunnels with who our certificates say we are.

        What cannot be had is reported and left out. A command may ask a vault or write its log: it
        runs only for a configuration that holds.
        """
        quiet = [w for w in compiled.wanted if not self._starts_program(w)]
        loud = [w for w in compiled.wanted if self._starts_program(w)]
        connections = {c.name: c for c in compiled.configuration.connections}
        psks: dict[str, Secret] = {}
        owns: dict[str, Own] = {}
        trusts: dict[str, Trust] = {}
        logins: dict[str, Login] = {}
        lists: list[Crl] = []
        reader = Reader(self.contents, self.environ, self.at, self.report)
        for wanted in (*quiet, *loud):
            if wanted in loud and self.report.errors:
                break
            if wanted.secret is not None:
                secret = self._psk(wanted.secret)
                if secret is not None:
                    psks[wanted.secret.name] = secret
            login = self._login(wanted.login) if wanted.login is not None else None
            if wanted.login is not None and login is not None:
                logins[wanted.login.name] = login
            trust = None
            if wanted.trust is not None:
                trust, revoked = reader.trust(wanted.trust)
                trusts[wanted.trust.name] = trust
                lists += revoked
            if wanted.own is None or not self._may_start(wanted.own):
                continue
            own = reader.own(wanted.own, trust)
            connection = connections.get(wanted.own.name)
            if own is None or connection is None:
                continue
            check_key(connection, own.key.public.kind, wanted.own.at, self.report)
            owns[wanted.own.name] = own
            local_id = reader.identity(connection, own, wanted.own)
            connections[connection.name] = replace(connection, local_id=local_id)
            reader.doubt(own, trust, wanted.own)
        places = {w.secret.name: w.secret.at for w in compiled.wanted if w.secret is not None}
        check_main_mode(compiled.configuration.connections, psks, places, self.report)
        credentials = Credentials(psks, owns, trusts, Statuses.of(lists), logins)
        return credentials, tuple(connections.values())

    def _starts_program(self, wanted: Wanted) -> bool:
        printed = (w.reference for w in (wanted.secret, wanted.login) if w is not None)
        own = wanted.own
        return any(isinstance(reference, SecretCommand) for reference in printed) or (
            own is not None and starts_program(own)
        )

    def _may_start(self, own: WantedOwn) -> bool:
        what = f"key in [tunnel.{own.name}]"
        return not starts_program(own) or may_start(
            self.contents[own.at.file], own.at, what, self.report
        )

    def _psk(self, wanted: WantedSecret) -> Secret | None:
        if not self._is_safe(wanted):
            return None
        try:
            octets = fetch(_from(wanted.reference, wanted.at), self.environ)
            examined = examine(octets, allow_weak=wanted.allow_weak)
        except (Unavailable, RefusedPsk) as error:
            what = f"psk in [tunnel.{wanted.name}]: {error.message}"
            self.report.error(wanted.at, what, error.why, error.hint)
            return None
        found = examined.warnings
        if wanted.is_for_aws:
            found = (*found, *aws_warnings(examined.secret))
        for warning in found:
            self.report.warn(wanted.at, f"[tunnel.{wanted.name}]: {warning}")
        return examined.secret

    def _login(self, wanted: WantedLogin) -> Login | None:
        """Our password, or the users that may log in; what cannot be had is reported."""
        key = "users" if wanted.is_users else "password"
        what = f"{key} in [tunnel.{wanted.name}.xauth]"
        reference = wanted.reference
        if isinstance(reference, SecretCommand) and not may_start(
            self.contents[wanted.at.file], wanted.at, what, self.report
        ):
            return None
        purpose = USERS if wanted.is_users else PASSWORD
        try:
            octets = fetch(_from(reference, wanted.at), self.environ, purpose)
            if wanted.is_users:
                return Login(users=read_users(octets))
            return Login(password=read_password(octets))
        except (Unavailable, RefusedLogin) as error:
            self.report.error(wanted.at, f"{what}: {error.message}", error.why, error.hint)
            return None

    def _is_safe(self, wanted: WantedSecret) -> bool:
        content = self.contents[wanted.at.file]
        file = wanted.at.file
        match wanted.reference:
            case SecretLiteral() if not content.is_private:
                self.report.error(
                    wanted.at,
                    f"psk in [tunnel.{wanted.name}] is a secret in a file that others may read"
                    f" (mode {content.mode:04o}, owner {content.owner})",
                    "a secret in the configuration is allowed only if root or the daemon's user"
                    " owns the file and nobody else may read it",
                    f"move it: psk = {{ file = ... }}; or run: chmod 600 {file}",
                )
                return False
            case SecretLiteral():
                self.report.warn(
                    wanted.at,
                    f"[tunnel.{wanted.name}] holds its pre-shared key itself; it is safer in a"
                    " file of its own: psk = { file = ... }",
                )
            case SecretCommand():
                what = f"psk.command in [tunnel.{wanted.name}]"
                return may_start(content, wanted.at, what, self.report)
            case _:
                pass
        return True
