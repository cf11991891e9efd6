"""What the loss of an executor came to is read rightly from what the origin showed."""

import pytest

from meshd_protocol.messages.jobs import PartialRef
from tests.bench.failover import Look, reached_at, share_covered, weigh
from tests.bench.optimization import answer_of

LOST = [Look(100.0 + second, 1, "running", second / 20) for second in range(13)]
"""An attempt that does a twentieth of its job each second."""


def span(phase: int, start: int, stop: int) -> PartialRef:
    return PartialRef(phase=phase, units=100, start=start, stop=stop, digest="0" * 64, size=1)


def test_a_checkpoint_covers_spans_by_the_weights_of_their_phases() -> None:
    weights = {0: 0.2, 1: 0.8}
    assert share_covered(weights, [span(0, 0, 100), span(1, 0, 25), span(1, 50, 75)]) == pytest.approx(0.6)
    assert share_covered(weights, []) == 0.0


def test_the_work_lost_is_the_time_since_the_last_look_before_the_checkpoint_was_reached() -> None:
    assert reached_at(LOST, 0.40) == 107.0
    assert reached_at(LOST, 0.42) == 108.0
    assert reached_at(LOST, 0.0) == 100.0


def test_a_loss_is_measured_from_the_fault_to_the_state_the_first_progress_and_the_first_new_work() -> None:
    looks = [
        *LOST,
        # The origin does not know yet.
        Look(115.0, 1, "running", 0.6),
        Look(118.0, 1, "lost", 0.6),
        Look(118.1, 2, "offered", 0.0),
        Look(118.2, 2, "running", 0.0),
        Look(119.0, 2, "running", 0.4),
        Look(120.0, 2, "running", 0.42),
    ]
    result = weigh(looks, struck_at=112.5, covered=0.4)
    assert (result.runs_s, result.progress_s, result.anew_s) == pytest.approx((5.7, 6.5, 7.5))
    assert result.work_lost_s == pytest.approx(5.5)


def test_without_a_checkpoint_all_of_the_lost_attempt_is_lost() -> None:
    looks = [*LOST, Look(118.2, 2, "running", 0.0), Look(120.0, 2, "running", 0.02)]
    assert weigh(looks, struck_at=112.5, covered=0.0).work_lost_s == 12.5


@pytest.mark.parametrize(
    ("looks", "what"),
    [
        ([Look(113.0, 1, "running", 0.1)], "nothing ran"),
        (LOST, "no other attempt"),
        ([*LOST, Look(118.0, 2, "running", 0.4)], "got nowhere"),
    ],
)
def test_a_job_that_was_not_lost_or_did_not_go_on_is_no_measurement(looks: list[Look], what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        weigh(looks, struck_at=112.5, covered=0.4)


def test_an_answer_is_the_same_whichever_machine_computed_it_and_another_when_any_lineup_differs() -> None:
    here = b'{"lineups":[1],"device":"cpu","duration_s":3.0,"rate_gel_s":25.0,"seed":7}'
    there = b'{"lineups":[1],"device":"gpu","duration_s":0.1,"rate_gel_s":null,"seed":7}'
    assert answer_of(here) == answer_of(there)
    assert answer_of(here) != answer_of(here.replace(b"[1]", b"[2]"))
