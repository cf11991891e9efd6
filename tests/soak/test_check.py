"""The check finds what was planted, and finds nothing where nothing is wrong."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from meshd_protocol.localapi import JobRequest
from tests.soak.check import check
from tests.soak.ledger import (
    Asked,
    CancelAsked,
    CanTalk,
    Connected,
    Died,
    EndSeen,
    Fault,
    Gone,
    Leaked,
    Refused,
    Sampled,
    Stage,
    Stopped,
    Taken,
    Unsettled,
)
from tests.soak.made_up import CANARY, NAME, MadeUpRun

Plant = Callable[[MadeUpRun], object]

ERROR = "2026-02-15T19:30:00.000Z error meshd.tasks: roster failed\n"
FULL = ERROR + "  | meshd.errors.Degraded: the database could not be written: database or disk is full\n"


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    (tmp_path / "run").mkdir()
    return MadeUpRun(tmp_path / "run")


def test_a_run_in_which_all_was_right_holds_and_tells_its_figures(run: MadeUpRun) -> None:
    report = check(run.write())

    assert report.failures == []
    told = "\n".join(report.lines)
    assert "1 kill daemon" in told
    assert "1 completed" in told
    assert "p50 1.0 s" in told
    assert check(run.folder) == report, "it can be repeated"


def ask(run: MadeUpRun, key: str, request: JobRequest) -> None:
    run.tell(10, Asked(key=key, origin=NAME, request=request))


PLANTED: dict[str, tuple[Plant, str]] = {
    "a lost job": (lambda run: run.job("gone", stored=False), "job gone of laptop ('key of gone') is lost"),
    "a result that was applied twice": (
        lambda run: (run.attempt("one", 2, "succeeded"), run.transition("one", "completed")),
        "its story tells of the ends ['completed', 'completed']",
    ),
    "two successes": (lambda run: run.attempt("one", 2, "succeeded"), "completed with 2 successes"),
    "a wrong result": (lambda run: run.job("two", result='{"text":"three"}'), "is not that of an undisturbed run"),
    "an end that changed": (
        lambda run: run.tell(13, EndSeen(origin=NAME, job="one", state="cancelled")),
        "was seen as ['completed', 'cancelled'], and is completed",
    ),
    "a submission that was done twice": (
        lambda run: run.tell(11, Taken(key="key of one", job="other")),
        "'key of one' was answered with ['one', 'other']",
    ),
    "a submission without an answer": (
        lambda run: ask(run, "unheard", JobRequest(kind="echo", spec={}, name="unheard")),
        "'unheard' was answered with []",
    ),
    "a job that nobody submitted": (lambda run: run.drop(Asked), "was never acknowledged to anybody"),
    "a good job that was refused": (
        lambda run: (
            ask(run, "good", JobRequest(kind="echo", spec={}, name="good")),
            run.tell(11, Refused(key="good", code="bad_input")),
        ),
        "'good' was refused, and is a good request",
    ),
    "a process that was left": (
        lambda run: run.tell(4, Gone(machine=NAME, after_s=6.0, left=("99: python worker",))),
        "a process was left 6 s after the end of its daemon: 99: python worker",
    ),
    "a process that went late": (
        lambda run: run.tell(4, Gone(machine=NAME, after_s=2.5, left=())),
        "processes outlived their daemon by 2.5 s",
    ),
    "a daemon that died": (lambda run: run.tell(4, Died(machine=NAME, status=-11)), "ended by itself at 4.0 s"),
    "a daemon that did not end well": (
        lambda run: (run.drop(Stopped), run.tell(51, Stopped(machine=NAME, status=1, after_s=1))),
        "ended with 1 when it was asked to",
    ),
    "a daemon that did not end": (lambda run: run.drop(Stopped), "did not end when it was asked to"),
    "a message that was not sent": (
        lambda run: (
            run.do(
                "INSERT INTO peer (device, name, certificate, pair_key, permissions, paired_at)"
                " VALUES ('p', 'pc', x'00', x'00', '[]', 1)"
            ),
            run.do("INSERT INTO outbox (peer, seq, frame, created_at) VALUES ('p', 1, x'00', 1)"),
        ),
        "laptop still has 1 messages in the outbox",
    ),
    "something that did not come to rest": (
        lambda run: run.tell(45, Unsettled(what="3 jobs of pc have not ended")),
        "not settled in time: 3 jobs of pc have not ended",
    ),
    "too few faults": (lambda run: run.drop(Fault), "only 0 of at least 1 faults of the class 'kill'"),
    "too few jobs": (lambda run: run.drop(Taken), "only 0 of at least 1 jobs were taken"),
    "a run without an end": (
        lambda run: (run.drop(Stage), run.tell(2, Stage(name="chaos"))),
        "the run did not come to its end",
    ),
    "descriptors that were not closed": (
        lambda run: run.tell(50.5, Sampled(machine=NAME, pid=8, rss_bytes=60 << 20, descriptors=40)),
        "had 20 descriptors at the start, and 40 at the end",
    ),
    "memory that was not given back": (
        lambda run: run.tell(50.5, Sampled(machine=NAME, pid=8, rss_bytes=150 << 20, descriptors=20)),
        "held 60 MiB / 150 MiB / 150 MiB",
    ),
    "a session that came late": (
        lambda run: (run.tell(7, CanTalk(pair="laptop-box")), run.tell(38, Connected(pair="laptop-box"))),
        "laptop-box: no session for 31.0 s",
    ),
    "a session that never came": (
        lambda run: run.tell(7, CanTalk(pair="laptop-box")),
        "laptop-box: no session for 43.0 s",
    ),
    "an unexplained error": (lambda run: setattr(run, "log", run.log + ERROR), "roster failed"),
    "a full disk that nobody filled": (lambda run: setattr(run, "log", run.log + FULL), "disk is full"),
    "a traceback": (
        lambda run: setattr(run, "log", run.log + "Traceback (most recent call last):\n"),
        "the log of laptop says: (no record): Traceback (most recent call last):",
    ),
    "a secret in the log": (
        lambda run: setattr(run, "log", run.log.replace("ready", f"ready {CANARY}")),
        "laptop: the canary is in laptop.log",
    ),
    "a secret in a worker": (
        lambda run: run.tell(9, Leaked(machine=NAME, where="the environment of 99")),
        "the canary is in the environment of 99",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_it_finds(run: MadeUpRun, what: str) -> None:
    plant, told = PLANTED[what]
    plant(run)

    assert told in "\n".join(check(run.write()).failures)


def failures_after(run: MadeUpRun, request: JobRequest, state: str, *, error: tuple[str, str] = ("", "")) -> str:
    """Return what is said about a job with this request, this end and this error."""
    ask(run, "the key", request)
    run.tell(11, Taken(key="the key", job="odd"))
    kind, message = (text or None for text in error)
    run.do(
        "INSERT INTO job (number, id, kind, name, state, placement, priority, timeout_s, retries, offload_timeout_s,"
        " created_at, ended_at, idempotency_key, error_kind, error_message)"
        " VALUES (99, 'odd', 'echo', 'odd', ?, 'auto', 0, 0, 0, 30, 1, 2, 'the key', ?, ?)",
        state, kind, message,
    )  # fmt: skip
    run.do("INSERT INTO document (job, spec, resolved) VALUES (99, x'7b7d', x'7b7d')")
    run.transition("odd", state)
    return "\n".join(check(run.write()).failures)


PLAIN = JobRequest(kind="echo", spec={"text": "hello"}, name="plain")


def test_a_job_may_be_cancelled_only_when_its_user_asked_for_that(run: MadeUpRun) -> None:
    assert "it was cancelled, and nobody had asked for that" in failures_after(run, PLAIN, "cancelled")


def test_a_job_that_its_user_cancelled_may_be_cancelled(run: MadeUpRun) -> None:
    run.tell(12, CancelAsked(job="odd"))

    assert failures_after(run, PLAIN, "cancelled") == ""


def test_a_job_may_fail_only_as_it_was_to(run: MadeUpRun) -> None:
    failing = JobRequest(kind="echo", spec={"fail": "it was to fail"}, name="failing")

    assert failures_after(run, failing, "failed", error=("crashed", "RuntimeError: it was to fail")) == ""


@pytest.mark.parametrize("error", [("crashed", "NameError: x"), ("lost", "given up"), ("timeout", "late")])
def test_any_other_failure_has_no_excuse(run: MadeUpRun, error: tuple[str, str]) -> None:
    assert "it failed without an excuse" in failures_after(run, PLAIN, "failed", error=error)


def test_a_job_that_lost_five_executors_may_give_up(run: MadeUpRun) -> None:
    for number in range(5):
        run.attempt("odd", number + 1, "lost")

    assert failures_after(run, PLAIN, "failed", error=("lost", "given up after 5 lost attempts")) == ""


def test_a_full_disk_explains_errors_on_the_machine_whose_disk_was_filled(run: MadeUpRun) -> None:
    run.log += FULL
    run.tell(20, Fault(kind="fill disk", machine=NAME))

    assert check(run.write()).failures == []


def test_a_daemon_that_says_that_it_has_no_room_to_start_is_excused_and_another_that_does_not_start_is_not(
    run: MadeUpRun,
) -> None:
    run.log += "error: its home cannot be used: [Errno 28] No space left on device\nhint: free some disk space\n"
    run.log += "error: its home cannot be used: [Errno 13] Permission denied\n"
    run.tell(20, Fault(kind="fill disk", machine=NAME))

    assert check(run.write()).failures == [
        "the log of laptop says: (no record): error: its home cannot be used: [Errno 13] Permission denied"
    ]


def test_a_blob_that_nobody_needs_is_found_and_a_rotten_one_is_called_rotten(run: MadeUpRun) -> None:
    folder = run.write()
    (folder / NAME / "blobs" / f"{'0' * 64}.part").write_bytes(b"half")
    (folder / NAME / "blobs" / ("0" * 64)).write_bytes(b"rotten")

    told = "\n".join(check(folder).failures)

    assert f"the blob store still holds {'0' * 64}.part" in told
    assert "the blob 000000000000 is rotten" in told


@pytest.mark.parametrize("part", ["job", "job_by_state"])
def test_a_damaged_database_is_found(run: MadeUpRun, part: str) -> None:
    folder = run.write()
    database = folder / NAME / "mesh.db"
    with closing(sqlite3.connect(database)) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (part,)).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(database.read_bytes())
    data[(page - 1) * size : (page - 1) * size + 8] = b"\xff" * 8
    database.write_bytes(data)

    assert "the database of laptop is damaged" in "\n".join(check(folder).failures)


def test_files_that_are_only_for_the_moment_are_found(run: MadeUpRun) -> None:
    folder = run.write()
    (folder / NAME / "workers" / "scratch" / "half").touch()
    (folder / NAME / "daemon.new").touch()

    told = "\n".join(check(folder).failures)

    assert "workers/scratch/half was left" in told
    assert "daemon.new was left" in told
