"""Jobs wait in the order of their right to be first, and a line that is closed is not looked at to its end."""

from meshd.jobs.backlog import Backlog
from meshd.jobs.model import Attempt, Job
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId

PC = DeviceId("pcpcpcpcpcpcpcpc")


def a_job(name: str, *, kind: str = "echo", placement: str = "auto", priority: int = 0, tried: bool = False) -> Job:
    lost = Attempt(AttemptNumber(1), PC, "lost", offered_at=0.0, ended_at=1.0)
    return Job(
        JobId(name),
        kind,
        name,
        "queued",
        placement,
        priority,
        0.0,
        0,
        30.0,
        None,
        0.0,
        attempts=(lost,) if tried else (),
    )


def names(backlog: Backlog) -> list[str]:
    return [job.name for _, job in backlog.round()]


def test_priority_comes_before_age_across_all_lines() -> None:
    backlog = Backlog()
    for job in (a_job("a"), a_job("b", placement="pc"), a_job("c", priority=5, kind="lineups"), a_job("d", tried=True)):
        backlog.put(job)
    assert names(backlog) == ["c", "a", "b", "d"]


def test_a_job_that_comes_back_has_its_old_place() -> None:
    backlog = Backlog()
    for name in "abc":
        backlog.put(a_job(name))
    backlog.remove(JobId("a"))
    assert names(backlog) == ["b", "c"]
    backlog.put(a_job("a", tried=True))
    assert names(backlog) == ["a", "b", "c"]


def test_a_closed_line_is_not_looked_at_to_its_end_and_the_others_are() -> None:
    backlog = Backlog()
    for number in range(1000):
        backlog.put(a_job(f"auto {number}"))
        backlog.put(a_job(f"pc {number}", placement="pc"))
    seen: list[str] = []
    for line, job in backlog.round():
        seen.append(job.name)
        if job.placement == "auto":
            line.closed, line.why = True, "nothing is free"
    assert seen == ["auto 0", *(f"pc {number}" for number in range(1000))]
    assert backlog.why(JobId("auto 999")) == "nothing is free"
    assert backlog.why(JobId("pc 999")) == ""
    assert len(names(backlog)) == 2000


def test_nobody_waits_once_all_are_gone() -> None:
    backlog = Backlog()
    backlog.put(a_job("a"))
    assert backlog
    backlog.forget(JobId("a"))
    assert not backlog
    assert names(backlog) == []
