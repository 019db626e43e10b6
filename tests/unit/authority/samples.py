"""An authority in a folder, with keys that are made quickly, and a clock that stands."""

from pathlib import Path

from cryptography import x509

from isthmus.authority.folder import Folder
from isthmus.authority.index import Issued
from isthmus.authority.keys import Kind
from isthmus.authority.operations import Authority, Wanted, create
from isthmus.authority.profile import GATEWAY_DAYS, ROOT_DAYS
from isthmus.crypto.entropy import SystemEntropy
from isthmus.values.secret import Secret

NOW = 1_800_000_000
DAY = 86_400


def authority(
    path: Path,
    *,
    key: Kind = Kind.P256,
    days: int = GATEWAY_DAYS,
    root_days: int = ROOT_DAYS,
    crl_url: str = "",
    passphrase: Secret | None = None,
    at: int = NOW,
) -> Authority:
    """A new one."""
    return create(
        Folder(path / "ca"),
        "Example VPN",
        key=key,
        days=days,
        root_days=root_days,
        crl_url=crl_url,
        at=at,
        entropy=SystemEntropy(),
        passphrase=passphrase,
    )


def issue(
    authority: Authority,
    name: str = "hq",
    *identities: str,
    at: int = NOW,
    passphrase: Secret | None = None,
    **more: object,
) -> Issued:
    """A certificate; called by the name unless said otherwise."""
    said = identities or (() if more.get("renew") else (f"{name}.example.net",))
    wanted = Wanted(name, tuple(said), **more)  # type: ignore[arg-type]
    return authority.issue(wanted, at=at, entropy=SystemEntropy(), passphrase=passphrase)


def certificate(authority: Authority, issued: Issued) -> x509.Certificate:
    """What was issued, as it lies in the folder."""
    return x509.load_pem_x509_certificate(authority.pem_of(issued))


def revocation_list(authority: Authority) -> x509.CertificateRevocationList:
    """The list as it lies in the folder."""
    return x509.load_der_x509_crl(authority.folder.crl.read_bytes())
