"""Reading the pages: their text, fenced blocks, tables, links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "python" / "isthmus"
PAGES = tuple(
    sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md")))
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")


def read(name: str) -> str:
    """A page by its path from the root."""
    return (ROOT / name).read_text()


def fenced(text: str, language: str) -> list[str]:
    """The fenced blocks of one language; an empty one for those that name none."""
    return [block for named, block in FENCE.findall(text) if named == language]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


def section(text: str, heading: str) -> str:
    """From a heading to the next one of its level or above."""
    start = text.index(f"\n{heading}\n") + 1
    level = len(heading) - len(heading.lstrip("#"))
    following = re.compile(rf"^#{{1,{level}}} ", re.MULTILINE).search(text, start + len(heading))
    return text[start : following.start() if following else None]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without headings and rules."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for at, line in enumerate(lines):
        is_rule = line.startswith("| ---")
        is_heading = at + 1 < len(lines) and lines[at + 1].startswith("| ---")
        if line.startswith("|") and not is_rule and not is_heading:
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def names(cell: str) -> list[str]:
    """What stands between backticks."""
    return CODE.findall(cell)
