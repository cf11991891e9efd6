"""Named settings stand in for what a request leaves open, and for nothing else."""

import pytest

from meshd.config import Profile
from meshd.errors import BadInput
from meshd.jobs.profiles import applied
from meshd_protocol.localapi import JobRequest

NIGHT = {"night": Profile(placement="pc", priority=-10, spread=False, spec={"scenarios": 1_000_000, "seed": 7})}


def test_a_profile_fills_in_what_a_request_leaves_open() -> None:
    request = applied(JobRequest(kind="lineups", spec={"seed": 1}, profile="night"), NIGHT)
    assert (request.placement, request.priority, request.spread, request.timeout_s) == ("pc", -10, False, 0.0)
    assert request.spec == {"scenarios": 1_000_000, "seed": 1}


def test_what_a_request_says_itself_comes_first() -> None:
    request = applied(JobRequest(kind="lineups", spec={}, placement="local", priority=5, profile="night"), NIGHT)
    assert (request.placement, request.priority) == ("local", 5)


def test_rules_of_a_profile_go_with_those_of_a_request_and_an_objective_is_one_value() -> None:
    rules: dict[str, object] = {
        "constraints": {"locked": ["A"], "max_overlap": 4},
        "objective": {"kind": "quantile", "q": 0.9},
    }
    mine: dict[str, object] = {"constraints": {"locked": ["B"], "salary_min": 49_000}, "objective": {"kind": "mean"}}
    spec = applied(JobRequest(kind="lineups", spec=mine, profile="strict"), {"strict": Profile(spec=rules)}).spec
    assert spec["constraints"] == {"locked": ["B"], "max_overlap": 4, "salary_min": 49_000}
    assert spec["objective"] == {"kind": "mean"}


def test_without_a_profile_nothing_changes() -> None:
    request = JobRequest(kind="lineups", spec={})
    assert applied(request, NIGHT) is request


def test_a_profile_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(BadInput) as refused:
        applied(JobRequest(kind="lineups", spec={}, profile="nigth"), NIGHT)
    assert "night" in refused.value.hint
