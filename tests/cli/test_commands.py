import json
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from meshd import demo as demo_module
from meshd.cli import connect
from meshd.cli.main import run
from meshd.client.launch import StartFailed
from meshd_protocol.localapi import (
    JobAccepted,
    JobError,
    JobPage,
    JobView,
    PairingState,
    PeerView,
    SightingView,
    StatusView,
)
from tests.support.services import Services, attempt, job_view, lineups_result, peer

RESULT = Raw(msgspec.json.encode(lineups_result()))
DONE = job_view("", "completed", progress=1.0, device="pc", result=RESULT, attempts=[attempt(1, "pc", "succeeded")])


@pytest.fixture
def slate(tmp_path: Path) -> str:
    file = tmp_path / "slate.csv"
    file.write_bytes("\ufeffPosition,Name\r\nD,Suárez\r\n".encode())
    return str(file)


class Printed:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = run(arguments)
        self.out, self.err = capsys.readouterr()


def test_status_is_shown_in_lines(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(capsys, "status")

    assert printed.code == 0
    assert printed.out.startswith("laptop  (aaaaaaaaaaaaaaaa, meshd 0.1.0, up 12 s)\n")
    assert "1 queued, 2 completed" in printed.out
    assert f"127.0.0.1:{services.daemon.api_port}" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (["status"], StatusView),
        (["up"], StatusView),
        (["peers"], list[PeerView]),
        (["jobs"], JobPage),
        (["pair", "--no-wait"], object),
        (["unpair", "pc"], PeerView),
        (["pair", "123456"], PeerView),
        (["cancel", "j1"], JobView),
    ],
)
def test_json_is_one_document_of_the_apis_shape_on_standard_output(
    services: Services, capsys: pytest.CaptureFixture[str], arguments: list[str], shape: type
) -> None:
    services.jobs.put(job_view("j1", "running"))
    printed = Printed(capsys, *arguments, "--json")

    assert printed.code == 0
    msgspec.json.decode(printed.out, type=shape)
    assert printed.out.count("\n") == 1


def test_without_a_daemon_status_says_so_and_starts_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status"], ["status", "--json"]):
        printed = Printed(capsys, *arguments)
        assert printed.code == 3
        assert printed.out == ""
        assert printed.err == "error: meshd is not running\nhint: start it: meshd up\n"
    assert list(home.iterdir()) == []


def test_without_a_daemon_down_has_nothing_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(capsys, "down")

    assert (printed.code, printed.out) == (0, "meshd was not running\n")
    assert list(home.iterdir()) == []


def test_a_command_that_needs_a_daemon_starts_one_and_tells_when_that_fails(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise StartFailed("no port is free", hint="set api_port", exit_status=1)

    monkeypatch.setattr(connect, "ensure", fails)
    printed = Printed(capsys, "jobs")

    assert (printed.code, printed.out) == (1, "")
    assert printed.err == "error: no port is free\nhint: set api_port\n"


@pytest.mark.parametrize("command", ["up", "jobs"])
def test_bad_settings_are_told_before_anything_starts(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MESHD_SLOTS", "none")
    (home / "config.toml").write_text("api_prot = 1\n")
    printed = Printed(capsys, command)

    assert printed.code == 2
    assert [file.name for file in home.iterdir()] == ["config.toml"]
    assert "MESHD_SLOTS" in printed.err
    assert "did you mean api_port?" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["jbos"], 2, "Did you mean jobs?"),
        (["jobs", "--state", "done"], 2, "done"),
        (["optimize", "nowhere.csv"], 2, "nowhere.csv"),
        (["pair", "12345"], 2, "six digits"),
        (["pair", "222222"], 2, "attic, pc"),
        (["pair", "000000"], 5, "wrong"),
        (["show", "nope"], 4, "nope"),
        (["cancel", "nope"], 4, "nope"),
        (["unpair", "nope"], 4, "nope"),
        (["wait", "nope"], 4, "nope"),
        (["show", "j"], 2, "j1, j2"),
        (["wait", "j1", "--timeout", "0.05"], 6, "goes on"),
        (["cancel", "j2"], 2, "completed"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    services: Services, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, word: str
) -> None:
    services.jobs.put(job_view("j1", "running"))
    services.jobs.put(replace(DONE, id="j2"))
    printed = Printed(capsys, *arguments)

    assert printed.code == code
    assert word in printed.err
    assert printed.err.splitlines()[-2 if "\nhint: " in printed.err else -1].startswith("error: ")
    assert printed.out == ""


@pytest.mark.parametrize(
    ("end", "code", "word"),
    [
        (DONE, 0, ""),
        (job_view("", "failed", error=JobError(kind="crashed", message="the worker died")), 1, "the worker died"),
        (job_view("", "failed", error=JobError(kind="timeout", message="too long")), 6, "too long"),
        (job_view("", "failed", error=JobError(kind="refused", message="pc said no")), 5, "pc said no"),
        (job_view("", "cancelled", reason="cancelled by its user"), 1, "cancelled by its user"),
    ],
)
def test_the_exit_code_of_waiting_tells_how_a_job_ended(
    services: Services, capsys: pytest.CaptureFixture[str], end: JobView, code: int, word: str
) -> None:
    services.jobs.put(replace(end, id="j1"))
    printed = Printed(capsys, "wait", "j1")

    assert printed.code == code
    assert word in printed.err


def test_a_job_that_moved_is_told_once_with_the_reason(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    lost = attempt(1, "pc", "lost", "the connection to pc is lost")
    services.jobs.put(
        job_view("j1", "running", progress=0.4, best="268.2 pts", attempts=[lost, attempt(2, "laptop", "running")])
    )
    printed = Printed(capsys, "wait", "j1", "--timeout", "0.3")

    assert printed.err.count("retrying: the connection to pc is lost (was on pc)") == 1
    assert printed.err.count("running on laptop") == 1
    assert " 40%   best 268.2 pts" in printed.err


def test_optimize_sends_what_was_given_and_shows_the_lineups(
    services: Services, capsys: pytest.CaptureFixture[str], slate: str, tmp_path: Path
) -> None:
    services.jobs.script = [DONE]
    out = tmp_path / "out.csv"
    options = [
        "--lineups",
        "3",
        "--objective",
        "p90",
        "--seed",
        "0",
        "--on",
        "pc",
        "--name",
        "Sunday",
        "--upload",
        str(out),
    ]
    printed = Printed(capsys, "optimize", slate, *options)

    assert printed.code == 0
    request = services.jobs.requests[0]
    text = "Position,Name\r\nD,Suárez\r\n"
    assert request.spec == {"slate_csv": text, "lineup_count": 3, "objective": "p90", "seed": 0}
    assert (request.kind, request.placement, request.name) == ("lineups", "pc", "Sunday")
    assert "North, South, East, West, Gale" in printed.out.replace("E. North, ", "").replace("A. North", "North")
    assert "49900" in printed.out
    assert "1,947,792 lineups" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80
    assert out.read_bytes().startswith(b"D,D,D,D,D,D\r\nAda North (101),")


def test_optimize_names_the_profile_and_leaves_to_it_what_was_not_given(
    services: Services, capsys: pytest.CaptureFixture[str], slate: str
) -> None:
    services.jobs.script = [DONE]
    assert Printed(capsys, "optimize", slate, "--profile", "night", "--seed", "3").code == 0
    request = services.jobs.requests[0]
    assert (request.profile, request.placement, request.priority) == ("night", "auto", 0)
    assert request.spec.keys() == {"slate_csv", "seed"}


def test_optimize_with_json_prints_the_finished_job(
    services: Services, capsys: pytest.CaptureFixture[str], slate: str
) -> None:
    services.jobs.script = [DONE]
    printed = Printed(capsys, "optimize", slate, "--json")

    view = json.loads(printed.out)
    assert (view["state"], view["device"]) == ("completed", "pc")
    assert view["result"] == lineups_result()


def test_optimize_without_waiting_returns_the_id(
    services: Services, capsys: pytest.CaptureFixture[str], slate: str
) -> None:
    printed = Printed(capsys, "optimize", slate, "--no-wait")
    assert printed.out == "aaaaaaaaaaaa\n"
    printed = Printed(capsys, "optimize", slate, "--no-wait", "--json")
    assert msgspec.json.decode(printed.out, type=JobAccepted).id == "aaaaaaaaaaab"


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"a,b\nD,Su\xe1rez\n", "line 2 holds the byte 0xe1"), (b"PK\x00\x01", "not a text"), (b"x" * 900_001, "larger")],
)
def test_a_file_that_is_not_a_text_is_refused_with_what_to_do(
    services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path, data: bytes, word: str
) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(data)
    printed = Printed(capsys, "optimize", str(file))

    assert printed.code == 2
    assert word in printed.err
    assert "hint: " in printed.err
    assert services.jobs.requests == []


def test_a_file_as_a_spreadsheet_saves_it_is_read(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "utf16.csv"
    file.write_bytes("Position,Name\nD,Suárez\n".encode("utf-16"))

    assert run(["optimize", str(file), "--no-wait"]) == 0
    assert services.jobs.requests[0].spec["slate_csv"] == "Position,Name\nD,Suárez\n"


def test_an_interrupted_wait_leaves_the_job_alone_and_says_how_to_end_it(
    services: Services, capsys: pytest.CaptureFixture[str], slate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("meshd.client.local.Client.follow", interrupted)
    printed = Printed(capsys, "optimize", slate)

    assert printed.code == 130
    assert "the job goes on: aaaaaaaaaaaa" in printed.err
    assert "meshd cancel aaaaaaaaaaaa" in printed.err
    assert services.jobs.held["aaaaaaaaaaaa"].state == "queued"


@pytest.mark.parametrize(
    ("ended", "code", "word"),
    [("paired", 0, "paired with pc"), ("expired", 6, "in time"), ("burned", 5, "wrongly"), ("closed", 1, "closed")],
)
def test_a_shown_code_is_waited_for_to_its_end(
    services: Services, capsys: pytest.CaptureFixture[str], ended: str, code: int, word: str
) -> None:
    end = {"open": None, "ended": ended, "paired_with": msgspec.to_builtins(peer()) if ended == "paired" else None}
    services.pairings.next = msgspec.convert(end, PairingState)
    printed = Printed(capsys, "pair")

    assert printed.code == code
    assert "code: 123 456" in printed.err
    assert word in printed.out + printed.err


@pytest.mark.parametrize(
    ("where", "device", "address"),
    [
        ([], None, None),
        (["PC"], "PC", None),
        (["b" * 16], "b" * 16, None),
        (["10.0.0.7"], None, "10.0.0.7"),
        (["pc.lan:62223"], None, "pc.lan:62223"),
        (["attic"], "attic", None),
    ],
)
def test_a_device_is_meant_by_name_or_by_address(
    services: Services, where: list[str], device: str | None, address: str | None
) -> None:
    services.devices.seen = [SightingView(id="b" * 16, name="pc", addresses=[], pairing=True, paired=False)]

    assert run(["pair", "123-456", *where]) == 0
    asked = services.pairings.accepted[0]
    assert (asked.code, asked.device, asked.address) == ("123456", device, address)


def test_a_device_that_is_not_seen_yet_gets_a_moment(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    services.pairings.absent = 2
    printed = Printed(capsys, "pair", "123456")

    assert printed.code == 0
    assert printed.err.count("looking for") == 1


def test_what_other_devices_call_themselves_cannot_move_the_cursor(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.devices.paired = [peer("[red]pc\x1b[2J")]
    services.devices.seen = [
        SightingView(id="b" * 16, name="x\x1b]8;;y", addresses=["a\r"], pairing=True, paired=False)
    ]
    services.jobs.put(job_view("j1", "running", name="j\x1b[0m", reason="r\x07", device="d\x1b"))
    printed = [Printed(capsys, *arguments) for arguments in (["peers"], ["jobs"], ["show", "j1"])]

    assert not any(set("\x1b\x07\r") & set(each.out + each.err) for each in printed)
    assert "[red]pc" in printed[0].out


def test_a_job_is_shown_with_its_attempts_and_why_it_moved(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = [attempt(1, "pc", "lost", "the connection to pc is lost"), attempt(2, "laptop", "succeeded")]
    services.jobs.put(
        replace(
            DONE,
            id="j1",
            attempts=attempts,
            resolved=Raw(b'{"seed":1,"drivers":[1,2],"a":{},"inputs":[{"name":"a b","size":9}]}'),
        )
    )
    printed = Printed(capsys, "show", "j")

    assert "the connection to pc is lost" in printed.out
    assert "seed: 1" in printed.out
    assert "drivers: 1 2" in printed.out
    assert "inputs: 'a b'" in printed.out
    assert "a: (0 entries)" in printed.out
    assert "1,947,792 lineups" in printed.out


def test_a_job_is_shown_with_the_profile_that_it_was_submitted_with(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.jobs.put(replace(DONE, id="j1", profile="night"))
    assert "profile    night" in Printed(capsys, "show", "j1").out
    services.jobs.put(replace(DONE, id="j2"))
    assert "profile" not in Printed(capsys, "show", "j2").out


def test_the_demo_prints_its_jobs_as_one_document(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(slate: str, audience: demo_module.Audience, *, keep: bool) -> list[JobView]:
        assert "Salary" in slate
        assert not keep
        audience.say("1. Two nodes")
        audience.watch(replace(DONE, id="j1"))
        return [replace(DONE, id="j1")]

    monkeypatch.setattr("meshd.cli.demo.run", shown)
    printed = Printed(capsys, "demo", "--json")

    assert [job["id"] for job in json.loads(printed.out)["jobs"]] == ["j1"]
    assert "1. Two nodes" in printed.err
    assert "completed on pc" in printed.err


def test_help_and_version_need_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(capsys, "--help")
    assert printed.code == 0
    for command in ("up", "pair", "optimize", "demo"):
        assert f"  {command} " in printed.out
    assert Printed(capsys, "version").out == "meshd 0.1.0\n"
    assert Printed(capsys, "--version").out == "meshd 0.1.0\n"
    assert list(home.iterdir()) == []
