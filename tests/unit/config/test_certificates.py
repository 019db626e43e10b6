"""Certificates in the configuration: what loads, what is refused, what is warned of."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    pkcs12,
)

from exchanges import pki
from exchanges.pki import Node
from isthmus.config.load import Loaded, load
from isthmus.credentials.inventory import DAY_S
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.values.identity import Identity, IdentityPattern
from isthmus.values.signature import Scheme
from isthmus.values.trust import EkuRule, RevocationMode

from .samples import SECRET, errors, write

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
ROOT = pki.issue("Root")
ISSUING = pki.issue("Issuing", ROOT, ca=True)
GATEWAY = pki.issue("hq", ISSUING, names=("fqdn:hq.example.net", "ip:192.0.2.1"))
OTHER = pki.issue("other", ROOT, names=("fqdn:other.example.net",))
HEAD = '[tunnel.office]\npeer = "203.0.113.10"\n'
CERT = HEAD + 'auth = "cert"\ncert = "hq.pem"\nkey = { file = "hq.key" }\nca = ["root.pem"]\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the files that `CERT` names."""
    (tmp_path / "hq.pem").write_bytes(GATEWAY.pem + ISSUING.pem)
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    secret(tmp_path / "hq.key", GATEWAY.key_pem)
    secret(tmp_path / "pass", b"open sesame\n")
    return tmp_path


def secret(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    path.chmod(0o600)


def loaded(place: Path, text: str, at: int | None = AT) -> Loaded:
    return load(write(place, text), {}, at)


def only(place: Path, text: str) -> tuple[str, str]:
    """The message and the hint of the only error."""
    (error,) = errors(place, text)
    return error.message, error.hint


def test_a_tunnel_by_certificates(place: Path) -> None:
    text = CERT + (
        'remote_id = { match = "fqdn:*.branch.example.net" }\nrevocation = "strict"\n'
        'remote_eku = "server"\n[tunnel.office.phase1]\n'
        'signature = ["ecdsa-sha384", "rsa-pss-sha256"]\n'
    )
    found = loaded(place, text)
    (connection,) = found.configuration.connections
    schemes = (Scheme.ECDSA_SHA384, Scheme.RSA_PSS_SHA256)
    assert connection.local_auth == LocalAuth(AuthKind.CERT, "office", schemes)
    assert connection.remote_auth == RemoteAuth(
        AuthKind.CERT, "office", schemes, RevocationMode.STRICT, EkuRule.SERVER
    )
    assert connection.remote_id == IdentityPattern.parse("fqdn:*.branch.example.net")
    assert connection.local_id == Identity.parse("fqdn:hq.example.net"), "the certificate's first"
    own, trust = found.credentials.own("office"), found.credentials.trust("office")
    assert own is not None and own.chain == (GATEWAY.read, ISSUING.read)
    assert own.key.public == GATEWAY.read.public_key
    assert trust is not None and trust.anchors == (ROOT.read,)
    assert found.warnings == ()
    for hidden in (GATEWAY.key_pem.decode(), SECRET):
        assert hidden.split("\n")[1][:20] not in repr(found) if "\n" in hidden else True


def test_each_side_in_its_own_way(place: Path) -> None:
    (place / "their.pub").write_bytes(pki.private("ed25519").public_key().public_bytes_raw())
    text = (
        HEAD + 'auth = { local = "cert", remote = "psk" }\npsk = { file = "office.psk" }\n'
        'cert = "hq.pem"\nkey = { file = "hq.key" }\nintermediates = "root.pem"\n'
    )
    found = loaded(place, text)
    (connection,) = found.configuration.connections
    assert connection.local_auth.kind is AuthKind.CERT
    assert connection.remote_auth.kind is AuthKind.PSK
    assert found.credentials.psk("office") is not None
    assert found.credentials.own("office") is not None


def test_bare_keys(place: Path) -> None:
    from cryptography.hazmat.primitives.serialization import PublicFormat

    key = pki.private("ed25519").public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (place / "their.pub").write_bytes(pem)
    text = HEAD + 'auth = "pubkey"\nkey = { file = "hq.key" }\nremote_key = "their.pub"\n'
    found = loaded(place, text)
    own, trust = found.credentials.own("office"), found.credentials.trust("office")
    assert own is not None and own.chain == ()
    assert trust is not None and [str(k) for k in trust.raw] == ["Ed25519"]


@pytest.mark.parametrize("kind", ["pem", "der", "pkcs12"])
def test_an_encrypted_key_opens_with_its_passphrase(place: Path, kind: str) -> None:
    lock = BestAvailableEncryption(b"open sesame")
    if kind == "pkcs12":
        octets = pkcs12.serialize_key_and_certificates(
            b"hq", GATEWAY.key, GATEWAY.certificate, [ISSUING.certificate], lock
        )
    else:
        encoding = Encoding.PEM if kind == "pem" else Encoding.DER
        octets = GATEWAY.key.private_bytes(encoding, PrivateFormat.PKCS8, lock)
    secret(place / "hq.key", octets)
    opened = CERT.replace('"hq.key" }', '"hq.key", passphrase = { file = "pass" } }')
    if kind == "pkcs12":
        opened = opened.replace('cert = "hq.pem"\n', "")
    own = loaded(place, opened).credentials.own("office")
    assert own is not None and own.chain == (GATEWAY.read, ISSUING.read)
    secret(place / "pass", b"another\n")
    message, _ = only(place, opened)
    assert "cannot be read" in message and "another" not in message


def test_a_key_that_another_process_holds(place: Path) -> None:
    program = [sys.executable, "-m", "isthmus.daemon.key_holder", str(place / "hq.key")]
    words = ", ".join(f'"{word}"' for word in program)
    text = CERT.replace('{ file = "hq.key" }', f"{{ process = [{words}] }}")
    own = loaded(place, text).credentials.own("office")
    assert own is not None and own.key.public == GATEWAY.read.public_key
    assert own.key.sign(Scheme.ECDSA_SHA256, b"octets")


WRONG: list[tuple[str, str, str, str]] = [
    ('key = { file = "hq.key" }', 'key = "hq.key"', "is text", "file ="),
    ('key = { file = "hq.key" }', 'key = { fil = "hq.key" }', 'unknown source "fil"', "file"),
    ('key = { file = "hq.key" }', "", "has no key", "key = { file"),
    (
        'key = { file = "hq.key" }',
        'key = { file = "hq.key", passphrase = "open sesame" }',
        "is not a reference",
        "credential",
    ),
    (
        'key = { file = "hq.key" }',
        'key = { process = ["x"], passphrase = { env = "P" } }',
        "both process and passphrase",
        "out",
    ),
    ('key = { file = "hq.key" }', 'key = { file = "root.pem" }', "open to everyone", "chmod"),
    ('cert = "hq.pem"', 'cert = "none.pem"', "does not exist", "create"),
    ('cert = "hq.pem"', 'cert = "hq.key"', "holds no certificate", "CA gave out"),
    ('cert = "hq.pem"', 'cert = "root.pem"', "belongs to none of our certificates", "requested"),
    ('cert = "hq.pem"', "", "belongs to none of our certificates: there is none", "requested"),
    ('ca = ["root.pem"]', "", "has no ca", "root certificate"),
    ('ca = ["root.pem"]', 'ca = ["empty"]', "has no files", "put the files there"),
    ('ca = ["root.pem"]', 'ca = []', "is an empty list", "leave ca out"),
    ('ca = ["root.pem"]', 'ca = "root.pem"\npsk = "x"', 'not used with auth = "cert"', "psk"),
    ('ca = ["root.pem"]', 'ca = "root.pem"\ncrl = "hq.pem"', "no revocation list", "publishes"),
    ('ca = ["root.pem"]', 'ca = "cut.pem"', "has no end", "copy it again"),
    ('ca = ["root.pem"]', 'ca = "root.pem"\nrevocation = "sft"', '"sft"', '"soft"'),
    ('ca = ["root.pem"]', 'ca = "root.pem"\nlocal_id = "fqdn:a.net"', "does not contain fqdn:a.net",
     "local_id"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "instead", "message", "hint"), WRONG)
def test_what_cannot_work_is_refused_with_its_place(
    place: Path, line: str, instead: str, message: str, hint: str
) -> None:
    (place / "empty").mkdir()
    (place / "cut.pem").write_bytes(ROOT.pem[:-10])
    (error,) = errors(place, CERT.replace(line, instead))
    assert message in error.message and hint in error.hint and error.why
    assert error.line >= 1 and error.file == "isthmus.toml"
    assert "sesame" not in str(error)


def test_an_identity_that_is_not_in_our_certificate_tells_what_is(place: Path) -> None:
    message, _ = only(place, CERT + 'local_id = "fqdn:vpn.hq.example.net"\n')
    assert "does not contain fqdn:vpn.hq.example.net" in message and "E142" in message
    assert "fqdn:hq.example.net ip:192.0.2.1" in message
    for held in ("fqdn:HQ.example.net", "ip:192.0.2.1", "dn:C=CH, O=Isthmus tests, CN=hq"):
        found = loaded(place, CERT + f'local_id = "{held}"\n')
        assert found.configuration.connections[0].local_id == Identity.parse(held)


def warnings_of(place: Path, gateway: Node, *between: Node, at: int = AT) -> tuple[str, ...]:
    """What is said of a chain when it is loaded."""
    (place / "hq.pem").write_bytes(b"".join(node.pem for node in (gateway, *between)))
    secret(place / "hq.key", gateway.key_pem)
    return loaded(place, CERT, at).warnings


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ({"not_after": NOW - timedelta(days=1)}, "E141", "expired on 2026-11-22"),
        ({"not_before": NOW + timedelta(days=1)}, "E144", "is not valid before 2026-11-24"),
        ({"not_after": NOW + timedelta(days=29, hours=1)}, "", "ends in 29 days"),
        ({"usages": (pki.UNKNOWN.oid,)}, "E143", "peers will refuse"),
        ({"extensions": ((pki.UNKNOWN, True),)}, "E152", "peers will refuse"),
        ({"signed_by": pki.private("p256", 99)}, "E154", "peers will refuse"),
        ({"key": pki.private("rsa1024")}, "", ""),
    ],
)  # fmt: skip
def test_what_will_fail_later_is_warned_of_when_it_is_loaded(
    place: Path, how: dict[str, object], code: str, words: str
) -> None:
    gateway = pki.issue("gw", ROOT, names=("fqdn:gw.example.net",), **how)  # type: ignore[arg-type]
    if not words:
        (place / "hq.pem").write_bytes(gateway.pem)
        secret(place / "hq.key", gateway.key_pem)
        assert "1024 bits is outside" in only(place, CERT)[0]
        return
    (warning,) = warnings_of(place, gateway)
    assert words in warning and code in warning and warning.startswith(f"{place}/isthmus.toml:4:")


def test_a_root_that_nothing_is_accepted_under_is_warned_of(place: Path) -> None:
    weak = pki.issue("Weak root", key=pki.private("rsa1024"))
    (place / "root.pem").write_bytes(ROOT.pem + weak.pem)
    (warning,) = loaded(place, CERT).warnings
    assert "Weak root has a key of 1024 bits" in warning and "E156" in warning


def test_a_missing_intermediate_is_warned_of(place: Path) -> None:
    (warning,) = warnings_of(place, GATEWAY)
    assert "Issuing" in warning and "E145" in warning and "intermediates" in warning
    (place / "issuing.pem").write_bytes(ISSUING.pem)
    text = CERT + 'intermediates = ["issuing.pem"]\n'
    own = loaded(place, text).credentials.own("office")
    assert own is not None and own.chain == (GATEWAY.read, ISSUING.read), "it is sent along"
    assert loaded(place, text).warnings == ()


def test_dates_are_not_asked_about_without_a_date(place: Path) -> None:
    old = pki.issue("gw", ROOT, names=("fqdn:gw.example.net",), not_after=NOW)
    (place / "hq.pem").write_bytes(old.pem)
    secret(place / "hq.key", old.key_pem)
    assert loaded(place, CERT, None).warnings == ()
    assert "expired" in loaded(place, CERT, AT + DAY_S).warnings[0]


def test_folders_of_roots_and_lists(place: Path) -> None:
    folder = place / "roots"
    folder.mkdir()
    (folder / "a.pem").write_bytes(ROOT.pem)
    (folder / "b.der").write_bytes(pki.issue("Second root").der)
    (folder / "README").write_text("not read")
    (folder / "list.crl").write_bytes(pki.revoked(OTHER))
    text = CERT.replace('["root.pem"]', '["roots", "root.pem"]') + 'crl = "roots/list.crl"\n'
    found = loaded(place, text)
    trust = found.credentials.trust("office")
    assert trust is not None and len(trust.anchors) == 2
    assert len(found.credentials.statuses.crls) == 1


def test_certificates_that_anybody_may_write_are_refused(place: Path) -> None:
    (place / "root.pem").chmod(0o666)
    assert "everyone may write" in only(place, CERT)[0]


def test_another_certificate_or_root_counts_as_changed_and_the_same_does_not(place: Path) -> None:
    before = loaded(place, CERT).credentials
    assert before.changed(loaded(place, CERT).credentials) == ()
    (place / "root.pem").write_bytes(ROOT.pem + pki.issue("Second root").pem)
    assert before.changed(loaded(place, CERT).credentials) == ("office",)
    (place / "root.pem").write_bytes(ROOT.pem)
    again = pki.issue("hq", ISSUING, key=GATEWAY.key, names=("fqdn:hq.example.net",))
    (place / "hq.pem").write_bytes(again.pem + ISSUING.pem)
    assert before.changed(loaded(place, CERT).credentials) == ("office",)
