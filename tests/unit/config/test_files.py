"""One configuration of several files: isthmus.toml and conf.d/*.toml."""

from pathlib import Path

import pytest

from isthmus.config.errors import ConfigErrors
from isthmus.config.load import load

from .samples import TUNNEL, without, write


def beside(directory: Path, name: str, text: str) -> Path:
    (directory / "conf.d").mkdir(exist_ok=True)
    path = directory / "conf.d" / name
    path.write_text(text)
    return path


BRANCH = TUNNEL.replace("office]", "branch]").replace("203.0.113.10", "203.0.113.11")


def test_tunnels_of_conf_d_are_added_in_the_order_of_names(tmp_path: Path) -> None:
    path = write(tmp_path, TUNNEL)
    beside(tmp_path, "20-c.toml", BRANCH.replace("branch", "c").replace("13.11", "13.12"))
    beside(tmp_path, "10-b.toml", BRANCH)
    for name in ("README", ".hidden.toml", "old.toml~"):
        beside(tmp_path, name, "this is = no = toml")
    for name in ("10-b.toml", "20-c.toml"):
        file = tmp_path / "conf.d" / name
        file.write_text(file.read_text().replace('"office.psk"', '"../office.psk"'))
    names = [connection.name for connection in load(path).configuration.connections]
    assert names == ["office", "branch", "c"]


def test_a_name_in_two_files_is_refused_with_both_places(tmp_path: Path) -> None:
    path = write(tmp_path, "# first\n" + TUNNEL + '[listen]\naddresses = "::"\n')
    beside(tmp_path, "x.toml", TUNNEL + '[listen]\naddresses = "::"\n')
    with pytest.raises(ConfigErrors) as raised:
        load(path)
    tunnel, listen = without(tmp_path, raised.value)
    assert (tunnel.file, tunnel.line, tunnel.column) == ("conf.d/x.toml", 1, 9)
    assert tunnel.message == "[tunnel.office] is already in isthmus.toml:2"
    assert (listen.file, listen.line) == ("conf.d/x.toml", 4)
    assert listen.message == "[listen] is already in isthmus.toml:5"


def test_errors_of_all_files_come_together(tmp_path: Path) -> None:
    path = write(tmp_path, TUNNEL + "a = 1\n")
    beside(tmp_path, "x.toml", "b = 1\n")
    beside(tmp_path, "y.toml", "c = \n")
    beside(tmp_path, "z.toml", "").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigErrors) as raised:
        load(path)
    found = [(error.file, error.line) for error in without(tmp_path, raised.value)]
    assert found == [
        ("conf.d/x.toml", 1),
        ("conf.d/y.toml", 1),
        ("conf.d/z.toml", 1),
        ("isthmus.toml", 4),
    ]


def test_a_file_that_is_far_too_long_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as raised:
        load(write(tmp_path, "#" * (4 * 1_048_576 + 1)))
    assert "has more than" in raised.value.errors[0].message


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as raised:
        load(tmp_path)
    assert "is not a regular file" in raised.value.errors[0].message


def test_an_empty_file_is_a_configuration_without_tunnels(tmp_path: Path) -> None:
    found = load(write(tmp_path, ""))
    assert found.configuration.connections == () and "no tunnel" in found.warnings[0]
