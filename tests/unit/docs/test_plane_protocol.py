"""docs/plane-protocol.md has every frame and structure with its fields."""

from typing import get_args

import msgspec
import pytest

from isthmus.backends import frames, specs

from .pages import names, read, rows, section

PAGE = read("docs/plane-protocol.md")
UNIONS = {"## Commands": frames.Command, "## Replies": frames.Reply, "## Notices": frames.Notice}
STRUCTURES = {
    "endpoint": specs.EndpointSpec,
    "range": specs.RangeSpec,
    "selectors": specs.SelectorsSpec,
    "limits": specs.LimitsSpec,
    "port": specs.PortSpec,
    "policy": specs.PolicySpec,
    "sa": specs.SaSpec,
}
ITEMS = {
    "of `sas`": specs.SaState,
    "of `policies`": specs.PolicyState,
    "of `interfaces`": specs.InterfaceState,
}


def of(struct: type) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def frames_told(heading: str) -> dict[str, list[str]]:
    found = {}
    for row in rows(section(PAGE, heading)):
        if row[0].startswith("`"):
            found[names(row[0])[0]] = names(row[1])
    return found


@pytest.mark.parametrize("heading", UNIONS)
def test_every_frame_stands_there_with_its_fields(heading: str) -> None:
    declared = {str(kind.__struct_config__.tag): of(kind) for kind in get_args(UNIONS[heading])}
    assert frames_told(heading) == declared


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_structure_stands_there_with_its_fields(name: str) -> None:
    (row,) = (r for r in rows(section(PAGE, "## Structures")) if r[0] == name)
    declared = of(STRUCTURES[name])
    words = [word for word in names(row[1]) if word in declared]
    assert words == declared


@pytest.mark.parametrize("name", ITEMS)
def test_every_item_of_an_answer_stands_there_with_its_fields(name: str) -> None:
    (row,) = (r for r in rows(section(PAGE, "## Replies")) if r[0] == name)
    assert names(row[1]) == of(ITEMS[name])


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"{frames.FRAME_MAX:,} octets" in PAGE
    assert f"version {frames.PROTOCOL_VERSION}" in PAGE.splitlines()[0]
    notice = read("rust/engine/src/notice.rs")
    assert "DATAGRAMS_MAX: usize = 256;" in notice and "NOTICES_MAX: usize = 1024;" in notice
    assert "256 datagrams and 1,024 other notices" in PAGE
