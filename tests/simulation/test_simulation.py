"""A history is the same wherever it is lived through, a failure can be lived through again, and mistakes are found.

The long runs are commands, not tests: `python -m tests.simulation --ci` and `--bugs`. Each run here is a process of
its own, as anybody would start it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SAMPLE = (
    "a number is given twice",
    "an attempt starts without a renewal",
    "a span is applied twice",
    "a message is acknowledged before the commit",
    "unpairing leaves the streams",
)
"""Planted bugs that are found within a second or two: one of each sort."""


def simulate(*arguments: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize(("level", "count"), [("A", "40"), ("B", "8")])
def test_a_history_is_the_same_in_every_process(level: str, count: str) -> None:
    digests: set[str] = set()
    for hash_seed in ("0", "77"):
        done = simulate("--level", level, "--histories", count, "--processes", "1", "--json", hash_seed=hash_seed)
        document = json.loads(done.stdout)
        assert document["failed"] == 0, document["failures"]
        digests.add(document["digest"])
    assert len(digests) == 1


def test_a_failure_tells_its_story_and_how_to_live_through_it_again() -> None:
    bug = "a number is given twice"
    done = simulate("--level", "A", "--bug", bug, "--stop", "--histories", "200", "--json")
    assert done.returncode == 1
    story = json.loads(done.stdout)["failures"][0]
    assert "fence: number" in story
    assert "with nodes=" in story
    seed = story.splitlines()[0].split("seed ")[1].split(":")[0]
    assert f"python -m tests.simulation --level A --seed {seed}" in story
    again = simulate("--level", "A", "--seed", seed, "--bug", bug)
    assert again.returncode == 1
    assert again.stdout.strip() == story


def test_planted_bugs_are_found() -> None:
    done = simulate("--bugs", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(SAMPLE)} of {len(SAMPLE)} found" in done.stdout


def test_a_bug_that_nobody_has_planted_is_no_bug() -> None:
    done = simulate("--bugs", "it rains")
    assert done.returncode == 2
    assert "no bug is called 'it rains'" in done.stderr
