"""How the long runs of this folder end: the account, what does not hold, and one word."""

from typing import Protocol


class Report(Protocol):
    """What came of a run."""

    def lines(self) -> list[str]:
        """The account, for people."""

    def complaints(self, growth_max_kib: int) -> list[str]:
        """What does not hold."""


def holds(report: Report, growth_max_kib: int) -> bool:
    """Print a report and what it leaves to be desired; True when that is nothing."""
    print("\n".join(report.lines()))
    complaints = report.complaints(growth_max_kib)
    for complaint in complaints:
        print(f"FAILED: {complaint}")
    return not complaints


def status(passed: bool) -> int:
    """Print the last word; the status to end with."""
    print("PASSED" if passed else "FAILED")
    return 0 if passed else 1
