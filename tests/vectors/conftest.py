"""Prints how many published cases ran, per file, at the end of a run (R-06)."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a file, one line in all. Works under xdist: the numbers travel with the reports."""
    total: Counter[str] = Counter()
    lines: list[str] = []
    for report in terminalreporter.stats.get("passed", []):
        for key, counts in report.user_properties:
            if key == "vector_cases":
                total.update(counts)
                name = report.nodeid.rpartition("::")[2]
                lines.append(f"  {name}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
    if lines:
        terminalreporter.section("published vectors")
        for line in sorted(lines):
            terminalreporter.write_line(line)
        unused = sum(n for what, n in total.items() if what != "run")
        terminalreporter.write_line(f"{total['run']} cases run, {unused} not used (reasons above)")
