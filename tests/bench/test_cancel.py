"""The bench of cancelling sees what it measures: a family that does not listen, on another host, until it is gone."""

from pathlib import Path

import pytest

from tests.bench import stubborn
from tests.bench.cancel import GOAL_S, Victim, open_peers, run_and_cancel
from tests.support.hosts import open_lan

SLACK_S = 3.0
"""For a machine that has other things to do."""


@pytest.mark.hosts
def test_a_job_that_does_not_listen_is_gone_from_the_peer_with_all_that_it_has_started(tmp_path: Path) -> None:
    victim = Victim(stubborn.NAME, {}, 0.0, 1.0, leaves_worker=False)
    with open_lan(tmp_path / "lan") as lan:
        laptop, pc = open_peers(lan, tmp_path / "plugged")
        assert run_and_cancel(laptop, pc, victim, 0.0) < GOAL_S + SLACK_S
        lan.settle(laptop, pc)
