"""Steps survive the journey as a phase's parameters, and nothing else is taken for one."""

import json

import pytest

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.opponents import Field
from meshd.kinds.lineups.engine.steps import (
    AddGains,
    AddLost,
    Bound,
    CountAll,
    CountLost,
    CountOpen,
    FillHistogram,
    Score,
    Select,
    Settle,
    Step,
    SumMoments,
    TallyFresh,
    checksum,
    document_of,
    read_step,
)

FIELD = Field((3, 1, 2), 500, 99_000, 7, 50_000, 48_000)

STEPS: list[Step] = [
    SumMoments(),
    FillHistogram((4, 2), -40, 7),
    CountAll(Score(5_000)),
    CountOpen(FIELD, (3,)),
    CountLost(FIELD, (3, 9), 1),
    AddGains((1, 2)),
    AddLost((1, 2), 1),
    Select((1,), (4, 5), (70, 60), (900, 800), Bound(50, 700, 8), Score(1)),
    Select((), (), (), (), None, None),
    TallyFresh((1,), None),
    Settle((1, 2), Score(5_400), None),
    Settle((3,), None, 99_000),
]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_step_survives_json(step: Step) -> None:
    assert read_step(json.loads(json.dumps(document_of(step)))) == step


@pytest.mark.parametrize(
    "params", [{}, {"step": "dance"}, {"step": "gain"}, {"step": "gain", "chosen": ["1"]}, {"step": "count", "line": 5}]
)
def test_other_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_step(params)


def test_lines_that_differ_in_anything_have_another_checksum() -> None:
    fields = [FIELD, *(Field((3, 1, 2), 500, 99_000, 7, 50_000, floor) for floor in (0, 47_000))]
    assert len({checksum(field) for field in fields}) == 3
    assert checksum(Score(5_000)) == 5_000
