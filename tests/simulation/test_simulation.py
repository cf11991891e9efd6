"""No job is lost or applied twice, whatever befalls devices, disks, lines and clocks.

Each run is a process of its own, as anybody would start it: `python -m tests.simulation`.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS

ROOT = Path(__file__).resolve().parents[2]

HISTORIES = {"A": 20_000, "B": 2_000}
MAX_HISTORIES_TO_FIND = 2_000
"""A planted bug that hides for longer than this would hide for ever: nobody runs more before each change."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one run has said."""

    code: int
    histories: int
    failed: int
    failures: list[str]
    rare: list[str]
    digest: str


def simulate(level: str, *options: str, hash_seed: str = "random") -> Report:
    found = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--level", level, "--json", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.stdout, found.stderr
    document = json.loads(found.stdout)
    return Report(
        found.returncode,
        document["histories"],
        document["failed"],
        document["failures"],
        document["rare"],
        document["digest"],
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", ["A", "B"])
def test_no_job_is_lost_or_applied_twice(level: str) -> None:
    report = simulate(level, "--histories", str(HISTORIES[level]))
    assert report.failed == 0, "\n\n".join(report.failures)
    assert not report.rare, "these come too seldom for the run to say anything about them"


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    level = BUGS[bug].level
    report = simulate(level, "--bug", bug, "--stop", "--histories", str(MAX_HISTORIES_TO_FIND))
    assert report.failed > 0


@pytest.mark.parametrize(("level", "count"), [("A", "60"), ("B", "25")])
def test_a_history_is_the_same_in_every_process(level: str, count: str) -> None:
    digests = {
        simulate(level, "--histories", count, "--processes", "1", hash_seed=hash_seed).digest
        for hash_seed in ("0", "1", "77")
    }
    assert len(digests) == 1


def test_a_failure_tells_its_story_and_how_to_live_through_it_again() -> None:
    bug = "a number is given twice"
    report = simulate("A", "--bug", bug, "--stop", "--histories", "200")
    assert report.code == 1
    story = report.failures[0]
    assert "fence: number" in story
    assert "with nodes=" in story
    seed = story.splitlines()[0].split("seed ")[1].split(":")[0]
    assert f"python -m tests.simulation --level A --seed {seed}" in story
    again = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--level", "A", "--seed", seed, "--bug", bug],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert again.returncode == 1
    assert again.stdout.strip() == story
