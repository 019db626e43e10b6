"""docs/faults.md names tests, campaigns and files that exist."""

import re

from isthmus.simulator.campaign import CAMPAIGNS

from .pages import ROOT, read, rows, section

PAGE = read("docs/faults.md")
NAMED = re.findall(r"`(tests/[^`:]+)::(\w+)`", PAGE)


def exists(path: str, name: str) -> bool:
    file = ROOT / path
    return file.exists() and f"def {name}(" in file.read_text()


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 20
    assert [claim for claim in NAMED if not exists(*claim)] == []
    assert not exists("tests/simulation/test_faults.py", "test_that_never_was")


def test_every_campaign_has_its_row() -> None:
    table = rows(section(PAGE, "## Tests of simulated life"))
    told = {re.findall(r"[\w-]+", row[2])[0] for row in table}
    assert told == set(CAMPAIGNS)
