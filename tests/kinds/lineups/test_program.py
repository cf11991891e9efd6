"""A lineups job returns the best lineups there are, however it was cut, moved and resumed."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from typing import cast

import numpy as np
import pytest

from meshd.errors import BadInput
from meshd.kinds.base import Document, Done, Phase
from meshd.kinds.lineups import kind, sample_slate
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.problem import Problem, read_problem
from meshd.kinds.lineups.program import program
from meshd.kinds.lineups.scenarios.race import scores

MakeSpec = Callable[[int], dict[str, object]]

TOLD_BY_THE_CLOCK = {"device", "duration_s", "rate_gel_s"}


class Watcher:
    """A context that never cancels, or does so at the given question, and remembers what it was told."""

    def __init__(self, cancel_at: int | None = None) -> None:
        self.cancel_at = cancel_at
        self.questions = 0
        self.reports: list[tuple[float, str]] = []

    def cancelled(self) -> bool:
        self.questions += 1
        return self.cancel_at is not None and self.questions >= self.cancel_at

    def report(self, share: float, *, best: str = "", note: str = "") -> None:
        self.reports.append((share, best))


def whole(phase: Phase) -> list[tuple[int, int]]:
    return [(0, phase.units)]


def run_job(
    spec: Document,
    *,
    spans: Callable[[Phase], list[tuple[int, int]]] = whole,
    through_bytes: bool = False,
) -> Document:
    """Drive a job as a worker would: plan, run spans in the given order, merge them, plan again."""
    resolved = kind.validate(spec)
    finished: tuple[Partial, ...] = ()
    for _ in range(10):
        planned = program.plan(resolved, finished)
        if isinstance(planned, Done):
            return planned.result
        merged: Partial | None = None
        for start, stop in spans(planned):
            partial = program.run_span(resolved, planned, start, stop, Watcher())
            assert partial is not None
            if through_bytes:
                partial = program.unpack(program.pack(partial))
            merged = partial if merged is None else program.merge(merged, partial)
        assert merged is not None
        finished = (*finished, merged)
    raise AssertionError("the job has more than ten phases")


def answer(result: Document) -> str:
    """Return what must be the same bits on every device."""
    return json.dumps({key: value for key, value in result.items() if key not in TOLD_BY_THE_CLOCK})


def races_of(problem: Problem) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    drawn = np.concatenate([scores(problem.model, chunk) for chunk in range(problem.chunks)])
    return drawn[: problem.scenarios].astype(np.int32)


def reached(units: list[int], share: float) -> int:
    """Return the highest score that at least this share of the races reach, by sorting."""
    ordered = sorted(units, reverse=True)
    needed = next(count for count in range(1, len(ordered) + 1) if count >= share * len(ordered) - 1e-9)
    return ordered[needed - 1]


def by_brute_force(spec: dict[str, object]) -> list[dict[str, object]]:
    """Score every feasible lineup in every race, one after the other, and sort."""
    problem = read_problem(kind.validate(spec))
    races = races_of(problem)
    ranked: list[tuple[tuple[object, ...], dict[str, object]]] = []
    for members in combinations(range(problem.drivers), 6):
        salary = int(problem.salaries[list(members)].sum())
        if not problem.salary_min <= salary <= problem.salary_cap:
            continue
        units = cast("list[int]", races[:, members].sum(axis=1).tolist())
        ids = [problem.ids[member] for member in members]
        told: dict[str, object] = {
            "ids": ids,
            "names": [problem.names[member] for member in members],
            "salary": salary,
            "mean": sum(units) / (20 * len(units)),
            "sd": float(np.std(np.array(units)) / 20),
            **{f"p{name}": reached(units, (100 - name) / 100) / 20 for name in (10, 50, 90, 99)},
        }
        value = (-sum(units),) if problem.objective == "mean" else (-reached(units, 0.1), -sum(units))
        ranked.append(((*value, ids), told))
    ranked.sort(key=lambda pair: pair[0])
    return [told for _, told in ranked[: problem.lineup_count]]


@pytest.mark.parametrize("objective", ["mean", "p90"])
@pytest.mark.parametrize(
    ("drivers", "extra"),
    [(10, {"salary_cap": 48_000}), (12, {"salary_min": 47_000, "seed": 7}), (6, {"lineup_count": 1})],
)
def test_the_lineups_are_those_of_brute_force(
    drivers: int, extra: dict[str, object], objective: str, small_slate: MakeSpec
) -> None:
    base: dict[str, object] = {"lineup_count": 9, "scenarios": 1_100, "salary_cap": 52_000}
    spec = {**small_slate(drivers), **base, "objective": objective, **extra}
    if drivers == 6:
        spec["salary_cap"] = 100_000
    lineups = cast("list[dict[str, object]]", run_job(spec)["lineups"])
    expected = by_brute_force(spec)
    assert len(lineups) == spec["lineup_count"]
    for found, best in zip(lineups, expected, strict=True):
        assert found.pop("sd") == pytest.approx(best.pop("sd"), rel=1e-12)
        assert found == best


@pytest.mark.parametrize("name", ["NASweek1", "NASweek2", "NASweek3", "NASweek4", "NASTweek1"])
def test_the_top_twenty_by_mean_of_a_real_slate_are_those_of_brute_force(
    name: str, real_file: Callable[[str], str]
) -> None:
    spec: dict[str, object] = {"slate_csv": real_file(f"nascar-dk/{name}.csv"), "scenarios": 2_000}
    found = [(lineup["ids"], lineup["mean"]) for lineup in cast("list[dict[str, object]]", run_job(spec)["lineups"])]
    problem = read_problem(kind.validate(spec))
    sums = races_of(problem).sum(axis=0)
    # Enumerated by itertools, not by the code under test.
    flat = np.fromiter(
        (member for lineup in combinations(range(problem.drivers), 6) for member in lineup), np.int8
    ).reshape(-1, 6)
    flat = flat[problem.salaries[flat].sum(axis=1) <= 50_000]
    totals = sums[flat].sum(axis=1)
    top = np.argsort(-totals, kind="stable")[:20]
    assert found == [([problem.ids[member] for member in flat[row]], int(totals[row]) / (20 * 2_000)) for row in top]


def test_the_complete_set_holds_every_lineup_that_reaches_the_threshold(small_slate: MakeSpec) -> None:
    spec = {**small_slate(14), "objective": "p90", "scenarios": 1_500, "lineup_count": 5, "salary_cap": 51_000}
    certificate = cast("dict[str, object]", run_job(spec)["certificate"])
    problem = read_problem(kind.validate(spec))
    races = races_of(problem)
    values = [
        reached(cast("list[int]", races[:, members].sum(axis=1).tolist()), 0.1)
        for members in combinations(range(14), 6)
        if problem.salaries[list(members)].sum() <= 51_000
    ]
    fifth = sorted(values, reverse=True)[4]
    assert certificate["threshold"] == fifth / 20
    assert certificate["complete_set"] == sum(value >= fifth for value in values)
    assert certificate["races_required"] == 150
    assert certificate["lineups_feasible"] == len(values)
    assert certificate["lineups_evaluated"] == 3_003
    assert certificate["exact"] is True
    assert certificate["passes"] == 1


def six(_: int) -> int:
    return 6


def test_a_percentile_reaches_above_the_candidates(small_slate: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    # With candidates no better than chance the line is low, and the pass finds the lineups that they miss.
    spec = {**small_slate(12), "objective": "p90", "scenarios": 1_024, "lineup_count": 6}
    usual = run_job(spec)
    monkeypatch.setattr("meshd.kinds.lineups.program.candidate_count", six)
    monkeypatch.setattr("meshd.kinds.lineups.program.Z_90", -2.0)
    poor = run_job(spec)
    assert poor["lineups"] == usual["lineups"]
    sizes = [cast("dict[str, int]", result["certificate"])["complete_set"] for result in (usual, poor)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("objective", ["mean", "p90"])
def test_the_order_of_spans_and_their_journey_as_bytes_change_nothing(objective: str, small_slate: MakeSpec) -> None:
    spec = {**small_slate(11), "objective": objective, "scenarios": 5 * 1_024 + 3, "salary_cap": 52_000}

    def single_units_backwards(phase: Phase) -> list[tuple[int, int]]:
        return [(unit, unit + 1) for unit in reversed(range(phase.units))]

    def a_checkpoint_in_the_middle(phase: Phase) -> list[tuple[int, int]]:
        return [(2, 5), (5, phase.units), (0, 2)]

    expected = answer(run_job(spec))
    for spans in (single_units_backwards, a_checkpoint_in_the_middle):
        assert answer(run_job(spec, spans=spans, through_bytes=True)) == expected


def test_the_order_of_drivers_changes_nothing(small_slate: MakeSpec) -> None:
    spec = {**small_slate(11), "scenarios": 1_024, "salary_cap": 52_000}
    turned = {**spec, "drivers": list(reversed(cast("list[object]", spec["drivers"])))}
    assert answer(run_job(spec)) == answer(run_job(turned))


def test_equal_lineups_are_ordered_by_their_ids() -> None:
    # One race: many lineups share a sum. The order among those is that of the ids.
    spec: dict[str, object] = {"slate_csv": sample_slate(), "scenarios": 1, "lineup_count": 200}
    lineups = cast("list[dict[str, object]]", run_job(spec)["lineups"])
    keys = [(-cast("float", lineup["mean"]), cast("list[str]", lineup["ids"])) for lineup in lineups]
    assert keys == sorted(keys)
    assert len({mean for mean, _ in keys}) < len(keys)


def test_fewer_feasible_lineups_than_asked_for_are_refused_with_both_numbers(small_slate: MakeSpec) -> None:
    spec = {**small_slate(10), "salary_cap": 48_000, "lineup_count": 209}
    with pytest.raises(BadInput, match=r"209 lineups were asked for; only \d+ of 210 cost at most 48,000"):
        program.plan(kind.validate(spec), ())


def test_ties_beyond_what_can_be_described_are_refused(small_slate: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd.kinds.lineups.program.MAX_DESCRIBED", 5)
    with pytest.raises(BadInput, match="cannot tell them apart"):
        run_job({**small_slate(10), "objective": "p90", "scenarios": 1_000, "lineup_count": 6})


def test_every_step_can_be_cancelled_and_reports_its_progress(small_slate: MakeSpec) -> None:
    resolved = kind.validate({**small_slate(11), "objective": "p90", "scenarios": 9 * 1_024})
    finished: tuple[Partial, ...] = ()
    labels: list[str] = []
    while not isinstance(planned := program.plan(resolved, finished), Done):
        labels.append(planned.label)
        impatient = Watcher(cancel_at=3)
        assert program.run_span(resolved, planned, 0, planned.units, impatient) is None
        patient = Watcher()
        partial = program.run_span(resolved, planned, 0, planned.units, patient)
        assert partial is not None
        reports = patient.reports
        assert reports[-1][0] == 1.0
        assert reports == sorted(reports, key=lambda told: told[0])
        assert "pts" in reports[-1][1]
        assert patient.questions >= planned.units
        finished = (*finished, partial)
    assert labels == ["simulating races", "ranking candidates", "counting every lineup", "describing the best"]


def test_the_best_mean_told_on_the_way_is_the_best_there_is(small_slate: MakeSpec) -> None:
    spec = {**small_slate(12), "scenarios": 1_024, "salary_cap": 50_100, "salary_min": 49_000}
    resolved = kind.validate(spec)
    told = Watcher()
    planned = program.plan(resolved, ())
    assert isinstance(planned, Phase)
    program.run_span(resolved, planned, 0, 1, told)
    best = cast("list[dict[str, float]]", run_job(spec)["lineups"])[0]["mean"]
    assert told.reports[-1] == (1.0, f"{best:.1f} pts mean")


@pytest.mark.parametrize("objective", ["mean", "p90"])
def test_the_weights_of_all_phases_add_up_to_the_job(objective: str, small_slate: MakeSpec) -> None:
    resolved = kind.validate({**small_slate(11), "objective": objective, "scenarios": 1_024})
    finished: tuple[Partial, ...] = ()
    weight = 0.0
    while isinstance(planned := program.plan(resolved, finished), Phase):
        weight += planned.weight
        json.dumps(planned.params)
        partial = program.run_span(resolved, planned, 0, planned.units, Watcher())
        assert partial is not None
        finished = (*finished, partial)
    assert weight == pytest.approx(1.0)


def test_exposure_and_players_add_up(small_slate: MakeSpec) -> None:
    result = run_job({**small_slate(11), "scenarios": 1_024, "salary_cap": 52_000})
    exposure = cast("dict[str, float]", result["exposure"])
    assert sum(exposure.values()) == pytest.approx(6)
    mean_of = {player["id"]: player["mean"] for player in cast("list[dict[str, float]]", result["players"])}
    best = cast("list[dict[str, object]]", result["lineups"])[0]
    ids = cast("list[float]", best["ids"])
    assert best["mean"] == pytest.approx(sum(mean_of[identity] for identity in ids))
    assert json.loads(json.dumps(result)) == result


def test_a_given_grid_changes_the_answer_and_is_said(small_slate: MakeSpec) -> None:
    spec = {**small_slate(11), "scenarios": 1_024, "salary_cap": 52_000}
    grid = {driver["id"]: 11 - number for number, driver in enumerate(cast("list[dict[str, str]]", spec["drivers"]))}
    without, given = run_job(spec), run_job({**spec, "grid": grid})
    assert without["lineups"] != given["lineups"]
    said = [str(cast("dict[str, object]", result["certificate"])["assumptions"]) for result in (without, given)]
    assert "drawn for each race" in said[0]
    assert "the given one" in said[1]


def test_a_partial_of_another_job_is_refused(small_slate: MakeSpec) -> None:
    one, other = (
        kind.validate({**small_slate(drivers), "scenarios": 1_024, "salary_cap": 60_000}) for drivers in (10, 11)
    )
    planned = program.plan(one, ())
    assert isinstance(planned, Phase)
    partial = program.run_span(one, planned, 0, 1, Watcher())
    assert partial is not None
    with pytest.raises(BadInput, match="belong"):
        program.plan(other, (partial,))


def test_calibration_returns_a_rate() -> None:
    assert program.calibrate() > 1e8


@pytest.mark.parametrize(
    ("missing", "use"),
    [("jax", "program.calibrate()"), ("numpy", "pass")],
)
def test_a_device_without_the_libraries_says_what_to_install(missing: str, use: str) -> None:
    code = f"""
import sys
from meshd.errors import Degraded
sys.modules[{missing!r}] = None
try:
    from meshd.kinds.lineups.program import program
    {use}
except Degraded as degraded:
    print(degraded.hint)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == "Install meshd[jax] here.\n"
