"""A bench holds what it measured against what was promised, and says so."""

import json

import pytest

from tests.bench.figures import Figure, tell


def test_a_figure_tells_values_that_were_measured() -> None:
    hundred = Figure("wait", "s", [float(n) for n in range(100, 0, -1)])
    assert [hundred.at(share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert Figure("wait", "s", [3.0]).at(0.5) == 3.0


def test_a_goal_without_a_share_holds_for_the_worst_value() -> None:
    values = [1.0] * 99 + [3.0]
    assert not Figure("wait", "s", values, goal=2.0).is_met
    assert Figure("wait", "s", values, goal=2.0, share=0.99).is_met
    assert Figure("wait", "s", values).is_met


def test_a_goal_is_not_met_by_what_was_never_measured() -> None:
    assert not Figure("wait", "s", [], goal=2.0).is_met


def test_the_exit_status_is_one_when_any_goal_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Figure("good", "s", [1.0], goal=2.0), Figure("bad", "s", [1.0, 3.0], goal=2.0)
    assert tell([good]) == 0
    assert tell([bad, good]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["metric"], line["result"]) for line in lines] == [("good", "pass"), ("bad", "FAIL"), ("good", "pass")]
    assert (lines[1]["p50"], lines[1]["max"], lines[1]["goal"]) == (1.0, 3.0, "max <= 2")
