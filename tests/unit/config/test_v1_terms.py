"""What only IKEv1 has: Aggressive Mode, XAUTH, Mode Config, hybrid."""

from pathlib import Path

import pytest

from exchanges import pki
from isthmus.config.errors import ConfigErrors
from isthmus.config.explain import explain_text
from isthmus.config.load import Loaded, load
from isthmus.credentials.xauth import hashed
from isthmus.crypto.entropy import SeededEntropy
from isthmus.policy.authentication import AuthKind
from isthmus.policy.connection import AccessRole, Connection, ModeConfig, V1Terms, Xauth
from isthmus.values.secret import Secret

from .samples import RULE, TUNNEL, errors, loaded, only_error, write

V1 = TUNNEL + "ike = 1\n"
PASSWORD = "a password that may be seen nowhere"
CLIENT = 'xauth = { user = "branch7", password = { file = "branch7.password" } }\n'
SERVER = 'xauth = { users = { file = "workers.users" } }\n'
HYBRID = """\
[tunnel.office]
peer = "203.0.113.10"
auth = { local = "xauth", remote = "cert" }
ca = "root.pem"
ike = 1
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with a password, a file of users and a root certificate."""
    line = f"ann:{hashed(Secret(PASSWORD.encode()), SeededEntropy(1)).text}\n"
    for name, text in (("branch7.password", PASSWORD + "\n"), ("workers.users", line)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "root.pem").write_bytes(pki.issue("Root").pem)
    return tmp_path


def connection(found: Loaded) -> Connection:
    (only,) = found.configuration.connections
    return only


def test_a_tunnel_without_them_has_none(here: Path) -> None:
    assert connection(loaded(here, V1)).v1 == V1Terms()
    assert connection(loaded(here, TUNNEL + "aggressive = false\n")).v1 == V1Terms()


@pytest.mark.parametrize("ike", ["1", '"auto"'])
def test_aggressive_mode_wants_a_word_and_says_why(here: Path, ike: str) -> None:
    text = TUNNEL + f"ike = {ike}\naggressive = true\n"
    error = only_error(here, text)
    assert error.message == "[tunnel.office] asks for IKEv1's Aggressive Mode"
    assert "guessed offline" in error.why and "allow_weak = true" in error.hint
    found = loaded(here, text + "allow_weak = true\n")
    assert connection(found).v1.aggressive
    (warning,) = found.warnings
    assert "Aggressive Mode" in warning and "guessed offline" in warning


@pytest.mark.parametrize("keys", ["aggressive = true\n", CLIENT, "mode_config = {}\n"])
def test_they_belong_to_ikev1(here: Path, keys: str) -> None:
    error = only_error(here, TUNNEL + keys)
    assert error.message.endswith("in [tunnel.office] belongs to IKEv1, which is not spoken")


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (CLIENT, "xauth"),
        (SERVER, "xauth"),
        ("mode_config = {}\n", "mode_config"),
        ('mode_config = { pool = "10.2.0.0/24" }\n', "mode_config"),
    ],
)
def test_a_log_in_and_lent_addresses_are_refused_where_ikev2_goes_around_them(
    here: Path, keys: str, name: str
) -> None:
    error = only_error(here, TUNNEL + 'ike = "auto"\n' + keys)
    assert error.message == f"{name} in [tunnel.office] belongs to IKEv1, and IKEv2 is spoken too"
    assert "go around them" in error.why and error.hint.startswith("write ike = 1, ")


def test_each_of_them_is_refused_beside_ikev2(here: Path) -> None:
    text = TUNNEL + 'ike = "auto"\n' + SERVER + 'mode_config = { pool = "10.2.0.0/24" }\n' + RULE
    assert len(errors(here, text)) == 2


@pytest.mark.parametrize(("keys", "is_for_auto"), [("aggressive = true\n", True), (CLIENT, False)])
def test_auto_is_advised_only_where_it_is_taken(here: Path, keys: str, is_for_auto: bool) -> None:
    assert ("auto" in only_error(here, TUNNEL + keys).hint) is is_for_auto


def test_a_client_has_a_name_and_a_password(here: Path) -> None:
    found = loaded(here, V1 + CLIENT)
    assert connection(found).v1.xauth == Xauth(AccessRole.CLIENT, "office", "branch7")
    login = found.credentials.login("office")
    assert login is not None and login.users is None
    assert login.password == Secret(PASSWORD.encode())
    assert PASSWORD not in repr(found) + explain_text(found)


def test_a_server_has_users(here: Path) -> None:
    found = loaded(here, V1 + SERVER)
    assert connection(found).v1.xauth == Xauth(AccessRole.SERVER, "office")
    login = found.credentials.login("office")
    assert login is not None and login.users is not None and login.password is None
    assert login.users.admits("ann", Secret(PASSWORD.encode()))


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ("xauth = {}\n", "has no users"),
        ('xauth = { user = "branch7" }\n', "has no password"),
        ('xauth = { password = { file = "branch7.password" } }\n', "has no user"),
        (
            'xauth = { user = "a", users = { file = "workers.users" } }\n',
            "has both user or password, and users",
        ),
        ('xauth = { user = "a:b", password.file = "branch7.password" }\n', "no name of a user"),
        ('xauth = { user = "a", password = "hush hush" }\n', "is text, and such a secret"),
        ('xauth = { user = "a", password.file = "nothing" }\n', "nothing does not exist"),
        ('xauth = { users.file = "branch7.password" }\n', "line 1 of the file of users"),
        ('xauth = { users.files = "x" }\n', 'the unknown source "files"'),
        ('xauth = { role = "client" }\n', "unknown key"),
    ],
)
def test_what_xauth_cannot_be(here: Path, keys: str, what: str) -> None:
    found = errors(here, V1 + keys)
    assert any(what in error.message for error in found), "\n".join(map(str, found))
    assert "hush" not in "".join(map(str, found))


def test_a_password_that_others_may_read_is_refused(here: Path) -> None:
    (here / "branch7.password").chmod(0o644)
    error = only_error(here, V1 + CLIENT)
    assert error.message.startswith("password in [tunnel.office.xauth]: the secret file")
    assert error.hint == "run: chmod 600 branch7.password"


def test_a_program_may_print_the_password(here: Path) -> None:
    keys = f'xauth = {{ user = "a", password.command = ["/bin/cat", "{here}/branch7.password"] }}\n'
    login = loaded(here, V1 + keys).credentials.login("office")
    assert login is not None and login.password == Secret(PASSWORD.encode())
    path = write(here, V1 + keys, mode=0o660)
    with pytest.raises(ConfigErrors, match="others may change"):
        load(path, {})


def test_a_changed_password_counts_and_changed_users_do_not(here: Path) -> None:
    before = {keys: loaded(here, V1 + keys).credentials for keys in (CLIENT, SERVER)}
    line = f"bob:{hashed(Secret(b'x'), SeededEntropy(2)).text}\n"
    (here / "branch7.password").write_text("another\n")
    (here / "workers.users").write_text(line)
    after = {keys: loaded(here, V1 + keys).credentials for keys in (CLIENT, SERVER)}
    assert before[CLIENT].changed(after[CLIENT]) == ("office",)
    assert before[SERVER].changed(after[SERVER]) == ()


@pytest.mark.parametrize(
    ("keys", "terms"),
    [
        ("{}", ModeConfig(AccessRole.CLIENT)),
        ('{ address = "any" }', ModeConfig(AccessRole.CLIENT)),
        ('{ address = "10.99.0.5" }', ModeConfig(AccessRole.CLIENT, address="10.99.0.5")),
        ('{ pool = "10.2.0.0/25" }', ModeConfig(AccessRole.SERVER, pool=("10.2.0.0/25",))),
        (
            '{ pool = ["10.2.0.0/24"], dns = "10.1.0.53", domain = "example.net",'
            ' networks = "10.1.0.0/16", push = true }',
            ModeConfig(
                AccessRole.SERVER,
                pool=("10.2.0.0/24",),
                dns=("10.1.0.53",),
                domain="example.net",
                networks=("10.1.0.0/16",),
                push=True,
            ),
        ),
    ],
)
def test_mode_config_asks_or_gives(here: Path, keys: str, terms: ModeConfig) -> None:
    found = loaded(here, V1 + f'start = "always"\nmode_config = {keys}\n' + RULE)
    assert connection(found).v1.mode_config == terms
    assert found.warnings == ()


def test_a_pool_that_no_rule_carries_is_warned_of(here: Path) -> None:
    found = loaded(here, V1 + 'mode_config = { pool = "10.99.0.0/24" }\n' + RULE)
    (warning,) = found.warnings
    assert "10.99.0.0/24, which is in no rule's remote networks" in warning


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ('{ pool = "10.2.0.0/24", address = "any" }', "address in"),
        ('{ dns = "10.1.0.53" }', "dns in"),
        ("{ push = true }", "push in"),
        ('{ networks = "10.1.0.0/16" }', "networks in"),
        ('{ domain = "example.net" }', "domain in"),
        ('{ pool = "fd00::/64" }', "has an IPv6 address"),
        ('{ address = "fd00::1" }', "has an IPv6 address"),
        ('{ pool = "10.2.0.0/24", dns = "fd00::1" }', "has an IPv6 address"),
        ('{ address = "some" }', "is no address"),
    ],
)
def test_what_mode_config_cannot_be(here: Path, keys: str, what: str) -> None:
    error = only_error(here, V1 + f"mode_config = {keys}\n" + RULE)
    assert what in error.message


def test_hybrid_has_a_certificate_on_their_side_and_a_password_on_ours(here: Path) -> None:
    found = connection(loaded(here, HYBRID + CLIENT))
    assert found.v1.hybrid and found.local_auth.kind is AuthKind.XAUTH
    assert found.remote_auth.kind is AuthKind.CERT


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HYBRID, "there is no user to log in"),
        (HYBRID + SERVER, "there is no user to log in"),
        (HYBRID.replace("ike = 1", 'ike = "auto"') + CLIENT, "that we do not start in IKEv1"),
        (
            HYBRID.replace('"203.0.113.10"', '"any"\nremote_id = "fqdn:x.example"') + CLIENT,
            "that we do not start in IKEv1",
        ),
        (V1 + CLIENT + 'auth = { local = "xauth", remote = "psk" }\n', "where it proves nothing"),
        (V1 + CLIENT + 'auth = { local = "psk", remote = "xauth" }\n', "where it proves nothing"),
        (HYBRID.replace("ike = 1\n", ""), "which only IKEv1 has"),
    ],
)
def test_what_hybrid_cannot_be(here: Path, text: str, what: str) -> None:
    assert what in only_error(here, text).message


@pytest.mark.parametrize("ike", ["1", '"auto"'])
@pytest.mark.parametrize("kinds", ['{ local = "psk", remote = "cert" }', '"pubkey"'])
def test_both_sides_prove_themselves_in_one_way(here: Path, ike: str, kinds: str) -> None:
    keys = f'ike = {ike}\nauth = {kinds}\nca = "root.pem"\n'
    found = errors(here, TUNNEL + keys)
    assert any("cannot be said in IKEv1" in error.message for error in found)


def test_signatures_are_not_chosen_in_ikev1(here: Path) -> None:
    text = V1 + 'phase1.signature = "ecdsa-sha384"\n'
    error = only_error(here, text)
    assert error.message == "signature in [tunnel.office] is not used with ike = 1"
    assert loaded(here, text.replace("ike = 1", 'ike = "auto"'))


@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ("mode_config = {}\n", True),
        ('mode_config = {}\nstart = "always"\n', False),
        ('mode_config = { pool = "10.2.0.0/24" }\n', False),
        ("", False),
    ],
)
def test_a_rule_that_waits_for_traffic_of_an_address_to_come_is_told(
    here: Path, keys: str, warned: bool
) -> None:
    """In policy mode; a tunnel interface leads traffic to the tunnel from the beginning."""
    found = loaded(here, V1 + keys + RULE)
    told = [each for each in found.configuration.warnings if "waits for traffic" in each]
    assert bool(told) is warned
    assert not told or 'start = "always"' in told[0]
