"""A daemon that is killed keeps its promises. In full: `python -m tests.faults.kills`."""

import sys
from pathlib import Path

import pytest

from tests.faults.autopsy import copy_database, examine
from tests.faults.daemon import a_daemon
from tests.faults.kills import kill_often
from tests.faults.ledger import ASKED, Ledger, read_ledger

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no data: no /proc to find what a dead daemon left")


def test_nothing_acknowledged_is_lost_when_the_daemon_is_killed_again_and_again(tmp_path: Path) -> None:
    report = kill_often(tmp_path, kills=6, seed=1, users=3, tell=print)

    assert not report.wrong, "\n".join(report.lines())
    assert report.kills >= 6
    assert (report.first_starts, report.while_starting) == (1, 2)
    assert report.with_workers
    assert report.with_log
    assert report.answered["submitted"] > 20
    assert report.answered["cancelled"]
    assert max(report.gone_s) < 2


def test_what_was_promised_and_is_not_there_is_found(tmp_path: Path) -> None:
    with a_daemon(tmp_path) as daemon:
        daemon.paths.create()
        daemon.start()
        daemon.wait_until_ready()
        daemon.kill()
        ledger = Ledger(tmp_path / "ledger")
        ledger.note("submitted", "aaaaaaaaaaaa", "key-1")
        ledger.note("submitted", "bbbbbbbbbbbb", "key-2")
        ledger.note(ASKED, "bbbbbbbbbbbb")
        ledger.note("submitted", "cccccccccccc", "key-1")
        ledger.note("cancelled", "aaaaaaaaaaaa", "cancelled")
        ledger.note("seen", "aaaaaaaaaaaa", "completed")
        ledger.close()
        promises = read_ledger(tmp_path / "ledger")

        assert examine(copy_database(daemon.paths, tmp_path / "copy"), promises, at_rest=True) == [
            "aaaaaaaaaaaa was acknowledged, and is lost",
            "cccccccccccc was acknowledged, and is lost",
        ]
    assert promises.broken == [
        "key-1 was answered with aaaaaaaaaaaa first, and then with cccccccccccc",
        "aaaaaaaaaaaa has two ends: cancelled and completed",
    ]
