"""Commands run on another host as if they ran here: with their files, their output and their exit code."""

import hashlib
import os
import signal
from pathlib import Path

import pytest

from meshd_protocol.localapi import JobRequest
from tests.support.hosts import Daemon, Lan, pair, until

pytestmark = pytest.mark.hosts

SHELL = ("sh", "-c")


@pytest.fixture
def two(lan: Lan) -> tuple[Daemon, Daemon]:
    """Return the laptop, which may run commands on the pc, and the pc."""
    laptop, pc = lan.start("laptop", "pc", MESHD_SLOTS="2")
    pair(pc, laptop)
    pc.client.permit("laptop", "command", allowed=True)
    # The laptop has heard of it.
    until(lambda: laptop.call("run", "--on", "pc", "--", "true")[0] == 0, what="the pc takes commands")
    return laptop, pc


def test_a_command_takes_its_files_along_and_brings_home_what_it_made_said_and_returned(
    lan: Lan, two: tuple[Daemon, Daemon], tmp_path: Path
) -> None:
    laptop, pc = two
    folder = tmp_path / "work"
    (folder / "data").mkdir(parents=True)
    content = os.urandom(3 << 20)
    (folder / "data" / "in.bin").write_bytes(content)
    script = "sha256sum data/in.bin; mkdir -p made/deep; cp data/in.bin made/deep/copy; echo problem >&2; exit 7"

    code, out, err = laptop.call(
        "run", "--on", "pc", "--in", "data/in.bin", "--out", "made/**", "--", *SHELL, script, cwd=folder
    )
    assert code == 7
    assert out == f"{hashlib.sha256(content).hexdigest()}  data/in.bin\nproblem\n"
    (job,) = [job for job in laptop.client.jobs().jobs if job.state == "failed"]
    assert job.error is not None
    assert (job.error.kind, job.error.exit_code, job.device) == ("exit_status", 7, "pc")
    # What it made is kept though it failed, and comes when it is asked for.
    assert f"meshd fetch {job.id}" in err
    assert laptop.call("fetch", job.id, cwd=folder)[0] == 0
    assert (folder / "made" / "deep" / "copy").read_bytes() == content
    until(lambda: not pc.records().deliveries, what="the pc has nothing left to deliver")
    assert not [path for path in (pc.home / "blobs").iterdir() if path.stat().st_size > 1 << 20]
    lan.settle(laptop, pc)


def test_a_command_without_permission_is_refused_with_the_command_that_grants_it(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc", MESHD_SLOTS="2")
    pair(pc, laptop)
    code, _, err = laptop.call("run", "--on", "pc", "--", "true")
    assert code == 5
    assert "meshd allow laptop command" in err
    assert laptop.client.jobs().jobs == []

    assert pc.call("allow", "laptop", "command")[0] == 0
    until(lambda: laptop.call("run", "--on", "pc", "--", "true")[0] == 0, what="the pc takes commands")
    lan.settle(laptop, pc)


def test_a_permission_that_is_taken_back_ends_what_runs(lan: Lan, two: tuple[Daemon, Daemon]) -> None:
    laptop, pc = two
    job = laptop.client.submit(command("pc", "sleep", "600")).id
    laptop.running(job)
    assert pc.call("deny", "laptop", "command")[0] == 0
    view = laptop.ended(job)
    assert view.state == "failed"
    assert view.error is not None
    assert "no longer allowed" in view.error.message
    until(lambda: not processes(pc, "sleep"), what="the command is gone")
    lan.settle(laptop, pc)


def test_what_a_command_prints_elsewhere_is_seen_while_it_runs(lan: Lan, two: tuple[Daemon, Daemon]) -> None:
    laptop, pc = two
    with laptop.cli("run", "--on", "pc", "--", *SHELL, "echo first; read never < fifo || sleep 600") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        # Nobody is there to be asked: the job goes on.
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert b"meshd cancel" in process.stderr.read()
    (job,) = [job for job in laptop.client.jobs().jobs if job.state == "running"]
    laptop.client.cancel(job.id)
    until(lambda: not processes(pc, "sleep"), what="the command is gone, and what it had started")
    until(lambda: laptop.call("logs", job.id)[1].startswith("first\n"), what="what it had printed came home")
    until(lambda: not pc.records().deliveries, what="the pc has nothing left to deliver")
    lan.settle(laptop, pc)


def test_a_command_that_may_have_had_effects_is_not_run_again_unless_it_says_so(
    lan: Lan, two: tuple[Daemon, Daemon]
) -> None:
    laptop, pc = two
    once = laptop.client.submit(command("pc", "sleep", "600")).id
    again = laptop.client.submit(command("pc", "sleep", "600", retry_safe=True)).id
    laptop.running(once)
    laptop.running(again)
    pc.kill_workers()
    view = laptop.ended(once)
    assert view.state == "failed"
    assert view.error is not None
    assert "not run again" in view.error.message
    laptop.running(again, attempt=2)
    laptop.client.cancel(again)
    lan.settle(laptop, pc)


def test_files_that_were_on_a_host_which_left_come_home_when_it_is_back(lan: Lan, two: tuple[Daemon, Daemon]) -> None:
    laptop, pc = two
    job = laptop.client.submit(command("pc", *SHELL, "sleep 2; echo hello > out; echo said", outputs=["out"])).id
    laptop.running(job)
    laptop.kill()
    until(lambda: pc.records().deliveries == 2, what="the pc keeps the file and the log")
    pc.kill()
    pc.start()
    laptop.start()
    assert laptop.ended(job).state == "completed"
    until(lambda: [each.here for each in laptop.client.artifacts(job)] == [True], what="the file is home")
    assert laptop.call("logs", job)[1] == "said\n"
    until(lambda: not pc.records().deliveries, what="the pc has nothing left to deliver")
    lan.settle(laptop, pc)


def command(placement: str, *argv: str, **spec: object) -> JobRequest:
    return JobRequest(kind="command", placement=placement, spec={"argv": list(argv), **spec})


def processes(daemon: Daemon, name: str) -> list[int]:
    return [process.pid for process in daemon.host.processes() if process.command.startswith(name)]
