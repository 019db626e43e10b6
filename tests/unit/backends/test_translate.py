"""Engine words become plane words."""

import msgspec
import pytest

from isthmus.backends.frames import InstallSaFrame, encoder
from isthmus.backends.specs import (
    EndpointSpec,
    LimitsSpec,
    RangeSpec,
    SaState,
)
from isthmus.backends.translate import (
    Tag,
    limits_spec,
    policy_spec,
    range_specs,
    read_tag,
    sa_spec,
)
from isthmus.ike.core.effects import InstallSa
from isthmus.policy.connection import ChildPolicy, Hold, Lifetimes, Start
from isthmus.values.address import Endpoint
from isthmus.values.proposal import Suite
from isthmus.values.registry.ikev2 import Encr, Integ
from isthmus.values.secret import Secret
from isthmus.values.selector import TrafficSelector
from isthmus.values.spi import Spi

KEY = bytes(range(100, 132))
LOCAL = (TrafficSelector.of_network("10.1.0.0/24"),)
REMOTE = (TrafficSelector.of_network("2001:db8::/64", 6, 443, 443),)
INSTALL = InstallSa(
    tunnel="office",
    rule="net",
    inbound=False,
    spi=Spi(0xC0FFEE),
    suite=Suite(Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128, esn=True),
    encryption_key=Secret(KEY),
    integrity_key=Secret(KEY[::-1]),
    local=Endpoint("192.0.2.1", 4500),
    remote=Endpoint("192.0.2.2", 4500),
    encap=True,
    local_selectors=LOCAL,
    remote_selectors=REMOTE,
    lifetimes=Lifetimes(3600, 270, octets_max=1000, packets_max=55),
    replay_window=64,
    df="set",
    standby=True,
)


def test_an_installation_carries_all_that_the_plane_needs() -> None:
    spec = sa_spec(INSTALL, 3)
    assert (spec.direction, spec.spi, spec.policy, spec.name) == ("out", 0xC0FFEE, 3, "office/net")
    assert (spec.encr, spec.key_bits, spec.integ) == (12, 256, 12)
    assert (spec.encr_key, spec.integ_key) == (KEY, KEY[::-1])
    assert (spec.esn, spec.replay_window, spec.df, spec.standby) == (True, 64, "set", True)
    assert (spec.local, spec.encap) == (EndpointSpec("192.0.2.1", 4500), True)
    assert spec.selectors.remote == (
        RangeSpec("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", 6, 443, 443),
    )
    assert spec.limits == LimitsSpec(900, 1000, 49, 55)


def test_on_the_wire_numbers_are_numbers_and_keys_are_octets() -> None:
    frame = msgspec.msgpack.decode(encoder.encode(InstallSaFrame(9, sa_spec(INSTALL, 3))))
    assert (frame["type"], frame["ticket"]) == ("install_sa", 9)
    sa = frame["sa"]
    assert (sa["encr"], sa["integ"], sa["encr_key"]) == (12, 12, KEY)
    assert sa["limits"]["hard_octets"] == 1000
    assert msgspec.json.decode(sa["tag"]) == {"tunnel": "office", "rule": "net", "inbound": False}


def test_keys_are_never_printed() -> None:
    spec = sa_spec(INSTALL, 3)
    shown = f"{spec!r} {spec} {InstallSaFrame(1, spec)!r}"
    assert "keys not shown" in shown
    for secret in (KEY, KEY[::-1]):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


def state(tag: bytes) -> SaState:
    """An SA as a plane tells about it."""
    here = EndpointSpec("192.0.2.1", 500)
    return SaState(
        "in",
        300,
        1,
        "a/b",
        20,
        256,
        0,
        True,
        False,
        here,
        here,
        False,
        tag,
        0,
        0,
        0,
        0,
        None,
        64,
        {},
    )


def test_a_tag_comes_back_as_it_went() -> None:
    assert read_tag(state(sa_spec(INSTALL, 3).tag)) == Tag("office", "net", False)


@pytest.mark.parametrize("tag", [b"", b"null", b"{}", b'{"tunnel": 1}', b"\xff"])
def test_a_foreign_tag_is_none(tag: bytes) -> None:
    assert read_tag(state(tag)) is None


def test_limits_stay_absent() -> None:
    assert limits_spec(Lifetimes(3600, 270)) == LimitsSpec()


def test_a_rule_becomes_a_policy() -> None:
    rule = ChildPolicy(
        "net", LOCAL, REMOTE, (), Start.LISTEN, hold=Hold(3, 4, 0.5), clamp_mss=False
    )
    spec = policy_spec(5, "office", rule, 2)
    assert (spec.id, spec.name, spec.interface, spec.action) == (5, "office/net", 2, "protect")
    assert (spec.hold_packets_max, spec.hold_octets_max, spec.hold_age_ms) == (3, 4, 500)
    assert (spec.on_no_sa, spec.clamp_mss) == ("hold_quiet", False)
    assert spec.selectors.local == range_specs(LOCAL)
    assert spec.idle_ms is None
    silent = policy_spec(5, "office", ChildPolicy("net", LOCAL, REMOTE, (), idle_s=1.5), 2)
    assert silent.idle_ms == 1500


def test_an_unknown_df_rule_is_refused() -> None:
    sa = InstallSa(**{f: getattr(INSTALL, f) for f in InstallSa.__slots__} | {"df": "maybe"})
    with pytest.raises(ValueError, match="maybe"):
        sa_spec(sa, 1)
