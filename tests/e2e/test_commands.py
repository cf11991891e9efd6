"""A whole daemon and commands of every sort: each says how it ended, and nothing of it is left."""

import contextlib
import hashlib
import http.client
import os
import platform
from collections.abc import Generator
from pathlib import Path

import msgspec
import psutil
import pytest

from meshd.errors import MeshdError, NotFound
from meshd_protocol.localapi import JobRequest, JobView
from tests.faults.daemon import RealDaemon, a_daemon
from tests.support.hosts import until

ANSWER_S = 60.0
QUOTA_BYTES = 40_000_000


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Generator[RealDaemon]:
    """Return one daemon for all: what one command breaks, the others find."""
    quota = str(QUOTA_BYTES / 1e9)
    with a_daemon(tmp_path_factory.mktemp("daemon"), MESHD_SLOTS="2", MESHD_BLOB_QUOTA_GB=quota) as daemon:
        daemon.start()
        daemon.wait_until_ready()
        yield daemon
        assert daemon.stop() == 0
        workers = daemon.paths.data / "workers"
        assert list((workers / "scratch").iterdir()) == []
        assert not (workers / "outbox").exists() or list((workers / "outbox").iterdir()) == []


def ended(daemon: RealDaemon, *argv: str, **spec: object) -> JobView:
    job = daemon.client.submit(JobRequest(kind="command", spec={"argv": list(argv), **spec})).id
    *_, last = daemon.client.follow(job, timeout_s=ANSWER_S)
    return last


def shell(daemon: RealDaemon, script: str, **spec: object) -> JobView:
    return ended(daemon, "sh", "-c", script, **spec)


def said(daemon: RealDaemon, job: str) -> bytes:
    data = b""
    while not (page := daemon.client.log(job, attempt=1, after=len(data))).done or page.data:
        data += page.data
    return data


def fetched(daemon: RealDaemon, job: str, name: str) -> bytes:
    pieces: list[bytes] = []
    daemon.client.artifact(job, name, pieces.append)
    return b"".join(pieces)


def strays(daemon: RealDaemon) -> list[int]:
    """Return the processes that commands have left."""
    with contextlib.suppress(psutil.NoSuchProcess):
        (reaper,) = psutil.Process(daemon.pid).children()
        return [child.pid for worker in reaper.children() for child in worker.children(recursive=True)]
    return []


# What a command does


def test_output_and_exit_status_are_the_commands_own(daemon: RealDaemon) -> None:
    view = shell(daemon, "echo out; echo err >&2; exit 42")
    assert view.state == "failed"
    assert view.error is not None
    assert (view.error.kind, view.error.exit_code) == ("exit_status", 42)
    assert view.error.message == "the command ended with exit status 42"
    assert said(daemon, view.id) == b"out\nerr\n"


def test_a_signal_is_told_as_shells_tell_it(daemon: RealDaemon) -> None:
    view = shell(daemon, "kill -SEGV $$")
    assert view.error is not None
    assert (view.error.message, view.error.exit_code) == ("the command was ended by SIGSEGV", 128 + 11)


def test_no_shell_looks_at_the_arguments(daemon: RealDaemon) -> None:
    view = ended(daemon, "printf", "%s\n", "$HOME; `id` *", "a b")
    assert said(daemon, view.id) == b"$HOME; `id` *\na b\n"


def test_the_environment_is_an_allow_list_and_what_was_set(daemon: RealDaemon) -> None:
    view = ended(daemon, "env", env={"GREETING": "hello you"})
    names = {line.partition(b"=")[0].decode() for line in said(daemon, view.id).splitlines()}
    assert {"PATH", "GREETING"} <= names
    assert not names & {"MESHD_JAX_CACHE", "JAX_PLATFORMS", "PYTHONHASHSEED", "CUDA_VISIBLE_DEVICES"}
    assert not any("TOKEN" in name or "PROXY" in name.upper() for name in names)


def test_files_go_in_and_come_out_under_their_names(daemon: RealDaemon, tmp_path: Path) -> None:
    script, data = tmp_path / "script", tmp_path / "data"
    script.write_text("#!/bin/sh\nmkdir -p made\ncp in/data made/copy\nrm in/data\necho more > made/more.txt\n")
    data.write_bytes(os.urandom(2 << 20))
    blobs = [daemon.client.hand_over(script), daemon.client.hand_over(data)]
    inputs = [
        {"name": "script", "digest": blobs[0].digest, "size": blobs[0].size, "executable": True},
        {"name": "in/data", "digest": blobs[1].digest, "size": blobs[1].size},
    ]
    view = ended(daemon, "./script", inputs=inputs, outputs=["made/**", "nothing/*"])
    assert view.state == "completed", view.error
    assert [each.name for each in daemon.client.artifacts(view.id)] == ["made/copy", "made/more.txt"]
    assert fetched(daemon, view.id, "made/copy") == data.read_bytes()
    # The input was removed from the working folder, and not from where it is kept.
    assert ended(daemon, "./script", inputs=inputs).state == "completed"


def test_the_manifest_tells_with_what_where_and_from_which_files_a_job_was_computed(
    daemon: RealDaemon, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"some data")
    blob = daemon.client.hand_over(data)
    inputs = [{"name": "data", "digest": blob.digest, "size": blob.size}]
    view = shell(daemon, "cp data out", inputs=inputs, outputs=["out"])
    manifest = msgspec.json.decode(view.manifest)
    same = {"digest": blob.digest, "size": 9}
    assert (manifest["inputs"], manifest["outputs"]) == ([{"name": "data", **same}], [{"name": "out", **same}])
    assert (manifest["device"], manifest["attempt"]) == ("mortal", 1)
    assert manifest["versions"]["python"] == platform.python_version()
    assert manifest["submitted_at"] <= manifest["started_at"] <= manifest["ended_at"] == view.ended_at


def test_a_job_that_is_deleted_takes_its_files_and_its_output_along(daemon: RealDaemon) -> None:
    view = shell(daemon, "echo said; head -c 1000000 /dev/urandom > big", outputs=["big"])
    (artifact,) = daemon.client.artifacts(view.id)
    blob, output = daemon.paths.blobs / artifact.digest, daemon.paths.logs / "jobs" / view.id
    assert blob.exists()
    assert output.exists()
    daemon.client.delete(view.id)
    until(lambda: not blob.exists() and not output.exists(), what="they are gone")


def test_a_command_that_is_cancelled_is_gone_with_all_that_it_started(daemon: RealDaemon) -> None:
    script = "trap '' TERM; setsid sleep 600 & (sleep 601 &) ; echo ready; sleep 602"
    job = daemon.client.submit(JobRequest(kind="command", spec={"argv": ["sh", "-c", script]})).id
    until(lambda: daemon.client.log(job).data == b"ready\n", what="it runs")
    daemon.client.cancel(job)
    until(lambda: not strays(daemon) and not daemon.client.status().busy, what="nothing is left of it")
    assert said(daemon, job) == b"ready\n"


def test_daemons_that_a_command_leaves_behind_end_with_it(daemon: RealDaemon) -> None:
    view = shell(daemon, "setsid sleep 600 < /dev/null > /dev/null 2>&1 & echo done")
    assert view.state == "completed"
    until(lambda: not strays(daemon), what="nothing is left of it")


def test_a_flood_without_an_end_of_line_is_bounded_on_disk_and_in_memory(daemon: RealDaemon) -> None:
    before = psutil.Process(daemon.pid).memory_info().rss
    view = shell(daemon, "echo first; head -c 300000000 /dev/zero | tr '\\0' x; echo; echo last")
    assert view.state == "completed"
    stored = sum(file.stat().st_size for file in (daemon.paths.logs / "jobs" / view.id).rglob("*.log"))
    assert stored <= 64 << 20
    page = daemon.client.log(view.id, attempt=1)
    assert page.data.startswith(b"first\nxxx")
    assert daemon.client.log(view.id, attempt=1, after=page.end - 5).data == b"last\n"
    assert psutil.Process(daemon.pid).memory_info().rss - before < 32 << 20


# What is refused


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({}, "missing required field `argv`", id="nothing to run"),
        pytest.param({"argv": "ls -l"}, "Expected `array`, got `str`", id="a line instead of a list"),
        pytest.param({"argv": [""]}, "has no name", id="an empty name"),
        pytest.param({"argv": ["a\0b"]}, "NUL", id="a NUL character"),
        pytest.param(
            {"argv": ["ls"], "env": {"A=B": "c"}}, "'A=B' is no name of a variable", id="a variable with an equals sign"
        ),
        pytest.param({"argv": ["ls"], "outputs": ["../secret"]}, "does not lie in", id="an output outside"),
        pytest.param({"argv": ["ls"], "outputs": ["/etc/passwd"]}, "does not lie in", id="an absolute output"),
        pytest.param(
            {"argv": ["ls"], "inputs": [{"name": "../x", "digest": "0" * 64, "size": 1}]},
            "does not lie in",
            id="an input",
        ),
        pytest.param(
            {"argv": ["ls"], "inputs": [{"name": "x", "digest": "0" * 64, "size": 1}]}, "is not here", id="a lost input"
        ),
        pytest.param({"argv": ["ls"], "shell": True}, "unknown field `shell`", id="a shell"),
    ],
)
def test_a_spec_that_is_none_is_refused_at_once(daemon: RealDaemon, spec: dict[str, object], says: str) -> None:
    with pytest.raises(MeshdError) as refused:
        daemon.client.submit(JobRequest(kind="command", spec=spec))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("argv", "outputs", "says"),
    [
        pytest.param(["no-such-program"], [], "there is no command 'no-such-program'", id="no such command"),
        pytest.param(["/etc"], [], "cannot be run: Permission denied", id="a folder"),
        pytest.param(["ln", "-s", "/etc/passwd", "out"], ["out"], "is a symbolic link", id="a link to a file"),
        pytest.param(["ln", "-s", "/etc", "out"], ["out"], "is a symbolic link", id="a link to a folder"),
        pytest.param(["mkfifo", "out"], ["out"], "is no ordinary file", id="a pipe"),
        pytest.param(["sh", "-c", "seq 1001 | xargs touch"], ["*"], "more than 1,000 files", id="too many files"),
        pytest.param(["head", "-c", "50000000", "/dev/zero"], [], None, id="much that is printed"),
        pytest.param(["dd", "if=/dev/zero", "of=out", "bs=1M", "count=50"], ["out"], "quota", id="more than the quota"),
        pytest.param(["sh", "-c", ": > \"$(printf '\\377')\""], ["*"], "is no text", id="a name in no encoding"),
    ],
)
def test_a_command_that_cannot_be_run_or_kept_is_one_clear_error(
    daemon: RealDaemon, argv: list[str], outputs: list[str], says: str | None
) -> None:
    view = ended(daemon, *argv, outputs=outputs)
    if says is None:
        assert view.state == "completed"
    else:
        assert view.state == "failed"
        assert view.error is not None
        assert says in view.error.message
    # The next one is not concerned.
    assert ended(daemon, "true").state == "completed"


def test_a_link_into_another_folder_is_not_followed(daemon: RealDaemon) -> None:
    view = shell(daemon, "ln -s /etc made; echo x > own", outputs=["made/**", "own"])
    assert view.state == "failed"
    assert view.error is not None
    assert "'made' is a symbolic link" in view.error.message


def test_a_command_is_stopped_at_its_timeout(daemon: RealDaemon) -> None:
    job = daemon.client.submit(JobRequest(kind="command", spec={"argv": ["sleep", "600"]}, timeout_s=1)).id
    *_, view = daemon.client.follow(job, timeout_s=ANSWER_S)
    assert view.error is not None
    assert view.error.kind == "timeout"
    until(lambda: not strays(daemon), what="nothing is left of it")


def test_an_input_that_was_damaged_on_the_disk_is_not_computed_with(daemon: RealDaemon, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"right" * 1000)
    blob = daemon.client.hand_over(file)
    (daemon.paths.blobs / blob.digest).write_bytes(b"wrong" * 1000)
    view = ended(daemon, "true", inputs=[{"name": "data", "digest": blob.digest, "size": blob.size}])
    assert view.state == "failed"
    assert view.error is not None
    assert "'data' was damaged on this disk" in view.error.message


# Handing files over


def put(daemon: RealDaemon, digest: str, data: bytes, **headers: str) -> tuple[int, bytes]:
    port, token = daemon.client.connection.find()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(
            "PUT",
            f"/api/v1/blobs/{digest}",
            body=data,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream", **headers},
        )
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_file_that_is_not_what_its_digest_says_is_refused_and_not_kept(daemon: RealDaemon) -> None:
    digest = hashlib.sha256(b"right").hexdigest()
    status, body = put(daemon, digest, b"wrong")
    assert status == 422
    assert b"bad_input" in body
    with pytest.raises(NotFound):
        daemon.client.blob(digest)
    assert put(daemon, digest, b"right")[0] == 201


def test_a_file_without_a_digest_is_refused(daemon: RealDaemon) -> None:
    assert put(daemon, "no-digest", b"x")[0] == 422
    assert put(daemon, "0" * 64, b"x", **{"Content-Type": "application/json"})[0] == 415


def test_more_than_the_quota_is_not_taken(daemon: RealDaemon, tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(QUOTA_BYTES + 1)
    with pytest.raises(MeshdError, match="quota"):
        daemon.client.hand_over(file)


def test_what_is_asked_of_jobs_without_files_is_answered_in_words(daemon: RealDaemon) -> None:
    job = daemon.client.submit(JobRequest(kind="echo", spec={"text": "x"})).id
    *_, view = daemon.client.follow(job, timeout_s=ANSWER_S)
    assert daemon.client.artifacts(view.id) == []
    assert daemon.client.log(view.id).done
    with pytest.raises(NotFound, match="has made no file"):
        fetched(daemon, view.id, "x")
    with pytest.raises(NotFound, match="no attempt 7"):
        daemon.client.log(view.id, attempt=7)
    with pytest.raises(NotFound):
        daemon.client.artifacts("nosuchjob")
