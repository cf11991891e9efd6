"""A whole daemon, and jobs that are bad in every way: each user reads one error, and everybody else's work goes on."""

import contextlib
import json
import sys
from collections.abc import Generator
from pathlib import Path

import msgspec
import psutil
import pytest

from meshd.client.connection import Connection
from meshd.errors import MeshdError
from meshd.execution import logs
from meshd_protocol.limits import MAX_DEPTH
from meshd_protocol.localapi import JobAccepted, JobRequest, JobView
from tests.e2e.misbehaving import MEMORY_LIMIT_BYTES
from tests.faults.daemon import RealDaemon, a_daemon
from tests.support.hosts import until

JOBS = "/api/v1/jobs"
ANSWER_S = 60.0
"""How long a job may take on a machine that does something else."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealDaemon]:
    """Return one daemon for all rows: what one of them breaks, the others find."""
    with a_daemon(tmp_path_factory.mktemp("daemon"), MESHD_SLOTS="2") as daemon:
        daemon.start([sys.executable, "-m", "tests.e2e.misbehaving"])
        daemon.wait_until_ready()
        yield daemon
        assert daemon.stop() == 0
        assert list((daemon.paths.data / "workers" / "scratch").iterdir()) == []


def submit(daemon: RealDaemon, kind: str, **spec: object) -> str:
    return daemon.client.submit(JobRequest(kind=kind, spec=spec)).id


def end_of(daemon: RealDaemon, job: str) -> JobView:
    *_, last = daemon.client.follow(job, timeout_s=ANSWER_S)
    return last


def left_by_jobs(daemon: RealDaemon) -> list[str]:
    """Return what no job may leave behind."""
    (reaper,) = psutil.Process(daemon.pid).children()
    workers = daemon.paths.data / "workers"
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
        strays = {child.pid for worker in reaper.children() for child in worker.children(recursive=True)}
        files = [str(file) for folder in (workers / "scratch").iterdir() for file in folder.iterdir()]
        sizes = [log.stat().st_size for log in (workers / "logs").iterdir()]
        return [
            *(f"process {pid}" for pid in strays),
            *files,
            *(f"a log of {size} bytes" for size in sizes if size > logs.MAX_LOG_BYTES),
            *(["a slot"] if daemon.client.status().busy else []),
        ]
    return ["something that has gone just now"]


def request_body(**fields: object) -> bytes:
    return json.dumps({"kind": "echo", "spec": {}} | fields).encode()


def nested(depth: int) -> bytes:
    return b'{"kind": "misdeeds", "spec": {"do": "quiet", "seconds": 0, "deep": ' + b"[" * depth + b"]" * depth + b"}}"


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        pytest.param(request_body(spec={"text": 5}), "bad_input", "Expected `str`, got `int`", id="a wrong type"),
        pytest.param(request_body(spec=[]), "bad_input", "spec: expected object, got array", id="a list for a spec"),
        pytest.param(request_body(spec={"colour": 1}), "bad_input", "unknown field `colour`", id="an unknown setting"),
        pytest.param(request_body(colour=1), "bad_input", "there is no field 'colour'", id="an unknown field"),
        pytest.param(request_body(kind="bitcoin"), "bad_input", "no kind of job called", id="an unknown kind"),
        pytest.param(request_body(kind="k" * 500_000), "bad_input", "no kind of job called", id="an endless kind"),
        pytest.param(request_body(kind="a\0b"), "bad_input", "no kind of job called", id="a kind with a NUL in it"),
        pytest.param(request_body(timeout_s=-1), "bad_input", "timeout_s: expected float >= 0", id="a past timeout"),
        pytest.param(request_body(timeout_s="soon"), "bad_input", "timeout_s: expected float", id="a timeout in words"),
        pytest.param(b'{"kind": "echo", "spec": {}, "timeout_s": NaN}', "usage", "not JSON", id="not a number"),
        pytest.param(b'{"kind": "echo", "spec": {}, "timeout_s": 1e999}', "bad_input", "out of range", id="infinity"),
        pytest.param(request_body(spec={"sleep_s": 1e9}), "bad_input", "<= 3600.0", id="a sleep of 30 years"),
        pytest.param(request_body(spec={"size_bytes": 10**9}), "bad_input", "<= 268435456", id="a result of 1 GB"),
        pytest.param(request_body(spec={"size_bytes": 10**30}), "bad_input", "<= 268435456", id="30 digits"),
        pytest.param(
            b'{"kind": "misdeeds", "spec": {"n": ' + b"9" * 5000 + b"}}", "bad_input", "out of range",
            id="a number of 5,000 digits",
        ),
        pytest.param(request_body(retries=10**9), "bad_input", "retries: expected int <= 100", id="endless retries"),
        pytest.param(request_body(priority=10**30), "bad_input", "priority: expected int <= 100", id="great urgency"),
        pytest.param(
            request_body(kind="lineups", spec={"slate_csv": "", "scenarios": 10**9}), "bad_input", "", id="10^9 races"
        ),
        pytest.param(nested(MAX_DEPTH), "bad_input", "more than 128 lists", id="lists in lists, 129 deep"),
        pytest.param(nested(960), "bad_input", "more than 128 lists", id="lists in lists, 960 deep"),
        pytest.param(nested(100_000), "usage", "recursion", id="lists in lists, 100,000 deep"),
        pytest.param(request_body(spec={"text": "x" * 10_000_000}), "too_large", "1024 KiB", id="10 MB"),
        pytest.param(
            request_body(kind="misdeeds", spec={"text": "x" * 1_000_000}), "bad_input", "spec is too large", id="1 MB"
        ),
        pytest.param(b'{"kind": "echo", "spec": {"text": "\xff"}}', "usage", "not JSON", id="bytes that are no text"),
        pytest.param(b'{"kind": "echo", "spec": {"text": "\\ud800"}}', "usage", "not JSON", id="half a character"),
        pytest.param(b"", "bad_input", "missing required field kind", id="nothing"),
        pytest.param(request_body(kind="misdeeds", spec={"do": "be refused"}), "bad_input", "not what misdeeds are",
            id="what its kind refuses"),
    ],
)  # fmt: skip
def test_what_is_no_job_is_refused_with_one_sentence_when_it_is(
    daemon: RealDaemon, body: bytes, code: str, says: str
) -> None:
    before = daemon.client.status().counts
    connection = Connection(daemon.paths)
    with pytest.raises(MeshdError) as refused:
        connection.request("POST", JOBS, body=body)

    assert refused.value.code == code
    assert says in refused.value.message
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 500
    good = msgspec.json.decode(connection.request("POST", JOBS, body=request_body(spec={"text": "hi"})).body)["id"]
    assert end_of(daemon, good).state == "completed"
    assert daemon.client.status().counts.queued == before.queued
    daemon.client.delete(good)


def test_a_spec_that_is_as_deep_as_it_may_runs(daemon: RealDaemon) -> None:
    # The spec itself is one level, and the value of `deep` begins the next.
    answer = Connection(daemon.paths).request("POST", JOBS, body=nested(MAX_DEPTH - 1))

    assert end_of(daemon, msgspec.json.decode(answer.body, type=JobAccepted).id).state == "completed"


@pytest.mark.parametrize(
    ("spec", "error_kind", "says", "shows"),
    [
        pytest.param({"do": "chatter"}, "crashed", "something that is not a message", "", id="prints on its pipe"),
        pytest.param({"do": "close", "first": 0, "last": 255}, "crashed", "lost its pipe", "", id="closes all files"),
        pytest.param({"do": "exit", "status": 0}, "crashed", "ended without a result", "the last words", id="exits"),
        pytest.param({"do": "read_nowhere"}, "crashed", "SIGSEGV", "in read_nowhere", id="reads from address 0"),
        pytest.param({"do": "signal_itself", "number": 9}, "lost", "after 5 lost attempts", "", id="is killed"),
        pytest.param(
            {"do": "hoard_in_a_child"}, "out_of_memory", f"more than the {MEMORY_LIMIT_BYTES >> 20} MiB", "",
            id="takes too much memory in a child",
        ),
        pytest.param({"do": "fill"}, "disk_full", "No space left on device", "in fill", id="fills the disk"),
        pytest.param({"do": "answer", "value": "not a number"}, "crashed", "nan at answer", "", id="answers NaN"),
        pytest.param({"do": "fail", "error": "unspeakable"}, "crashed", "Unspeakable", "in fail", id="fails oddly"),
        pytest.param({"do": "hang", "number": 2**70}, "bad_input", "cannot be sent", "", id="asks for 2^70"),
    ],
)  # fmt: skip
def test_a_bad_job_ends_with_one_error_and_another_completes_when_it(
    daemon: RealDaemon, spec: dict[str, object], error_kind: str, says: str, shows: str
) -> None:
    bad, good = submit(daemon, "misdeeds", **spec), submit(daemon, "echo", text="hello", sleep_s=0.3)
    failed, completed = end_of(daemon, bad), end_of(daemon, good)

    assert msgspec.json.decode(completed.result) == {"text": "hello"}
    assert failed.state == "failed"
    assert failed.error is not None
    assert failed.error.kind == error_kind
    assert says in failed.error.message
    assert failed.error.message.isprintable()
    assert shows in failed.error.detail
    assert [attempt.state for attempt in failed.attempts] == (["lost"] * 5 if error_kind == "lost" else ["failed"])
    until(lambda: not left_by_jobs(daemon))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(
            {"do": "print_endlessly", "mib": 1024, "to_stderr": False, "in_one_line": True}, id="prints 1 GiB"
        ),
        pytest.param({"do": "answer", "value": "much", "size": 50_000_000}, id="answers 50 MB"),
        pytest.param({"do": "family", "then": "return"}, id="leaves a family behind"),
        pytest.param({"do": "leave_a_thread"}, id="leaves a thread behind that ends its process"),
        pytest.param({"do": "leave_no_room"}, id="deletes the folders of all workers"),
    ],
)
def test_a_bad_job_completes_and_so_do_others_when_it(daemon: RealDaemon, spec: dict[str, object]) -> None:
    bad = submit(daemon, "misdeeds", **spec)
    good = [submit(daemon, "echo", text=f"{number}", sleep_s=0.2) for number in range(3)]

    assert end_of(daemon, bad).state == "completed"
    assert [msgspec.json.decode(end_of(daemon, job).result) for job in good] == [{"text": f"{n}"} for n in range(3)]
    until(lambda: not left_by_jobs(daemon))


def test_a_job_that_hangs_without_a_timeout_runs_until_its_user_cancels_it(daemon: RealDaemon) -> None:
    job = submit(daemon, "misdeeds", do="hang")
    until(lambda: daemon.client.job(job).state == "running")

    assert daemon.client.cancel(job).state == "cancelled"
    until(lambda: not left_by_jobs(daemon))


def printed(daemon: RealDaemon, job: str) -> bytes:
    return daemon.client.log(job, attempt=1).data


def test_what_a_job_prints_is_its_own_and_is_seen_while_it_runs(daemon: RealDaemon) -> None:
    job = submit(daemon, "misdeeds", do="look_around", seconds=30)
    until(lambda: printed(daemon, job) == b"hello\n", what="its output is there")
    assert daemon.client.look(job).state == "running"
    daemon.client.cancel(job)
    other = end_of(daemon, submit(daemon, "misdeeds", do="look_around", seconds=0))
    assert (other.state, printed(daemon, other.id)) == ("completed", b"hello\n")


def test_a_job_that_prints_nothing_leaves_no_folder(daemon: RealDaemon) -> None:
    job = end_of(daemon, submit(daemon, "echo", text="quiet"))
    assert printed(daemon, job.id) == b""
    assert not (daemon.paths.logs / "jobs" / job.id).exists()


def test_the_daemon_is_the_one_that_was_started(daemon: RealDaemon) -> None:
    assert daemon.client.status().pid == daemon.pid
    assert "Traceback" not in Path(daemon.log).read_text()
