"""What gateways get, and that those who are to read it do."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from isthmus.authority.errors import AuthorityError
from isthmus.authority.export import Form, address_of, export, put
from isthmus.authority.index import Issued, Reason
from isthmus.authority.keys import Kind
from isthmus.authority.operations import Authority
from isthmus.config.load import load
from isthmus.policy.authentication import AuthKind
from isthmus.values.identity import Identity

from .samples import NOW, authority, certificate, issue
from .test_operations import issue_authority, request


def sites(
    tmp_path: Path, key: Kind = Kind.P256, *, networks: bool = True
) -> tuple[Authority, Issued, Issued]:
    ca = authority(tmp_path, key=key)
    more = [("10.1.0.0/24", "fd00:1::/64"), ("10.2.0.0/24", "fd00:2::/64")]
    hq, branch = (
        issue(
            ca,
            name,
            f"vpn.{name}.example.net",
            address=f"192.0.2.{n + 1}",
            networks=more[n] if networks else (),
        )
        for n, name in enumerate(("hq", "branch"))
    )
    return ca, hq, branch


@pytest.mark.parametrize("kind", [Kind.P256, Kind.ED25519])
def test_our_own_configuration_loads_and_has_no_doubts(tmp_path: Path, kind: Kind) -> None:
    """Both ends, mirrored, with keys that only their owner can read."""
    ca, hq, branch = sites(tmp_path, kind)
    for mine, peer in ((hq, branch), (branch, hq)):
        where = tmp_path / "sites" / mine.name
        assert put(where, export(ca, mine, peer, Form.ISTHMUS)) == ()
        found = load(where / "isthmus.toml", {}, at=NOW)
        (tunnel,) = found.configuration.connections
        assert found.warnings == ()
        assert tunnel.name == peer.name and tunnel.peer == peer.address
        assert tunnel.local_id == Identity.parse(mine.identities[0])
        assert tunnel.remote_id == Identity.parse(peer.identities[0])
        assert tunnel.local_auth.kind is tunnel.remote_auth.kind is AuthKind.CERT
        assert [rule.name for rule in tunnel.rules] == ["lan", "lan6"]
        assert [str(r.local[0]) for r in tunnel.rules] == list(mine.networks)
        for name in (f"{mine.name}.key", "isthmus.toml"):
            assert stat.S_IMODE((where / name).stat().st_mode) == 0o600


def test_networks_that_nobody_said_are_left_to_fill_in(tmp_path: Path) -> None:
    ca, hq, branch = sites(tmp_path, networks=False)
    put(tmp_path / "hq", export(ca, hq, branch, Form.ISTHMUS))
    text = (tmp_path / "hq/isthmus.toml").read_text()
    assert "# local  = [" in text and "# remote = [" in text and "behind branch" in text


def test_an_export_again_renews_keys_and_leaves_the_configuration(tmp_path: Path) -> None:
    ca, hq, branch = sites(tmp_path)
    where = tmp_path / "hq"
    put(where, export(ca, hq, branch, Form.ISTHMUS))
    key = (where / "hq.key").read_bytes()
    assert put(where, export(ca, hq, branch, Form.ISTHMUS)) == ()
    edited = (where / "isthmus.toml").read_text() + "# mine\n"
    (where / "isthmus.toml").write_text(edited)
    later = issue(ca, "hq", renew=True)
    kept = put(where, export(ca, later, branch, Form.ISTHMUS))
    assert kept == (where / "isthmus.toml",)
    assert (where / "isthmus.toml").read_text() == edited
    assert (where / "hq.key").read_bytes() != key


def test_the_list_goes_with_it(tmp_path: Path) -> None:
    """A gateway that gets its files again learns who was revoked."""
    ca, hq, branch = sites(tmp_path)
    ca.revoke("branch", Reason.UNSPECIFIED, at=NOW, passphrase=None)
    put(tmp_path / "hq", export(ca, hq, branch, Form.ISTHMUS))
    assert (tmp_path / "hq/ca.crl").read_bytes() == ca.folder.crl.read_bytes()


@pytest.mark.parametrize("form", [Form.PKCS12, Form.PKCS12_OLD])
def test_a_pkcs12_file_holds_key_and_chain(tmp_path: Path, form: Form) -> None:
    ca, hq, _ = sites(tmp_path)
    put(tmp_path / "out", export(ca, hq, None, form))
    password = (tmp_path / "out/hq.p12.password").read_bytes().strip()
    assert len(password) == 20
    octets = (tmp_path / "out/hq.p12").read_bytes()
    found = pkcs12.load_pkcs12(octets, password)
    assert found.cert is not None and found.cert.certificate == certificate(ca, hq)
    assert [c.certificate for c in found.additional_certs] == [ca.certificate]
    own = load_pem_private_key(ca.key_of(hq) or b"", None)
    assert found.key is not None and found.key.public_key() == own.public_key()
    with pytest.raises(ValueError):
        pkcs12.load_pkcs12(octets, b"another")
    for name in ("hq.p12", "hq.p12.password"):
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o600


def test_strongswan_gets_its_folders(tmp_path: Path) -> None:
    ca, hq, branch = sites(tmp_path)
    put(tmp_path, export(ca, hq, branch, Form.STRONGSWAN))
    for name in ("x509/hq.pem", "private/hq.key", "x509ca/ca.pem", "x509crl/ca.crl"):
        assert (tmp_path / name).exists(), name
    text = (tmp_path / "conf.d/branch.conf").read_text()
    for line in (
        "remote_addrs = 192.0.2.2",
        "id = vpn.hq.example.net",
        "id = vpn.branch.example.net",
        "local_ts = 10.1.0.0/24, fd00:1::/64",
    ):
        assert line in text
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize("kind", [Kind.RSA_2048, Kind.P256, Kind.P384, Kind.P521, Kind.ED25519])
def test_openssl_verifies_it(tmp_path: Path, kind: Kind) -> None:
    """`openssl verify` in its strict mode, for every purpose, with the list; and after revoking."""
    program = shutil.which("openssl")
    assert program is not None, "openssl is part of what is tested (tools/packages)"
    ca, hq, _ = sites(tmp_path, kind)
    put(tmp_path / "hq", export(ca, hq, None, Form.ISTHMUS))

    def verified(*purpose: str) -> int:
        command = [program, "verify", "-x509_strict", "-CAfile", str(ca.folder.certificate)]
        command += ["-crl_check", "-CRLfile", str(ca.folder.crl), "-attime", str(NOW + 5)]
        command += [*purpose, str(tmp_path / "hq/hq.pem")]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

    for purpose in ((), ("-purpose", "sslserver"), ("-purpose", "sslclient")):
        assert verified(*purpose) == 0, purpose
    assert verified("-verify_hostname", "vpn.hq.example.net") == 0
    assert verified("-verify_hostname", "vpn.branch.example.net") != 0
    ca.revoke("hq", Reason.UNSPECIFIED, at=NOW, passphrase=None)
    assert verified() != 0


def test_a_key_that_is_not_here_cannot_be_exported(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    cloud = issue(ca, "cloud", "c.example", request=request())
    assert all(not f.path.endswith(".key") for f in export(ca, cloud, None, Form.ISTHMUS))
    with pytest.raises(AuthorityError, match="key of cloud is not here"):
        export(ca, cloud, None, Form.PKCS12)
    below = issue_authority(ca)
    assert len(export(ca, below, None, Form.ISTHMUS)) == 3
    with pytest.raises(AuthorityError, match="is an authority"):
        export(ca, below, None, Form.STRONGSWAN)


@pytest.mark.parametrize(
    ("identities", "said", "expected"),
    [
        (("vpn.example.net", "192.0.2.1"), "", "192.0.2.1"),
        (("vpn.example.net",), "", "vpn.example.net"),
        (("gw@example.net",), "", "any"),
        (("vpn.example.net",), "198.51.100.7", "198.51.100.7"),
    ],
)
def test_where_a_gateway_is_reached(
    tmp_path: Path, identities: tuple[str, ...], said: str, expected: str
) -> None:
    ca = authority(tmp_path)
    assert address_of(issue(ca, "gw", *identities, address=said)) == expected
