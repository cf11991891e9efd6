"""By mean, lineups under random rules are those that a solver of linear programs proves best, one after the other.

The solver here is HiGHS, which comes with SciPy. `python -m tests.bench.optimizer agreement --peers PYTHON` asks CP-SAT
the same questions: OR-Tools and what it needs are 170 MB that nothing else here would use.
"""

from typing import cast

import pytest

from meshd.errors import BadInput
from tests.support.linear_lineups import best_by_highs, next_lineup, random_spec
from tests.support.lineups_by_hand import ByHand
from tests.support.lineups_job import lineups_of, run_job

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_by_mean_every_lineup_under_random_rules_is_the_best_that_a_solver_proves(seed: int) -> None:
    spec = random_spec(seed)
    try:
        result = run_job(spec)
    except BadInput as refused:
        if "No lineup keeps all constraints" in refused.message:
            assert best_by_highs(next_lineup(ByHand(spec), [])) is None
        return
    job, picks = ByHand(spec), list[tuple[str, ...]]()
    for lineup in lineups_of(result):
        ids = tuple(cast("list[str]", lineup["ids"]))
        assert int(job.points(ids).sum()) == best_by_highs(next_lineup(job, picks))
        picks.append(ids)
    if result["status"] == "fewer":
        assert best_by_highs(next_lineup(job, picks)) is None


def test_random_rules_are_of_every_sort_and_nearly_always_leave_lineups() -> None:
    answered = 0
    for seed in SEEDS:
        try:
            ByHand(random_spec(seed))
        except BadInput:
            continue
        answered += 1
    assert answered >= len(SEEDS) * 3 // 4
