"""What pages point at exists, and they tell nothing about the machine that they were written on."""

import re
from pathlib import Path

import pytest

from .pages import CODE, LINK, PACKAGE, PAGES, ROOT, prose

PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|rs|md|toml)")
SUFFIXES = (".py", ".rs", ".md", ".toml", ".service")
PLACES = ("python/", "rust/", "tests/", "docs/", "tools/", "packaging/", "bench/", ".ci/")
ELSEWHERE = ("/etc/", "/run/", "/proc/", "/dev/")
OF_THE_SYSTEM = frozenset({"isthmus.toml"})


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def repository_paths(page: Path) -> list[str]:
    """Paths in backticks that mean a file of the repository."""
    found = []
    for words in CODE.findall(prose(page.read_text())):
        name = words.split("::")[0]
        is_path = PATH.fullmatch(name) and name not in OF_THE_SYSTEM
        if is_path and (name.endswith(SUFFIXES) or name.startswith(PLACES)):
            found.append(name)
    return found


def exists(name: str) -> bool:
    """From the root, from the package, or by its bare name somewhere in the package."""
    if (ROOT / name).exists() or (PACKAGE / name).exists():
        return True
    return "/" not in name and any(PACKAGE.glob(f"**/{name}"))


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_file_that_is_named_exists(page: Path) -> None:
    assert [name for name in repository_paths(page) if not exists(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_knows_no_machine(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"/(?:home|root|work|tmp)/\w", text)
    assert not re.search(r"https?://[\w.]*(?:pypi|crates|registry|proxy)", text)


def test_the_checks_see_what_is_wrong() -> None:
    assert len(PAGES) > 12
    assert exists("ike/engine.py") and exists("rust/ipsec/src/esp.rs") and exists("engine.py")
    assert not exists("ike/motor.py") and not exists("motor.py")
    assert len(repository_paths(ROOT / "ARCHITECTURE.md")) > 100
