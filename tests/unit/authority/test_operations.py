"""What an authority issues, revokes and refuses."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from isthmus.authority.errors import AuthorityError
from isthmus.authority.folder import Folder
from isthmus.authority.index import Issued, Reason, State
from isthmus.authority.keys import Kind
from isthmus.authority.operations import Authority, Wanted
from isthmus.authority.profile import IKE_INTERMEDIATE
from isthmus.crypto.entropy import SystemEntropy
from isthmus.values.identity import Identity
from isthmus.values.secret import Secret
from isthmus.values.trust import EkuRule, RevocationMode
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import Crl
from isthmus.x509.errors import Untrusted
from isthmus.x509.identity import matches
from isthmus.x509.path import validate
from isthmus.x509.revocation import Statuses, judge
from isthmus.x509.rules import PathRules

from .samples import DAY, NOW, authority, certificate, issue, revocation_list

PASSPHRASE = Secret(b"a passphrase of some length")


def request(name: str = "CN=theirs", key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A signing request."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name.from_rfc4514_string(name)
    )
    made = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("kind", [k for k in Kind if not k.startswith("rsa")] + [Kind.RSA_2048])
def test_what_is_issued_is_believed_by_our_own_judge(tmp_path: Path, kind: Kind) -> None:
    """Every kind of key, as root and as gateway, under each rule of extended usage."""
    ca = authority(tmp_path, key=kind)
    issued = issue(ca, "hq", "vpn.hq.example.net", "192.0.2.1", "2001:db8::1", "gw@example.net")
    leaf = Certificate.parse(certificate(ca, issued).public_bytes(Encoding.DER))
    anchor = Certificate.parse(ca.certificate.public_bytes(Encoding.DER))
    crl = Crl.parse(ca.folder.crl.read_bytes())
    for rule in EkuRule:
        path = validate(leaf, (), (anchor,), at=NOW, rules=PathRules(eku=rule))
        judge(path, Statuses.of((crl,)), NOW, RevocationMode.STRICT)
    said = "fqdn:vpn.hq.example.net", "ip:192.0.2.1", "ip:2001:db8::1", "email:gw@example.net"
    assert issued.identities == said
    assert all(matches(leaf, Identity.parse(text)) for text in said)
    with pytest.raises(Untrusted):
        validate(leaf, (), (anchor,), at=issued.not_after + 1)


def test_a_gateways_certificate_is_what_every_peer_takes(tmp_path: Path) -> None:
    """RFC 4945; Windows and Apple want serverAuth and a SubjectAltName, Apple at most 825 days."""
    ca = authority(tmp_path, key=Kind.RSA_2048)
    made = certificate(ca, issue(ca))
    assert made.version is x509.Version.v3
    usage = made.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.digital_signature and usage.value.key_encipherment
    assert not usage.value.key_cert_sign and not usage.value.crl_sign
    extended = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert not extended.critical
    assert set(extended.value) == {
        *(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
        *(ExtendedKeyUsageOID.IPSEC_IKE, IKE_INTERMEDIATE),
    }
    basic = made.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical and not basic.value.ca
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert not names.critical
    assert names.value.get_values_for_type(x509.DNSName) == ["hq.example.net"]
    lasts = made.not_valid_after_utc - made.not_valid_before_utc
    assert lasts.days == 825 and lasts.seconds == 0
    assert made.not_valid_before_utc.timestamp() == NOW - 3600
    assert made.public_key().key_size == 2048 and isinstance(made.public_key(), rsa.RSAPublicKey)
    assert isinstance(made.signature_hash_algorithm, hashes.SHA256)
    common = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [a.value for a in common] == ["hq.example.net"]


def test_the_root_is_a_root(tmp_path: Path) -> None:
    root = authority(tmp_path).certificate
    basic = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical and basic.value.ca and basic.value.path_length == 1
    usage = root.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign
    assert not usage.value.digital_signature
    assert root.subject == root.issuer
    root.verify_directly_issued_by(root)


def test_serial_numbers_are_twenty_octets_that_nobody_foretells(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    serials = {int(issue(ca, f"gw{n}").serial, 16) for n in range(20)}
    assert len(serials) == 20
    assert all((serial.bit_length() + 8) // 8 == 20 for serial in serials)


def test_a_name_has_one_certificate_unless_it_is_renewed(tmp_path: Path) -> None:
    """A renewal says what was said before, with a new key and serial number."""
    ca = authority(tmp_path)
    first = issue(ca, "hq", "a.example", address="192.0.2.1", networks=("10.1.0.0/24",))
    with pytest.raises(AuthorityError, match="hq has a certificate"):
        issue(ca, "hq", "a.example")
    with pytest.raises(AuthorityError, match="no certificate yet"):
        issue(ca, "branch", renew=True)
    later = issue(ca, "hq", renew=True, at=NOW + 800 * DAY)
    assert later.identities == first.identities and later.networks == first.networks
    assert later.address == first.address and later.serial != first.serial
    assert ca.key_of(first) != ca.key_of(later) and ca.index.current("hq") == later
    assert issue(ca, "hq", "b.example", renew=True).identities == ("fqdn:b.example",)
    # After a revocation the name is free again.
    ca.revoke("hq", Reason.SUPERSEDED, at=NOW, passphrase=None)
    assert issue(ca, "hq", "c.example").identities == ("fqdn:c.example",)


def test_revoking_a_name_revokes_all_its_certificates(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    one, two = issue(ca), issue(ca, renew=True)
    other = issue(ca, "branch")
    gone = ca.revoke("hq", Reason.KEY_COMPROMISE, at=NOW + 5, passphrase=None)
    assert {c.serial for c in gone} == {one.serial, two.serial}
    crl = revocation_list(ca)
    assert crl.is_signature_valid(ca.certificate.public_key())
    assert {f"{entry.serial_number:040x}" for entry in crl} == {one.serial, two.serial}
    for entry in crl:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        assert reason is x509.ReasonFlags.key_compromise
    states = {c.serial: c.state(NOW + 6) for c in ca.index.certificates}
    assert states == {
        one.serial: State.REVOKED,
        two.serial: State.REVOKED,
        other.serial: State.VALID,
    }
    with pytest.raises(AuthorityError, match="hq cannot be revoked"):
        ca.revoke("hq", Reason.UNSPECIFIED, at=NOW, passphrase=None)


def test_one_certificate_is_revoked_by_its_serial_number(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    one, two = issue(ca), issue(ca, renew=True)
    (gone,) = ca.revoke(one.serial[:16].upper(), Reason.UNSPECIFIED, at=NOW, passphrase=None)
    assert gone.serial == one.serial and ca.index.current("hq") == two
    (entry,) = revocation_list(ca)
    assert not len(entry.extensions), "unspecified is said by saying nothing"
    for nothing in ("zz", "1234567", "f" * 39):
        with pytest.raises(AuthorityError, match="cannot be revoked"):
            ca.revoke(nothing, Reason.UNSPECIFIED, at=NOW, passphrase=None)


def test_our_judge_refuses_what_the_list_names(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    issued = issue(ca)
    ca.revoke("hq", Reason.UNSPECIFIED, at=NOW, passphrase=None)
    leaf = Certificate.parse(certificate(ca, issued).public_bytes(Encoding.DER))
    anchor = Certificate.parse(ca.certificate.public_bytes(Encoding.DER))
    path = validate(leaf, (), (anchor,), at=NOW)
    with pytest.raises(Untrusted) as refused:
        judge(
            path,
            Statuses.of((Crl.parse(ca.folder.crl.read_bytes()),)),
            NOW,
            RevocationMode.SOFT,
        )
    assert refused.value.code == "E149"


def test_the_list_grows_in_number_and_forgets_what_has_expired(tmp_path: Path) -> None:
    ca = authority(tmp_path)

    def number() -> int:
        found = revocation_list(ca).extensions.get_extension_for_class(x509.CRLNumber)
        return int(found.value.crl_number)

    assert number() == 1
    issue(ca, days=10)
    ca.revoke("hq", Reason.UNSPECIFIED, at=NOW, passphrase=None)
    assert number() == 3 and len(revocation_list(ca)) == 1
    ca.publish(at=NOW + 11 * DAY, passphrase=None)
    crl = revocation_list(ca)
    assert number() == 4 and len(crl) == 0
    assert crl.next_update_utc is not None
    assert crl.next_update_utc.timestamp() == NOW + (11 + 180) * DAY


def test_where_the_list_is_stands_in_each_certificate(tmp_path: Path) -> None:
    ca = authority(tmp_path, crl_url="http://pki.example.net/ca.crl")
    made = certificate(ca, issue(ca))
    (point,) = made.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name == [x509.UniformResourceIdentifier("http://pki.example.net/ca.crl")]


def test_what_ends_is_told_in_time(tmp_path: Path) -> None:
    """Of each name the newest counts; the root and the list are told of too."""
    ca = authority(tmp_path, root_days=1000)
    issue(ca, days=100)
    issue(ca, "branch", days=60)
    assert ca.warnings(NOW) == []
    (only,) = ca.warnings(NOW + 40 * DAY)
    assert "branch ends in 19 days: isthmus ca issue branch --renew" in only
    issue(ca, "branch", renew=True, at=NOW + 40 * DAY)
    assert ca.warnings(NOW + 69 * DAY) == []
    found = ca.warnings(NOW + 200 * DAY)
    assert "hq has expired: isthmus ca issue hq --renew" in found[0]
    assert any("root certificate ends in 799 days" in line for line in found)
    found = ca.warnings(NOW + 210 * DAY)
    assert any("revocation list ends in 10 days" in line for line in found)


def test_nothing_outlives_the_root(tmp_path: Path) -> None:
    ca = authority(tmp_path, root_days=100)
    issued = issue(ca, days=500)
    assert issued.not_after == ca.ends_at < NOW + 101 * DAY
    with pytest.raises(AuthorityError, match="root certificate has expired"):
        issue(ca, "branch", at=NOW + 200 * DAY)


def test_a_request_keeps_its_key(tmp_path: Path) -> None:
    """The certificate is theirs, the key never was here; a renewal needs a request too."""
    ca = authority(tmp_path)
    private = ec.generate_private_key(ec.SECP256R1())
    issued = issue(ca, "cloud", "c.example", request=request("CN=cloud", private))
    made = certificate(ca, issued)
    assert made.public_key() == private.public_key()
    assert made.subject.rfc4514_string() == "CN=cloud"
    assert ca.key_of(issued) is None
    with pytest.raises(AuthorityError, match="key of cloud is not here"):
        issue(ca, "cloud", renew=True)
    assert issue(ca, "cloud", renew=True, request=request()).identities == issued.identities


def test_another_authority_below_this_one(tmp_path: Path) -> None:
    """As AWS Private CA wants it: its own subject, and gateways below it only."""
    ca = authority(tmp_path)
    issued = issue_authority(ca)
    made = certificate(ca, issued)
    basic = made.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert basic.ca and basic.path_length == 0
    assert made.subject.rfc4514_string() == "CN=Cloud CA,O=Example"
    with pytest.raises(AuthorityError, match="keeps its own key"):
        issue(ca, "other", is_authority=True)


def issue_authority(ca: Authority) -> Issued:
    wanted = Wanted("aws", request=request("CN=Cloud CA,O=Example"), is_authority=True)
    return ca.issue(wanted, at=NOW, entropy=SystemEntropy(), passphrase=None)


def _weak() -> bytes:
    key = rsa.generate_private_key(65537, 1024)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _forged() -> bytes:
    good = x509.load_pem_x509_csr(request())
    der = bytearray(good.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize("octets", [b"", b"nonsense", request()[:200], _weak(), _forged()])
def test_a_request_that_is_none_is_refused(tmp_path: Path, octets: bytes) -> None:
    ca = authority(tmp_path)
    with pytest.raises(AuthorityError, match="signing request is refused"):
        issue(ca, "cloud", "c.example", request=octets)
    assert ca.index.certificates == ()


@pytest.mark.parametrize(
    ("name", "identities", "message"),
    [
        ("a b", ("a.example",), "cannot be the name"),
        ("../hq", ("a.example",), "cannot be the name"),
        ("", ("a.example",), "cannot be the name"),
        ("hq", ("keyid:abc",), "cannot stand in a certificate"),
        ("hq", ("dn:CN=x",), "cannot stand in a certificate"),
        ("hq", ("ip:300.1.1.1",), "is no name of a gateway"),
        ("hq", ("fqdn:a b",), "is no name of a gateway"),
        ("hq", ("fqdn:192.0.2.1",), "is no name of a gateway"),
        ("hq", ("fqdn:*.example.net",), "is no name of a gateway"),
        ("hq", ("fqdn:a}b{",), "is no name of a gateway"),
        ("hq", ('email:a"b@example.net',), "is no name of a gateway"),
    ],
)
def test_names_that_cannot_be_are_refused(
    tmp_path: Path, name: str, identities: tuple[str, ...], message: str
) -> None:
    ca = authority(tmp_path)
    with pytest.raises(AuthorityError, match=message):
        issue(ca, name, *identities)
    assert ca.index.certificates == ()
    assert list((tmp_path / "ca/issued").iterdir()) == []


def test_why_a_name_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError) as caught:
        issue(authority(tmp_path), "hq", "fqdn:a}b{")
    assert caught.value.why == "It has characters that no DNS name or mailbox has."


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"networks": ("10.1.0.1/24",)}, "is no network"),
        ({"networks": ("office",)}, "is no network"),
        ({"networks": ('10.1.0.0/24"]',)}, "is no network"),
        ({"address": "a b"}, "is no address"),
        ({"address": 'x"\n'}, "is no address"),
        ({"days": 0}, "cannot be a certificate's life"),
        ({"days": 99_999}, "cannot be a certificate's life"),
    ],
)
def test_what_goes_into_configurations_is_looked_at(
    tmp_path: Path, more: dict[str, object], message: str
) -> None:
    ca = authority(tmp_path)
    with pytest.raises(AuthorityError, match=message):
        issue(ca, "hq", **more)  # type: ignore[arg-type]
    assert ca.index.certificates == ()


def test_a_key_under_a_passphrase_signs_with_it_only(tmp_path: Path) -> None:
    ca = authority(tmp_path, passphrase=PASSPHRASE)
    assert ca.is_encrypted and b"ENCRYPTED" in ca.folder.key.read_bytes()
    for wrong in (None, Secret(b"another passphrase, wrong")):
        with pytest.raises(AuthorityError, match="could not be opened") as refused:
            issue(ca, passphrase=wrong)
        assert "passphrase of some" not in str(vars(refused.value))
    assert issue(ca, passphrase=PASSPHRASE).name == "hq"
    with pytest.raises(AuthorityError, match="too short"):
        authority(tmp_path / "other", passphrase=Secret(b"short"))


def test_an_authority_is_never_made_twice_in_a_folder(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    before = ca.folder.key.read_bytes()
    with pytest.raises(AuthorityError, match="There is an authority"):
        authority(tmp_path)
    ca.folder.index.unlink()
    with pytest.raises(AuthorityError, match="There is an authority"):
        authority(tmp_path)
    assert ca.folder.key.read_bytes() == before
    with pytest.raises(AuthorityError, match="There is no authority"):
        Authority(Folder(tmp_path / "nowhere"))


@pytest.mark.parametrize("url", ["https://x/ca.crl", "ftp://x/ca.crl", "x"])
def test_a_list_is_fetched_by_plain_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(AuthorityError, match="cannot be where the revocation list is"):
        authority(tmp_path, crl_url=url)


def test_another_root_beside_the_key_is_noticed(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    other = authority(tmp_path / "other")
    ca.folder.certificate.write_bytes(other.folder.certificate.read_bytes())
    with pytest.raises(AuthorityError, match="does not belong to"):
        issue(Authority(ca.folder))
