"""Which figures are written down, and whose processor time is counted."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import __main__ as command
from bench import processes
from bench.figures import Figure, Trial

from isthmus.lab.namespaces import LabError


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("", True),
        ("--only packets --rounds 2", True),
        ("--quick", False),
        ("--dry", False),
        ("--subject Isthmus", False),
        ("--cipher AES-128-GCM", False),
    ],
)
def test_only_a_run_of_all_subjects_is_written_down(words: str, kept: bool) -> None:
    assert command.wish(words.split()).kept is kept


def test_no_vpn_is_measured_beside_whatever_is_asked_for() -> None:
    names = [way.name for way in command.wish(["--subject", "Isthmus"]).ways]
    assert names == ["no VPN", "Isthmus"]


def test_a_trial_that_fails_once_counts_once_and_one_that_fails_twice_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[str] = []

    def trial(subject: str, failures: int) -> Trial:
        def run(directory: Path) -> Iterator[Figure]:
            calls.append(subject)
            assert list(directory.iterdir()) == []
            yield Figure("packets", "", "64 octets", 5.0, "packets/s")
            if calls.count(subject) <= failures:
                raise LabError(f"{subject} went away")

        return Trial(subject, run)

    found = [trial("steady", 0), trial("shaky", 1), trial("broken", 9)]
    monkeypatch.setattr(command, "trials", lambda bench, wish: found)
    results, failures = command.run(command.wish(["--only", "packets", "--rounds", "1"]))
    assert [(s.subject, s.runs) for s in results.series()] == [
        ("steady", (5.0,)),
        ("shaky", (5.0,)),
    ]
    (only,) = failures
    assert "broken went away" in only and "broken went away" in capsys.readouterr().err


def test_a_family_is_a_process_with_its_children_and_nobody_else() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & wait"]) as shell:
        try:
            while len(found := processes.family(shell.pid)) < 2:
                pass
            assert shell.pid in found and os.getpid() not in found
            assert set(found) < set(processes.family(os.getpid()))
        finally:
            for pid in reversed(processes.family(shell.pid)):
                os.kill(pid, 9)


def test_processor_time_grows_with_work() -> None:
    own = (os.getpid(),)
    before, machine = processes.spent_s(own), processes.machine_spent_s()
    while processes.spent_s(own) < before + 0.05:
        sum(range(10_000))
    assert processes.machine_spent_s() - machine >= 0.03
