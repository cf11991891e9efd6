import io
import json
import shlex
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from meshd.cli.main import run
from meshd.clock import SystemClock
from meshd_protocol.localapi import JobAccepted, JobPage, JobsDeleted, JobView, PeerTest
from tests.support.services import Services, job_view, lineups_result

RESULT = Raw(msgspec.json.encode(lineups_result()))
DONE = job_view("", "completed", progress=1.0, device="pc", duration_s=0.5, result=RESULT)
ECHO = replace(DONE, kind="echo", name="echo", result=Raw(b'{"text":"hello"}'))


class Printed:
    """What a command printed, and its exit code."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = run(arguments)
        self.out, self.err = capsys.readouterr()


# Lists


def test_every_filter_of_a_list_arrives(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    options = (
        "--state failed --state cancelled --kind echo --device pc --search day --since 2026-02-15T19:30:00Z "
        "--until 2026-02-16T00:00:00Z --sort name --order desc --limit 3 --cursor 0"
    )
    assert Printed(capsys, "jobs", *options.split()).out == "no jobs that match\n"
    query, limit, cursor = services.jobs.asked[0]

    assert (query.states, query.kind, query.device, query.text) == (("failed", "cancelled"), "echo", "pc", "day")
    assert (query.since, query.until) == (1771183800.0, 1771200000.0)
    assert (query.sort, query.is_descending, limit, cursor) == ("name", True, 3, "0")


@pytest.mark.parametrize(("sort", "is_descending"), [("date", True), ("duration", True), ("name", False)])
def test_a_list_has_the_order_that_a_person_expects(services: Services, sort: str, is_descending: bool) -> None:
    assert run(["jobs", "--sort", sort]) == 0
    assert services.jobs.asked[0][0].is_descending is is_descending


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("12h", 43200), ("7d", 604800), ("2w", 1209600)])
def test_so_long_ago_is_counted_from_now(services: Services, text: str, seconds: int) -> None:
    before = SystemClock().wall()
    assert run(["jobs", "--since", text]) == 0
    since = services.jobs.asked[0][0].since

    assert since is not None
    assert before - 1 <= since + seconds <= SystemClock().wall() + 1


def test_a_time_that_is_none_is_refused(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(capsys, "jobs", "--since", "tuesday")
    assert printed.code == 2
    assert "since: expected a date or an instant, not 'tuesday'" in printed.err


def test_the_way_to_more_is_a_command_that_works(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        services.jobs.put(job_view(f"j{number}", "failed"))
    printed = Printed(capsys, "jobs", "--limit", "2", "--state", "failed", "--search", "two words", "--since", "7d")
    more = printed.err.removeprefix("more: meshd ").strip()
    assert "j1" in printed.out
    printed = Printed(capsys, *shlex.split(more))

    assert [job in printed.out for job in ("j1", "j2", "j3", "j4")] == [False, True, True, False]
    first, second = (query for query, *_ in services.jobs.asked)
    # The instant as well: a cursor belongs to one list.
    assert first == second


def test_all_jobs_are_listed_however_many_pages_they_take(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.jobs.most = 2
    for number in range(5):
        services.jobs.put(job_view(f"j{number}"))
    page = msgspec.json.decode(Printed(capsys, "jobs", "--all", "--json").out, type=JobPage)

    assert [job.id for job in page.jobs] == [f"j{number}" for number in range(5)]
    assert page.cursor is None


# Again, and away


def test_a_job_is_run_again_and_waited_for_on_request(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    services.jobs.put(replace(DONE, id="j1", spec=Raw(b'{"seed":1}')))
    assert Printed(capsys, "rerun", "j1").out == "aaaaaaaaaaaa\n"
    printed = Printed(capsys, "rerun", "j1", "--json")
    assert msgspec.json.decode(printed.out, type=JobAccepted).id == "aaaaaaaaaaab"
    services.jobs.script = [DONE]
    printed = Printed(capsys, "rerun", "j1", "--wait")
    assert (printed.code, "1,947,792 lineups" in printed.out) == (0, True)
    assert Printed(capsys, "rerun", "nope").code == 4


def test_jobs_are_deleted_and_those_that_cannot_be_are_named(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    for job, state in (("j1", "completed"), ("j2", "running"), ("j3", "failed")):
        services.jobs.put(job_view(job, state))  # pyright: ignore[reportArgumentType]
    printed = Printed(capsys, "delete", "j1", "j2", "nope", "j3", "--json")

    assert msgspec.json.decode(printed.out, type=JobsDeleted).deleted == 2
    assert printed.err.count("error: ") == 2
    assert "hint: meshd cancel j2" in printed.err
    assert printed.code == 1
    assert list(services.jobs.held) == ["j2"]
    assert Printed(capsys, "delete", "nope").code == 4
    assert Printed(capsys, "delete").code == 2


def test_clearing_takes_what_it_is_told_to(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    for state in ("completed", "failed", "cancelled", "queued"):
        services.jobs.put(job_view(state, state))  # pyright: ignore[reportArgumentType]

    assert Printed(capsys, "clear").out == "1 job deleted\n"
    assert Printed(capsys, "clear", "--state", "failed", "--state", "cancelled").out == "2 jobs deleted\n"
    assert Printed(capsys, "clear", "--state", "queued").code == 2
    assert json.loads(Printed(capsys, "clear", "--json").out) == {"deleted": 0}
    assert list(services.jobs.held) == ["queued"]


# Export


def test_a_job_is_exported_whole_to_a_file_or_the_screen(
    services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    view = services.jobs.put(replace(DONE, id="j1"))
    out = tmp_path / "out.json"
    assert Printed(capsys, "export", "j1", "-o", str(out)).out == ""
    assert msgspec.json.decode(msgspec.json.decode(out.read_bytes(), type=JobView).result) == lineups_result()
    printed = Printed(capsys, "export", "j1")
    assert msgspec.json.decode(printed.out, type=JobView).id == view.id
    printed = Printed(capsys, "export", "j1", "-o", str(out), "--json")
    assert json.loads(printed.out) == {"file": str(out), "bytes": out.stat().st_size}


def test_all_jobs_are_exported_a_line_each(
    services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number in range(30):
        services.jobs.put(replace(DONE, id=f"j{number}"))
    out = tmp_path / "all.jsonl"
    assert Printed(capsys, "export", "--all", "-o", str(out)).code == 0

    views = [msgspec.json.decode(line, type=JobView) for line in out.read_bytes().splitlines()]
    assert [view.id for view in views] == list(services.jobs.held)


def test_half_an_export_leaves_the_file_as_it_was(
    services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    services.jobs.put(replace(DONE, id="j1"))
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "all.jsonl").write_text("before")
    services.jobs.broken = True
    printed = Printed(capsys, "export", "--all", "-o", str(folder / "all.jsonl"))

    assert printed.code == 3
    assert "in the middle of an answer" in printed.err
    assert [file.name for file in folder.iterdir()] == ["all.jsonl"]
    assert (folder / "all.jsonl").read_text() == "before"


def test_lineups_are_exported_as_their_site_takes_them(
    services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    services.jobs.put(replace(DONE, id="j1"))
    out = tmp_path / "out.csv"
    assert Printed(capsys, "export", "j1", "--csv", "-o", str(out)).code == 0

    assert out.read_bytes().startswith(b"D,D,D,D,D,D\r\nAda North (101),")
    printed = Printed(capsys, "export", "j1", "--csv", "-o", str(tmp_path / "nowhere" / "x.csv"))
    assert (printed.code, "cannot be written" in printed.err) == (1, True)


@pytest.mark.parametrize("options", [[], ["j1", "--all"], ["--all", "--csv"], ["j1", "--csv", "--json"]])
def test_an_export_that_makes_no_sense_is_refused(
    services: Services, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    printed = Printed(capsys, "export", *options)
    assert (printed.code, printed.out) == (2, "")


# Submit


def test_a_job_of_any_kind_is_submitted_from_a_file_with_what_was_given(
    services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_bytes(b'\xef\xbb\xbf{"seed": 7}')
    options = "--on pc --name Sunday --priority 5 --timeout 9.5 --retries 2 --no-wait --json"
    printed = Printed(capsys, "submit", "lineups", str(spec), *options.split())

    assert msgspec.json.decode(printed.out, type=JobAccepted).id == "aaaaaaaaaaaa"
    request = services.jobs.requests[0]
    assert (request.kind, request.spec, request.placement, request.name) == ("lineups", {"seed": 7}, "pc", "Sunday")
    assert (request.priority, request.timeout_s, request.retries) == (5, 9.5, 2)


def test_a_spec_comes_from_standard_input_and_the_result_is_shown(
    services: Services, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.jobs.script = [ECHO]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"seed": 8}')))
    printed = Printed(capsys, "submit", "lineups", "-")

    assert printed.code == 0
    assert printed.out == "echo completed on pc after 0.5 s\n  text: hello\n"
    assert services.jobs.requests[0].spec == {"seed": 8}


@pytest.mark.parametrize(
    ("data", "word"), [(b"[1]", "not a JSON object"), (b"{", "not a JSON object"), (b" " * (1 << 21), "larger than")]
)
def test_a_spec_that_is_none_is_refused(
    services: Services, capsys: pytest.CaptureFixture[str], tmp_path: Path, data: bytes, word: str
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_bytes(data)
    printed = Printed(capsys, "submit", "lineups", str(spec))

    assert (printed.code, printed.out, services.jobs.requests) == (2, "", [])
    assert word in printed.err
    assert Printed(capsys, "submit", "lineups", str(tmp_path / "nowhere")).code == 2
    spec.write_bytes(b"{}")
    assert Printed(capsys, "submit", "nope", str(spec)).code == 2


# The test of a connection


def test_a_good_connection_is_told_in_lines(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(capsys, "test", "pc")

    assert (printed.code, printed.err) == (0, "")
    for line in ("reachable   yes", "round trip  1.5 ms", "test job    done in 50 ms", "gpu         not known yet"):
        assert line in printed.out
    assert "lineups 50 G/s (measured)" in printed.out
    assert Printed(capsys, "test", "nope").code == 4


@pytest.mark.parametrize(("problem", "code"), [("offline", 6), ("silent", 6), ("refused", 5), ("failed", 1)])
def test_a_bad_connection_is_explained(
    services: Services, capsys: pytest.CaptureFixture[str], problem: str, code: int
) -> None:
    services.devices.tested = replace(
        services.devices.tested, ok=False, problem=problem, job_s=None, message="pc said\x1b no", hint="ask again"
    )
    printed = Printed(capsys, "test", "pc")
    assert printed.code == code
    assert printed.err == "error: pc said\\x1b no\nhint: ask again\n"
    printed = Printed(capsys, "test", "pc", "--json")
    assert printed.code == code
    assert msgspec.json.decode(printed.out, type=PeerTest).problem == problem


def test_instants_of_lists_are_of_this_machines_clock(services: Services) -> None:
    assert run(["jobs", "--since", "2026-02-15"]) == 0
    assert services.jobs.asked[0][0].since == datetime(2026, 2, 15).timestamp()  # noqa: DTZ001
