"""How an authority's files are written and read."""

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from isthmus.authority import folder as files
from isthmus.authority.errors import AuthorityError
from isthmus.authority.folder import Folder
from isthmus.authority.index import decode
from isthmus.authority.operations import Authority

from .samples import NOW, authority, issue


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    issued = issue(ca)
    assert mode(ca.folder.path) == 0o700
    for private in (ca.folder.key, ca.folder.index, ca.folder.issued(issued.serial, ".key")):
        assert mode(private) == 0o600, private
    assert mode(ca.folder.certificate) == mode(ca.folder.crl) == 0o644


def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the middle: the old file stands, and no draft lies about."""
    path = tmp_path / "file"
    files.write(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AuthorityError, match="could not be used"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]
    with pytest.raises(AuthorityError):
        files.write(tmp_path / "other", b"new", replace=False)
    assert os.listdir(tmp_path) == ["file"]


def test_what_must_not_be_replaced_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, b"first", replace=False)
    with pytest.raises(AuthorityError, match="could not be used"):
        files.write(path, b"second", replace=False)
    assert path.read_bytes() == b"first"


def test_a_crash_before_the_index_loses_only_that_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = authority(tmp_path)
    issue(ca)
    real = files.write

    def crash(path: Path, octets: bytes, **how: bool) -> None:
        if path.name == "index.json":
            raise KeyboardInterrupt
        real(path, octets, **how)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write", crash)
        with pytest.raises(KeyboardInterrupt):
            issue(Authority(ca.folder), "branch")
    again = Authority(ca.folder)
    assert [c.name for c in again.index.certificates] == ["hq"]
    assert issue(again, "branch").name == "branch"


def _issue_some(path: Path, names: list[str]) -> None:
    for name in names:
        issue(Authority(Folder(path)), name)


def test_two_commands_at_once_forget_nothing(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    context = multiprocessing.get_context("fork")
    batches = [[f"gw-{side}-{n}" for n in range(5)] for side in "ab"]
    workers = [context.Process(target=_issue_some, args=(ca.folder.path, b)) for b in batches]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    names = {c.name for c in Authority(ca.folder).index.certificates}
    assert names == {name for batch in batches for name in batch}


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "nonsense", '{"format": 1}', "\xff", '{"format":2,"name":"x"}', "null"],
)
def test_a_damaged_index_is_told_and_left_alone(tmp_path: Path, text: str) -> None:
    ca = authority(tmp_path)
    ca.folder.index.write_text(text)
    with pytest.raises(AuthorityError, match="cannot be read"):
        Authority(ca.folder)
    assert ca.folder.index.read_text() == text


def test_an_index_of_another_format_is_told(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    content = json.loads(ca.folder.index.read_text())
    with pytest.raises(AuthorityError, match="has format 2"):
        decode(json.dumps(content | {"format": 2}).encode(), "index.json")


def test_the_index_is_plain_json_that_a_person_can_read(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    issued = issue(ca, "hq", "vpn.example.net", address="192.0.2.1", networks=("10.1.0.0/24",))
    text = ca.folder.index.read_text()
    (entry,) = json.loads(text)["certificates"]
    assert entry["serial"] == issued.serial and entry["identities"] == ["fqdn:vpn.example.net"]
    assert text.count("\n") > 20 and "PRIVATE" not in text
    assert issued.days_left(NOW) == 824


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("a file")
    with pytest.raises(AuthorityError, match="could not be used"):
        authority(tmp_path)
