"""Whatever a file holds, it gives a configuration or errors with places: never anything else."""

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from isthmus.config.errors import ConfigErrors
from isthmus.config.explain import explain_text, reference
from isthmus.config.load import load

from .samples import RULE, SECRET, TUNNEL, write

KEYS = sorted({key.name for _, key in reference()} | {"tunnel", "x", "cert", "bgp", "file", "env"})
SOME_WORDS = (
    "traffic route policy 10m 1h30m never 1G 192.0.2.1 10.1.0.0/24 10.0.0.1/8 2001:db8::/64 ::1"
    " fe80::%a/64 fqdn:a.b keyid:0x any aes256gcm16-ecp256 aes256-sha256-prfsha256-modp2048"
    " 3des-md5 legacy aws virtual-ip rearm tcp 80-90 9- - 0/0 99999999999d ²m"
)
WORDS = st.one_of(st.sampled_from(["", *SOME_WORDS.split()]), st.text(max_size=8))


def toml(text: str) -> str:
    return (
        '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08X}" for c in text) + '"'
    )


SCALARS = st.one_of(
    WORDS.map(toml),
    st.sampled_from(["0", "1", "-1", "64", "443", "70000", "1e400", "nan", "true", "1979-05-27"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda m: f"[{', '.join(m)}]"),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=3).map(
            lambda d: "{ " + ", ".join(f"{k} = {v}" for k, v in d.items()) + " }"
        ),
    ),
    max_leaves=4,
)
SECTIONS = "a office b.rule.r b.rule.s b b.phase1 b.dpd b.xauth b.mode_config"
HEADERS = st.sampled_from(
    ["[listen]", "[daemon]", "[[tunnel.c]]", "[hub.x]"]
    + [f"[tunnel.{section}]" for section in SECTIONS.split()]
)
LINES = st.one_of(HEADERS, st.builds(lambda k, v: f"{k} = {v}", st.sampled_from(KEYS), VALUES))
TEXTS = st.one_of(
    st.lists(LINES, max_size=14).map("\n".join),
    st.lists(LINES, max_size=6).map(lambda lines: TUNNEL + "\n".join(lines)),
    st.lists(LINES, max_size=6).map(lambda lines: TUNNEL + RULE + "\n".join(lines)),
    st.lists(LINES, max_size=4).map(lambda lines: TUNNEL + "ike = 1\n" + "\n".join(lines)),
)


def attempt(octets: bytes) -> None:
    """Load the octets; secrets are looked for in an empty environment."""
    with tempfile.TemporaryDirectory() as name:
        path = write(Path(name), "")
        path.write_bytes(octets)
        try:
            found = load(path, {})
        except ConfigErrors as refused:
            assert refused.errors and SECRET not in str(refused)
            assert list(refused.errors) == sorted(refused.errors)
            for error in refused.errors:
                assert error.message and error.why and error.hint and error.file
                assert error.line >= 0 and len(str(error).split("\n")) == 3
        else:
            assert explain_text(found) and SECRET not in repr(found) + explain_text(found)


def surrogates_kept(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example(TUNNEL + 'psk.file = "x"')
@example("tunnel.a = 1979-05-27")
@example('[tunnel."\\u0000"]')
@example('[tunnel.a]\npeer = "any"\nremote_id = "keyid:0x"')
@example(TUNNEL + "mtu = " + "9" * 4000)
@example(TUNNEL + "replay_window = 0x7fffffffffffffffffff")
def test_any_near_configuration_is_loaded_or_refused(text: str) -> None:
    attempt(surrogates_kept(text))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_loaded_or_refused(octets: bytes) -> None:
    attempt(octets)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, len(TUNNEL + RULE) - 1),
    st.sampled_from([b"", b'"', b"\n", b"]", b"=", b".", b"\xff", b"\0", b"/", b"9"]),
    st.integers(0, 3),
)
def test_any_damage_to_a_good_file_is_loaded_or_refused(at: int, put: bytes, cut: int) -> None:
    good = (TUNNEL + RULE).encode()
    attempt(good[:at] + put + good[at + cut :])


def test_the_good_file_itself_is_loaded() -> None:
    with tempfile.TemporaryDirectory() as name:
        assert load(write(Path(name), TUNNEL + RULE), {}).configuration.connections
