"""The plan: what a new configuration would do, in the words that users read."""

from dataclasses import replace

import pytest

from isthmus.config.diff import RESTART_GAP_S, Difference, Entry, difference
from isthmus.policy.authentication import AuthKind, LocalAuth, RemoteAuth
from isthmus.policy.changes import Fate
from isthmus.policy.connection import (
    AccessRole,
    ChildPolicy,
    Configuration,
    Connection,
    Hold,
    IkeVersion,
    Interface,
    Lifetimes,
    Liveness,
    Mode,
    ModeConfig,
    Start,
    V1Terms,
    Xauth,
)
from isthmus.values.identity import Identity
from isthmus.values.proposal import parse_proposal
from isthmus.values.registry.ikev2 import SecurityProtocol
from isthmus.values.selector import TrafficSelector

ESP = (parse_proposal("aes256gcm16-x25519", SecurityProtocol.ESP),)
OTHER_ESP = (parse_proposal("aes128gcm16-x25519", SecurityProtocol.ESP),)
IKE = (parse_proposal("aes256gcm16-prfsha384-x25519", SecurityProtocol.IKE),)
OTHER_IKE = (parse_proposal("aes128gcm16-prfsha256-x25519", SecurityProtocol.IKE),)


def network(text: str) -> tuple[TrafficSelector, ...]:
    return (TrafficSelector.of_network(text),)


def psk(name: str) -> tuple[LocalAuth, RemoteAuth]:
    return LocalAuth(AuthKind.PSK, name), RemoteAuth(AuthKind.PSK, name)


PAYROLL = ChildPolicy("payroll", network("10.1.0.0/24"), network("10.2.0.0/24"), ESP)
VOICE = replace(PAYROLL, name="voice", remote=network("10.3.0.0/24"))
OFFICE = Connection("office", "203.0.113.10", None, None, IKE, (PAYROLL, VOICE), *psk("office"))
CLOUD = replace(
    OFFICE,
    name="cloud",
    local_auth=psk("cloud")[0],
    remote_auth=psk("cloud")[1],
    mode=Mode.ROUTE,
    interface=Interface("cloud", ("169.254.10.1/30",), ("10.9.0.0/16",)),
)


def plan(old: Connection, new: Connection, *secrets: str) -> Entry:
    """The line of the only tunnel."""
    (entry,) = difference(Configuration((old,)), Configuration((new,)), secrets).entries
    return entry


def with_payroll(**changes: object) -> Connection:
    changed = replace(PAYROLL, **changes)  # type: ignore[arg-type]
    return replace(OFFICE, rules=(changed, VOICE))


def test_the_same_is_nothing_wherever_it_is_written() -> None:
    moved = replace(OFFICE, origin="a.toml:9", rules=(replace(PAYROLL, origin="a.toml:11"), VOICE))
    found = difference(Configuration((OFFICE,)), Configuration((moved,)), ())
    assert found == Difference((Entry("office", Fate.KEEP, ""),), (), ())
    assert found.is_nothing


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (with_payroll(idle_s=300.0), "only `idle` of rule payroll changed: applied live"),
        (
            with_payroll(lifetimes=Lifetimes(7200, 540)),
            "only phase 2 lifetime of rule payroll changed: applied live",
        ),
        (with_payroll(start=Start.ALWAYS), "only `start` of rule payroll changed: applied live"),
        (with_payroll(hold=Hold(8)), "only `hold` of rule payroll changed: applied live"),
        (
            replace(OFFICE, phase1_lifetimes=Lifetimes(7200, 540), liveness=Liveness(2, 5)),
            "only phase 1 lifetime and `dpd` changed: applied live",
        ),
        (replace(OFFICE, rules=(VOICE, PAYROLL)), "only order of the rules changed: applied live"),
        (replace(OFFICE, rules=(PAYROLL,)), "rule voice goes, with its phase 2"),
    ],
)
def test_what_living_sas_need_not_notice_is_kept(new: Connection, sentence: str) -> None:
    assert plan(OFFICE, new) == Entry("office", Fate.KEEP, sentence, 0.0)


def test_routes_and_addresses_of_an_interface_are_live_its_name_is_not() -> None:
    assert CLOUD.interface is not None
    routes = replace(CLOUD, interface=replace(CLOUD.interface, routes=("10.8.0.0/16",)))
    assert plan(CLOUD, routes).fate is Fate.KEEP
    named = replace(CLOUD, interface=replace(CLOUD.interface, name="aws0"))
    assert plan(CLOUD, named).sentence.startswith("interface changed: phase 1 must be redone")


V1_OFFICE = replace(OFFICE, ike=IkeVersion.V1)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (V1_OFFICE, "`ike`"),
        (replace(OFFICE, ike=IkeVersion.AUTO), "`ike`"),
        (replace(V1_OFFICE, v1=V1Terms(aggressive=True)), "`ike` and `aggressive`"),
        (
            replace(V1_OFFICE, v1=V1Terms(mode_config=ModeConfig(AccessRole.CLIENT))),
            "`ike` and `mode_config`",
        ),
    ],
)
def test_another_ike_is_another_phase_1(new: Connection, words: str) -> None:
    entry = plan(OFFICE, new)
    assert (entry.fate, entry.gap_s) == (Fate.RESTART, RESTART_GAP_S)
    assert entry.sentence.startswith(f"{words} changed: phase 1 must be redone")


@pytest.mark.parametrize(
    ("role", "words"),
    [(AccessRole.CLIENT, "pre-shared key, password"), (AccessRole.SERVER, "pre-shared key")],
)
def test_our_password_may_be_what_changed(role: AccessRole, words: str) -> None:
    tunnel = replace(V1_OFFICE, v1=V1Terms(xauth=Xauth(role, "office", "branch7")))
    assert plan(tunnel, tunnel, "office").sentence.startswith(f"{words} changed: phase 1 must")


def test_a_new_tunnel_of_ikev1_lists_its_pairs() -> None:
    (entry,) = difference(Configuration(), Configuration((V1_OFFICE,)), ()).entries
    assert entry == Entry(
        "office",
        Fate.ADD,
        "IKEv1; payroll 10.1.0.0/24 to 10.2.0.0/24; voice 10.1.0.0/24 to 10.3.0.0/24",
    )
    many = replace(V1_OFFICE, rules=tuple(replace(PAYROLL, name=f"n#{n}") for n in range(1, 11)))
    (entry,) = difference(Configuration(), Configuration((many,)), ()).entries
    assert entry.sentence.endswith("; n#8 10.1.0.0/24 to 10.2.0.0/24; 2 more")
    (entry,) = difference(Configuration(), Configuration((OFFICE,)), ()).entries
    assert entry.sentence == ""


@pytest.mark.parametrize(
    "changes", [{"proposals": OTHER_ESP}, {"replay_window": 64}, {"df": "set"}]
)
def test_what_an_sa_is_made_from_renews_phase_2(changes: dict[str, object]) -> None:
    entry = plan(OFFICE, with_payroll(**changes))
    assert (entry.fate, entry.gap_s) == (Fate.REKEY, 0.0)
    assert entry.sentence.startswith("rule payroll: new ")
    assert entry.sentence.endswith("make-before-break, no gap expected")


def test_other_networks_make_a_pair_anew_and_say_so() -> None:
    entry = plan(OFFICE, with_payroll(remote=network("10.2.0.0/16"), idle_s=60.0))
    assert entry.fate is Fate.REKEY and entry.gap_s > 0
    assert "remote networks and `idle` changed, phase 2 is closed and made anew" in entry.sentence


@pytest.mark.parametrize(
    ("new", "what"),
    [
        (replace(OFFICE, peer="203.0.113.11"), "`peer`"),
        (replace(OFFICE, remote_id=Identity.parse("fqdn:hq.example.net")), "`remote_id`"),
        (replace(OFFICE, local_id=Identity.parse("fqdn:me.example.net")), "`local_id`"),
        (replace(OFFICE, phase1_proposals=OTHER_IKE), "phase 1 proposals"),
        (replace(OFFICE, local_address="192.0.2.9"), "`local_address`"),
    ],
)
def test_who_talks_to_whom_and_how_restarts(new: Connection, what: str) -> None:
    entry = plan(OFFICE, new)
    assert (entry.fate, entry.gap_s) == (Fate.RESTART, RESTART_GAP_S)
    assert entry.sentence == f"{what} changed: phase 1 must be redone, ~1 s gap, packets held"


def test_a_changed_secret_is_named_and_never_shown() -> None:
    found = difference(Configuration((OFFICE,)), Configuration((OFFICE,)), ("office", "elsewhere"))
    assert found.secrets == ("office",)
    assert found.entries[0].fate is Fate.RESTART
    assert found.entries[0].sentence.startswith("pre-shared key changed")
    assert not found.is_nothing


def test_tunnels_come_and_go() -> None:
    found = difference(Configuration((OFFICE,)), Configuration((CLOUD,)), ("office", "cloud"))
    assert [(e.tunnel, e.fate) for e in found.entries] == [
        ("cloud", Fate.ADD),
        ("office", Fate.REMOVE),
    ]
    assert found.secrets == (), "a secret of a new tunnel has not changed"
    assert all(entry.is_change for entry in found.entries)


def test_what_belongs_to_no_tunnel_is_told_too() -> None:
    found = difference(
        Configuration((OFFICE,)), Configuration((OFFICE,), listen=("192.0.2.1",)), ()
    )
    assert found.others == ("addresses that are listened on changed: applied live",)
    assert not found.is_nothing


@pytest.mark.parametrize(
    ("local", "remote", "word"),
    [
        (AuthKind.PSK, AuthKind.PSK, "pre-shared key changed"),
        (AuthKind.CERT, AuthKind.CERT, "certificates or their key changed"),
        (AuthKind.CERT, AuthKind.PSK, "pre-shared key, certificates or their key changed"),
        (AuthKind.PUBKEY, AuthKind.PUBKEY, "public key changed"),
    ],
)
def test_another_proof_is_called_what_it_is(local: AuthKind, remote: AuthKind, word: str) -> None:
    tunnel = replace(
        OFFICE, local_auth=LocalAuth(local, "office"), remote_auth=RemoteAuth(remote, "office")
    )
    entry = plan(tunnel, tunnel, "office")
    assert entry.fate is Fate.RESTART and entry.sentence.startswith(word)


def test_another_way_to_authenticate_restarts_phase_1() -> None:
    tunnel = replace(OFFICE, remote_auth=RemoteAuth(AuthKind.CERT, "office"))
    entry = plan(OFFICE, tunnel)
    assert entry.fate is Fate.RESTART
    assert entry.sentence.startswith("how the peer authenticates changed")
