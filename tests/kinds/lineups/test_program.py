"""A lineups job returns the same bits however it was cut, moved, cancelled and resumed."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import cast

import pytest

from meshd.errors import BadInput
from meshd.kinds.base import Done, Phase
from meshd.kinds.lineups import kind, sample_slate
from meshd.kinds.lineups.exact import ExactProgram
from meshd.kinds.lineups.partials import Partial
from meshd.kinds.lineups.program import program
from tests.support.engine_job import Patient
from tests.support.job_memory import held_at_most_mb, least_mb
from tests.support.lineups_job import answer_of, backwards, lineups_of, part_of, run_job

MakeSpec = Callable[[int], dict[str, object]]

OBJECTIVES = ("mean", "p90", "beat:240", "beat:3%", "cover:250", "cover:3%", "emax")


def small_job(small_slate: MakeSpec, objective: str, **change: object) -> dict[str, object]:
    rules = {"salary_cap": 52_000, "max_overlap": 4}
    return {
        **small_slate(11),
        "objective": objective,
        "scenarios": 3 * 1_024 + 3,
        "holdout": 1_500,
        "lineup_count": 5,
        "constraints": rules,
        **change,
    }


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_order_of_chunks_and_their_journey_as_bytes_change_nothing(objective: str, small_slate: MakeSpec) -> None:
    spec = small_job(small_slate, objective)
    expected = answer_of(run_job(spec))
    assert answer_of(run_job(spec, spans=backwards, through_bytes=True)) == expected


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_small_memory_limit_changes_no_bit(objective: str, small_slate: MakeSpec) -> None:
    spec = small_job(small_slate, objective)
    # This process holds more: what can be given up is given up, down to tables of 64 races.
    assert answer_of(run_job({**spec, "limits": {"memory_mb": 900}}, runner=ExactProgram())) == answer_of(run_job(spec))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells there what a process has held at most")
@pytest.mark.parametrize("objective", ["p90", "cover:3%"])
def test_a_job_of_four_million_lineups_stays_within_its_limit(objective: str, small_slate: MakeSpec) -> None:
    spec = {**small_slate(40), "objective": objective, "scenarios": 2_048, "holdout": 1_000, "lineup_count": 20}
    least = least_mb(spec)
    assert held_at_most_mb({**spec, "limits": {"memory_mb": least}}) <= least


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_job_that_is_resumed_after_any_chunk_on_another_device_comes_to_the_same(
    objective: str, small_slate: MakeSpec
) -> None:
    spec = small_job(small_slate, objective)
    resolved = kind.validate(spec)
    expected = answer_of(run_job(spec))
    finished: tuple[bytes, ...] = ()
    here = ExactProgram()
    while isinstance(planned := here.plan(resolved, tuple(map(here.unpack, finished))), Phase):
        phase = Phase(
            planned.number, planned.units, planned.label, planned.weight, json.loads(json.dumps(planned.params))
        )
        parts = [here.run_span(resolved, phase, unit, unit + 1, Patient()) for unit in range(phase.units)]
        packed = [here.pack(part) for part in parts if part is not None]
        assert len(packed) == phase.units
        for cut in range(phase.units):
            # What was done until then is a checkpoint; another device, which knows nothing, goes on from it.
            elsewhere = ExactProgram()
            assert elsewhere.plan(resolved, tuple(map(elsewhere.unpack, finished))) == planned
            kept = [elsewhere.unpack(part) for part in packed[:cut]]
            rest = elsewhere.run_span(resolved, phase, cut, phase.units, Patient())
            assert rest is not None
            merged = rest
            for part in kept:
                merged = elsewhere.merge(merged, part)
            assert _told(elsewhere, merged) == _told(here, _merged(here, packed))
        finished = (*finished, here.pack(_merged(here, packed)))
    assert isinstance(planned, Done)
    assert answer_of(planned.result) == expected


def _merged(runner: ExactProgram, packed: list[bytes]) -> Partial:
    merged, *others = [runner.unpack(part) for part in packed]
    for part in others:
        merged = runner.merge(merged, part)
    return merged


def _told(runner: ExactProgram, partial: Partial) -> list[object]:
    """Return what a partial says, without the effort that it took."""
    del runner
    values = [getattr(partial, name) for name in partial.__slots__ if name != "effort"]
    return [value.tolist() if hasattr(value, "tolist") else value for value in values]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_step_can_be_cancelled_at_any_chunk_and_reports_its_progress(
    objective: str, small_slate: MakeSpec
) -> None:
    resolved = kind.validate(small_job(small_slate, objective))
    finished: tuple[Partial, ...] = ()
    while isinstance(planned := program.plan(resolved, finished), Phase):
        patient = Patient()
        partial = program.run_span(resolved, planned, 0, planned.units, patient)
        assert partial is not None
        assert patient.reports == sorted(patient.reports)
        assert patient.reports[-1] == 1.0
        assert patient.questions >= planned.units
        for question in range(1, patient.questions + 1):
            assert program.run_span(resolved, planned, 0, planned.units, Patient(cancel_at=question)) is None
        finished = (*finished, partial)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_weights_of_all_phases_add_up_to_no_more_than_the_job(objective: str, small_slate: MakeSpec) -> None:
    resolved = kind.validate(small_job(small_slate, objective, constraints={"salary_cap": 52_000}))
    finished: tuple[Partial, ...] = ()
    weight = 0.0
    while isinstance(planned := program.plan(resolved, finished), Phase):
        weight += planned.weight
        partial = program.run_span(resolved, planned, 0, planned.units, Patient())
        assert partial is not None
        finished = (*finished, partial)
    assert 0.1 < weight <= 1.0 + 1e-9


def test_the_order_of_drivers_changes_nothing(small_slate: MakeSpec) -> None:
    spec = small_job(small_slate, "cover:3%")
    turned = {**spec, "drivers": list(reversed(cast("list[object]", spec["drivers"])))}
    one, other = run_job(spec), run_job(turned)
    assert {**one, "config_hash": ""} | {"duration_s": 0, "rate_gel_s": 0} == {**other, "config_hash": ""} | {
        "duration_s": 0,
        "rate_gel_s": 0,
    }


def test_another_seed_draws_other_races(small_slate: MakeSpec) -> None:
    one, other = (run_job(small_job(small_slate, "mean", seed=seed)) for seed in (1, 2))
    assert [lineup["mean"] for lineup in lineups_of(one)] != [lineup["mean"] for lineup in lineups_of(other)]


def test_fresh_races_are_others_than_those_that_chose(small_slate: MakeSpec) -> None:
    spec = small_job(small_slate, "mean", scenarios=2_048, holdout=2_048)
    for lineup in lineups_of(run_job(spec)):
        assert lineup["mean"] != part_of(lineup, "holdout")["mean"]


def test_a_partial_of_another_job_is_refused(small_slate: MakeSpec) -> None:
    one, other = (kind.validate({**small_job(small_slate, "mean"), **small_slate(drivers)}) for drivers in (10, 11))
    planned = program.plan(one, ())
    assert isinstance(planned, Phase)
    partial = program.run_span(one, planned, 0, planned.units, Patient())
    assert partial is not None
    with pytest.raises(BadInput, match="belong"):
        program.plan(other, (partial,))


def test_a_checkpoint_of_a_whole_slate_is_a_few_megabytes() -> None:
    resolved = kind.validate({"slate_csv": sample_slate(), "objective": "p90", "scenarios": 2_048, "holdout": 1_000})
    finished: tuple[Partial, ...] = ()
    largest = 0
    while isinstance(planned := program.plan(resolved, finished), Phase):
        partial = program.run_span(resolved, planned, 0, planned.units, Patient())
        assert partial is not None
        largest = max(largest, len(program.pack(partial)))
        finished = (*finished, partial)
    assert largest < 8_000_000


def test_calibration_returns_a_rate() -> None:
    assert program.calibrate() > 1e8


@pytest.mark.parametrize(("missing", "use"), [("jax", "program.calibrate()"), ("numpy", "pass")])
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
