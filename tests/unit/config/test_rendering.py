"""The three lines of an error: what, why, do this."""

from pathlib import Path

import pytest

from .samples import RULE, TUNNEL, errors

GOLDEN = [
    (
        TUNNEL + "rout = []\n",
        """\
isthmus.toml:4:1: unknown key "rout" in [tunnel.office]
  why: a setting that nobody reads would silently do nothing
  do:  did you mean routes?""",
    ),
    (
        TUNNEL + "idle = 10\n",
        """\
isthmus.toml:4:8: idle in [tunnel.office] is a bare number
  why: a duration says its unit: s, m, h or d
  do:  write idle = "10m\"""",
    ),
    (
        TUNNEL + 'routes = ["10.20.0.5/16"]\n',
        """\
isthmus.toml:4:11: routes in [tunnel.office] has "10.20.0.5/16", which has address bits behind \
its prefix
  why: it is unclear whether one host or its whole network is meant
  do:  write "10.20.0.0/16" for the network, or "10.20.0.5" for the host alone""",
    ),
    (
        TUNNEL + 'ike = 1\nphase1.proposals = "aes256gcm16-prfsha384-ecp256"\n',
        """\
isthmus.toml:5:20: [tunnel.office.phase1] has a proposal that IKEv1 cannot say
  why: its phase 1 has no cipher that brings its own integrity (aes256gcm16)
  do:  write "aes256-sha256-ecp256", say; or ike = 2, if the peer speaks IKEv2""",
    ),
    (
        TUNNEL.replace("office.psk", "none.psk"),
        """\
isthmus.toml:3:7: psk in [tunnel.office]: none.psk does not exist
  why: it is named in the configuration or on the command line
  do:  create it, or correct the path""",
    ),
    (
        TUNNEL + 'proposals = ["aes256-ecp256"]\n' + RULE,
        """\
isthmus.toml:4:14: proposals in [tunnel.office] has a proposal that cannot be used
  why: proposal 'aes256-ecp256' encrypts without integrity, which is never accepted
  do:  write it as in "aes256gcm16-ecp256\"""",
    ),
]


@pytest.mark.parametrize(("text", "rendered"), GOLDEN)
def test_an_error_reads_like_this(tmp_path: Path, text: str, rendered: str) -> None:
    assert [str(error) for error in errors(tmp_path, text)] == [rendered]


def test_a_file_that_is_not_there_has_no_line(tmp_path: Path) -> None:
    from isthmus.config.errors import ConfigErrors
    from isthmus.config.load import load

    with pytest.raises(ConfigErrors) as raised:
        load(tmp_path / "none.toml")
    (error,) = raised.value.errors
    assert str(error).startswith(f"{tmp_path}/none.toml: {tmp_path}/none.toml does not exist\n")
