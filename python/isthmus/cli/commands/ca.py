"""`isthmus ca`: an own certificate authority in a folder, for people who have none.

No daemon takes part: the folder may lie on another machine than the gateways, and should.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from isthmus.authority import profile
from isthmus.authority.errors import AuthorityError
from isthmus.authority.export import Form, export, put
from isthmus.authority.folder import Folder
from isthmus.authority.folder import read as read_file
from isthmus.authority.index import Issued, Reason
from isthmus.authority.keys import DEFAULT, Kind
from isthmus.authority.operations import Authority, Wanted, create
from isthmus.cli.authority import details, list_lines, listed, root_details
from isthmus.cli.errors import CliError
from isthmus.cli.exits import Exit
from isthmus.cli.options import common, settings
from isthmus.cli.render import as_json, finding_lines, print_lines
from isthmus.cli.text import Paint
from isthmus.crypto.entropy import SystemEntropy
from isthmus.management.api import SCHEMA
from isthmus.values.secret import Secret

USUAL_FOLDER = "/etc/isthmus/ca"
VARIABLE = "ISTHMUS_CA"

_folder = click.option(
    "-d",
    "--directory",
    metavar="DIR",
    envvar=VARIABLE,
    default=USUAL_FOLDER,
    help=f"The authority's folder (else {VARIABLE}, else {USUAL_FOLDER}).",
)
_passphrase = click.option(
    "--passphrase-file",
    metavar="FILE",
    help="Holds the passphrase of the authority's key; asked for on the terminal otherwise.",
)


@click.group()
@common
def ca() -> None:
    """An own certificate authority in a folder.

    \b
    isthmus ca init "Example VPN"
    isthmus ca issue hq vpn.hq.example.net --address 192.0.2.1 --network 10.1.0.0/24
    isthmus ca issue branch vpn.branch.example.net --address 198.51.100.1 --network 10.2.0.0/24
    isthmus ca export hq branch -o sites
    """


@ca.command("init")
@click.argument("name", metavar="NAME")
@click.option(
    "--key",
    type=click.Choice([kind.value for kind in Kind]),
    default=DEFAULT.value,
    help="Kind of all keys.",
)
@click.option("--encrypt", is_flag=True, help="Protect the authority's key by a passphrase.")
@click.option(
    "--days", default=profile.GATEWAY_DAYS, help="How long a gateway's certificate lasts."
)
@click.option("--root-days", default=profile.ROOT_DAYS, help="How long the root certificate lasts.")
@click.option("--crl-url", default="", metavar="URL", help="Where peers may fetch the list.")
@_passphrase
@_folder
@common
def init(
    name: str,
    key: str,
    encrypt: bool,
    days: int,
    root_days: int,
    crl_url: str,
    passphrase_file: str | None,
    directory: str,
) -> int:
    """Make the authority: a root certificate, its key and an empty revocation list.

    \b
    isthmus ca init "Example VPN"
    """
    with _told():
        secret = _new_passphrase(encrypt, passphrase_file)
        made = create(
            Folder(Path(directory)),
            name,
            key=Kind(key),
            days=days,
            root_days=root_days,
            crl_url=crl_url,
            at=_now(),
            entropy=SystemEntropy(),
            passphrase=secret,
        )
        found = root_details(made, _now())
    _say(
        {"authority": found},
        [
            f"{directory} holds the authority {name} until {found['ends']}.",
            f"SHA-256 {found['sha256']}",
            "ca.key is what everything rests on: keep a copy elsewhere, and give it to nobody.",
        ],
    )
    return Exit.OK


@ca.command("issue")
@click.argument("name", metavar="NAME")
@click.argument("identities", nargs=-1, metavar="[IDENTITY]...")
@click.option("--address", default="", metavar="HOST", help="Where peers reach the gateway.")
@click.option("--network", multiple=True, metavar="NET", help="A network behind the gateway.")
@click.option("--key", type=click.Choice([kind.value for kind in Kind]), help="Kind of its key.")
@click.option("--days", type=int, help="How long it lasts.")
@click.option("--csr", metavar="FILE", help="Sign this request: somebody else holds the key.")
@click.option("--authority", is_flag=True, help="For another authority below this one (--csr).")
@click.option("--renew", is_flag=True, help="A new key and certificate; the rest as before.")
@_passphrase
@_folder
@common
def issue(
    name: str,
    identities: tuple[str, ...],
    address: str,
    network: tuple[str, ...],
    key: str | None,
    days: int | None,
    csr: str | None,
    authority: bool,
    renew: bool,
    passphrase_file: str | None,
    directory: str,
) -> int:
    """Issue a gateway's certificate. The first IDENTITY is who it says it is.

    \b
    isthmus ca issue hq vpn.hq.example.net --address 192.0.2.1 --network 10.1.0.0/24
    isthmus ca issue hq --renew
    """
    with _told():
        opened = Authority(Folder(Path(directory)))
        wanted = Wanted(
            name,
            identities,
            address,
            network,
            Kind(key) if key is not None else None,
            days,
            read_file(Path(csr)) if csr is not None else None,
            authority,
            renew,
        )
        secret = _open_passphrase(opened, passphrase_file)
        issued = opened.issue(wanted, at=_now(), entropy=SystemEntropy(), passphrase=secret)
        found = details(opened, issued, _now())
    _say(
        {"certificate": found},
        [
            f"Issued {name} ({', '.join(issued.identities) or issued.subject}) until"
            f" {found['ends']}, serial {issued.serial}.",
            f"`isthmus ca export {name}` writes what its gateway needs.",
        ],
        opened.warnings(_now()),
    )
    return Exit.OK


@ca.command("list")
@_folder
@common
def list_command(directory: str) -> int:
    """Every certificate that was issued, and what ends soon.

    \b
    isthmus ca list
    """
    with _told():
        opened = Authority(Folder(Path(directory)))
        now = _now()
        rows = [listed(issued, now) for issued in opened.index.certificates]
    lines = list_lines(opened.index.certificates, now, Paint(settings().colour))
    _say({"certificates": rows}, lines, opened.warnings(now))
    return Exit.OK


@ca.command("revoke")
@click.argument("what", metavar="NAME|SERIAL")
@click.option(
    "--reason",
    type=click.Choice([reason.value for reason in Reason]),
    default=Reason.UNSPECIFIED.value,
)
@_passphrase
@_folder
@common
def revoke(what: str, reason: str, passphrase_file: str | None, directory: str) -> int:
    """Revoke all certificates of a name, or one, and write the revocation list.

    \b
    isthmus ca revoke branch --reason key-compromise
    """
    with _told():
        opened = Authority(Folder(Path(directory)))
        secret = _open_passphrase(opened, passphrase_file)
        gone = opened.revoke(what, Reason(reason), at=_now(), passphrase=secret)
    crl = opened.folder.crl
    fetched = f"or to {opened.index.crl_url}" if opened.index.crl_url else "and reload it there"
    _say(
        {"revoked": [listed(issued, _now()) for issued in gone], "crl": str(crl)},
        [
            *(f"Revoked {issued.name}, serial {issued.serial}." for issued in gone),
            f"{crl} says so: copy it to every gateway {fetched}.",
        ],
    )
    return Exit.OK


@ca.command("show")
@click.argument("what", metavar="[NAME|SERIAL]", required=False)
@_folder
@common
def show(what: str | None, directory: str) -> int:
    """The authority, or a certificate, in full.

    \b
    isthmus ca show
    isthmus ca show branch
    """
    with _told():
        opened = Authority(Folder(Path(directory)))
        now = _now()
        if what is None:
            found = root_details(opened, now)
        else:
            found = details(opened, _chosen(opened, what), now)
    width = max(map(len, found)) + 2
    lines = [f"{key:<{width}}{_plain(value)}".rstrip() for key, value in found.items()]
    _say({"authority" if what is None else "certificate": found}, lines)
    return Exit.OK


@ca.command("export")
@click.argument("name", metavar="NAME")
@click.argument("peer", metavar="[PEER]", required=False)
@click.option("-o", "--output", default=".", metavar="DIR", help="Folders of both are made in it.")
@click.option(
    "--as",
    "form",
    type=click.Choice([form.value for form in Form]),
    default=Form.ISTHMUS.value,
    help="What reads it. pkcs12 is for Windows and Apple, pkcs12-old for their older versions.",
)
@_passphrase
@_folder
@common
def export_command(
    name: str,
    peer: str | None,
    output: str,
    form: str,
    passphrase_file: str | None,
    directory: str,
) -> int:
    """Write what a gateway needs into DIR/NAME; with PEER for both, and the tunnel between them.

    \b
    isthmus ca export hq branch -o sites
    isthmus ca export laptop --as pkcs12
    """
    with _told():
        opened = Authority(Folder(Path(directory)))
        if opened.list_is_old(_now()):
            opened.publish(at=_now(), passphrase=_open_passphrase(opened, passphrase_file))
        one = _chosen(opened, name)
        other = _chosen(opened, peer) if peer is not None else None
        both = [(one, other)] if other is None else [(one, other), (other, one)]
        lines, folders = [], []
        for mine, theirs in both:
            where = Path(output) / mine.name
            kept = put(where, export(opened, mine, theirs, Form(form)))
            folders.append(str(where))
            lines.append(f"{where} holds what {mine.name} needs.")
            lines += [f"{path} was there, and is as it was." for path in kept]
    _say({"folders": folders}, lines, opened.warnings(_now()))
    return Exit.OK


# --- what they share ------------------------------------------------------------------------


def _now() -> int:
    return int(time.time())


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _chosen(opened: Authority, what: str) -> Issued:
    """The newest of a name, or the one with that serial number. Raises AuthorityError."""
    found = opened.index.find(what)
    if not found:
        raise AuthorityError(
            f"There is no certificate {what}.",
            "No certificate has that name, or a serial number that begins so.",
            "`isthmus ca list` shows what there is.",
        )
    return found[-1]


def _say(answer: dict[str, Any], lines: list[str], warnings: list[str] | None = None) -> None:
    given = settings()
    if given.json:
        body = {"schema": SCHEMA, **answer}
        if warnings is not None:
            body["warnings"] = warnings
        print_lines([as_json(body)])
    elif not given.quiet:
        findings = [("warn", warning) for warning in warnings or ()]
        print_lines(lines)
        if findings:
            print_lines(finding_lines(findings, Paint(given.colour)))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except AuthorityError as error:
        raise CliError(error.what, error.why, error.fix, Exit.FAILED) from None


def _new_passphrase(encrypt: bool, file: str | None) -> Secret | None:
    if file is not None:
        return _read_passphrase(file)
    if not encrypt:
        return None
    return Secret(_asked("Passphrase for the authority's key", confirm=True))


def _open_passphrase(opened: Authority, file: str | None) -> Secret | None:
    if not opened.is_encrypted:
        return None
    if file is not None:
        return _read_passphrase(file)
    return Secret(_asked("Passphrase of the authority's key", confirm=False))


def _asked(prompt: str, *, confirm: bool) -> bytes:
    if not sys.stdin.isatty():
        raise CliError(
            "The authority's key takes a passphrase.",
            "There is no terminal to ask for it.",
            "Name a file that holds it with --passphrase-file.",
            Exit.FAILED,
        )
    text = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return os.fsencode(str(text))


def _read_passphrase(file: str) -> Secret:
    return Secret(read_file(Path(file)).rstrip(b"\r\n"))
