"""Every objective under every rule: the lineups and their figures are those of looking at everything."""

from typing import cast

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.opponents import Field as Opponents
from meshd.kinds.lineups.engine.opponents import draw_field, weights_from_means, weights_from_ownership
from tests.support.lineups_by_hand import UNITS, ByHand
from tests.support.lineups_job import backwards, lineups_of, part_of, run_job, whole

DRIVERS = 10
TEAMS = ("Red", "Blue", "Green")

OBJECTIVES = ("mean", "p50", "p90", "p98", "beat:190", "beat:5%", "cover:200", "cover:4%", "emax")


def drivers(draw: st.DrawFn) -> list[dict[str, object]]:
    order = draw(st.permutations(range(DRIVERS)))
    owned = draw(st.booleans())
    return [
        {
            "id": str(100 + number),
            "name": f"Driver {number}",
            "salary": 5_500 + 100 * (order[number] * 37 % 54),
            "avg_points": 10 + order[number] * 29 % 41,
            "team": TEAMS[number % 3] if number < 9 else "",
            "ownership": (order[number] + 1) / 20 if owned and number % 4 else None,
        }
        for number in range(DRIVERS)
    ]


@st.composite
def rules(draw: st.DrawFn, size: int) -> dict[str, object]:
    names = st.integers(0, DRIVERS - 1).map(lambda number: f"Driver {number}")
    some = st.lists(names, min_size=1, max_size=4, unique=True)
    group = st.fixed_dictionaries(
        {"ids": some, "min": st.integers(0, 1), "max": st.integers(1, 3) | st.none(), "if": st.none() | names}
    )
    lineup = st.lists(st.integers(100, 99 + DRIVERS).map(str), min_size=size, max_size=size, unique=True)
    marks = draw(st.permutations(range(DRIVERS)))
    locked, excluded, withdrawn = (draw(st.sampled_from([0, 0, 1])) for _ in range(3))
    listed = [f"Driver {number}" for number in marks]
    share = st.sampled_from([0.3, 0.5, 0.7])
    groups = draw(st.lists(group, max_size=2))
    optional: dict[str, object] = {
        "salary_cap": size * draw(st.sampled_from([7_700, 8_200, 10_000])),
        "salary_min": size * draw(st.sampled_from([0, 0, 7_000])),
        "locked": listed[:locked],
        "excluded": listed[locked : locked + excluded],
        "withdrawn": listed[locked + excluded : locked + excluded + withdrawn],
        "max_from_team": draw(st.sampled_from([None, None, 3])),
        "min_from_team": draw(st.sampled_from([None, None, 2, 3])),
        "max_overlap": draw(st.sampled_from([None, None, 4, 5])),
        "exclude_lineups": draw(st.lists(lineup, max_size=2)),
        "existing_lineups": draw(st.lists(lineup, max_size=2)),
    }
    if draw(st.booleans()):
        optional["exposure"] = {listed[5]: [0.0, draw(share)], listed[6]: [draw(share) - 0.2, 1.0]}
    if draw(st.booleans()):
        optional["global_exposure_max"] = draw(st.sampled_from([0.7, 0.9]))
        optional["global_exposure_min"] = draw(st.sampled_from([0.0, 0.1, 0.3]))
    # A group that asks for nothing is refused on paper.
    optional["groups"] = [group for group in groups if group["min"] or group["max"] is not None]
    return optional


@st.composite
def jobs(draw: st.DrawFn, objective: str) -> dict[str, object]:
    site = draw(st.sampled_from(["draftkings", "fanduel"]))
    return {
        "drivers": drivers(draw),
        "objective": objective,
        "constraints": draw(rules(6 if site == "draftkings" else 5)),
        "lineup_count": draw(st.sampled_from([1, 3, 6])),
        "scenarios": draw(st.sampled_from([1_024, 1_300])),
        "holdout": 1_000,
        "randomness": draw(st.sampled_from([0, 0, 3.5])),
        "site": site,
        "seed": draw(st.integers(0, 5)),
    }


def lines_of(job: ByHand, races: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the line of each race, opponent by opponent."""
    objective = cast("dict[str, object]", job.resolved["objective"])
    if "threshold" in objective:
        return np.full(len(races), round(cast("float", objective["threshold"]) * UNITS))
    if "field" not in objective:
        return None
    field = cast("dict[str, float]", objective["field"])
    # Nobody takes a driver who withdrew, whatever was expected before.
    ownership = [None if driver["withdrawn"] else cast("float | None", driver["ownership"]) for driver in job.drivers]
    if any(ownership):
        racing = [share for share, driver in zip(ownership, job.drivers, strict=True) if not driver["withdrawn"]]
        left = (job.size - sum(share for share in racing if share)) / max(1, racing.count(None))
        weights = weights_from_ownership(
            [
                0.0 if driver["withdrawn"] else round(min(1.0, left), 9) if share is None else share
                for share, driver in zip(ownership, job.drivers, strict=True)
            ]
        )
    else:
        weights = weights_from_means(job.races.sum(axis=0).tolist(), len(job.races), field["temperature"])
    opponents = draw_field(
        Opponents(
            weights,
            int(field["size"]),
            round(field["percentile"] * 100_000),
            cast("int", job.resolved["seed"]),
            cast("int", job.rules["salary_cap"]),
            int(field["salary_min"]),
        ),
        [cast("int", driver["salary"]) for driver in job.drivers],
        job.size,
    )
    rank = -(-int(field["size"]) * (100_000 - round(field["percentile"] * 100_000)) // 100_000)
    return np.sort(races[:, opponents].sum(axis=2), axis=1)[:, -rank] + 1


def check_figures(lineup: dict[str, object], job: ByHand, line: NDArray[np.int64] | None) -> None:
    ids = tuple(cast("list[str]", lineup["ids"]))
    moved = sum(job.moved[who] for who in ids)
    mine = job.points(ids) - moved
    fresh = job.points(ids, job.fresh)
    held = part_of(lineup, "holdout")
    for told, scored in ((lineup, mine), (held, fresh)):
        assert told["mean"] == pytest.approx(scored.mean() / UNITS, abs=1e-6)
        assert told["sd"] == pytest.approx(scored.std() / UNITS, abs=1e-6)
        assert part_of(told, "se")["mean"] == pytest.approx(scored.std() / UNITS / len(scored) ** 0.5, rel=1e-3)
        for percent in (10, 50, 90, 99):
            needed = -(-len(scored) * (100 - percent) // 100)
            assert told[f"p{percent}"] == np.sort(scored)[-needed] / UNITS
    if line is not None and lineup["p_win"] is not None:
        assert lineup["p_win"] == (job.points(ids) >= line).mean()
    if line is not None:
        fresh_line = lines_of(job, job.fresh)
        assert fresh_line is not None
        assert held["p_win"] == pytest.approx((fresh >= fresh_line).mean())


def check_portfolio(portfolio: dict[str, object], lineups: list[tuple[str, ...]], job: ByHand) -> None:
    """Compare what lineups reach together, existing ones included, where they are chosen for that."""
    kept = [tuple(lineup) for lineup in cast("list[list[str]]", job.rules["existing_lineups"])]
    for name, races in (("objective", job.races), ("holdout_objective", job.fresh)):
        scored = np.array([job.points(lineup, races) for lineup in [*kept, *lineups]])
        line = lines_of(job, races)
        together = scored.max(axis=0) / UNITS if line is None else (scored >= line).any(axis=0)
        assert portfolio[name] == pytest.approx(together.mean(), abs=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
@given(data=st.data())
@settings(max_examples=12)
def test_the_lineups_and_their_figures_are_those_of_looking_at_everything(objective: str, data: st.DataObject) -> None:
    spec = data.draw(jobs(objective))
    try:
        job = ByHand(spec)
    except BadInput:
        event("contradictory on paper")
        return
    try:
        result = run_job(spec, spans=data.draw(st.sampled_from([whole, backwards])))
    except BadInput as refused:
        why, result = refused.message, dict[str, object]()
    else:
        why = ""
    if why:
        assert "No lineup" in why or "lineups drawn for the field" in why
        if "field" not in why:
            assert not job.chosen(np.zeros(len(job.races), np.int64))
        event("no lineup")
        return
    event("compared")
    line = lines_of(job, job.races)
    expected = job.chosen(line)
    assert [tuple(cast("list[str]", lineup["ids"])) for lineup in lineups_of(result)] == expected
    assert result["status"] == ("complete" if len(expected) == spec["lineup_count"] else "fewer")
    check_figures(lineups_of(result)[0], job, line)
    if objective.startswith(("cover", "emax")):
        check_portfolio(part_of(result, "portfolio"), expected, job)
    assert part_of(result, "certificate")["lineups_feasible"] == len(job.feasible())
