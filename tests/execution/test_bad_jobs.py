"""Whatever a job does, it gets one error that says what to do; another job completes, and nothing is left behind."""

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from meshd.execution import logs
from meshd.execution.attendance import Patience
from meshd.execution.outcome import ErrorKind, Failed, Outcome, Succeeded
from meshd.kinds.base import PackedPartial
from tests.execution.workshop import COUNTING, MISDEEDS, Workshop, open_workshop
from tests.support.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMORY_LIMIT_BYTES = 250 << 20

SILENCE_S = 3.0
"""Three times what a worker lets pass between two heartbeats: a loaded machine may hold one back."""

UNITS = 40
SQUARES = sum(n * n for n in range(UNITS))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def workshop(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Workshop]:
    """Return one pool for all rows: what one of them breaks, the others find."""
    patience = Patience(tick_s=0.2)
    folder = tmp_path_factory.mktemp("workshop")
    async with open_workshop(folder, patience=patience, memory_limit_bytes=MEMORY_LIMIT_BYTES) as workshop:
        yield workshop


class Traces:
    """What the pool holds beside its workers, before and after."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._descriptors = self._count()

    def _count(self) -> int:
        # Two pipes a worker.
        return len(list(Path("/proc/self/fd").iterdir())) - 2 * len(self._workshop.pids())

    def left(self) -> list[str]:
        """Return what should not be there; best asked until there is nothing."""
        folder = self._workshop.folder
        try:
            files = [str(file) for room in (folder / "scratch").iterdir() for file in room.rglob("*")]
        except FileNotFoundError:
            return ["a folder that is just going"]
        sizes = [log.stat().st_size for log in (folder / "logs").iterdir()]
        left = [
            *files,
            *(f"a log of {size} bytes" for size in sizes if size > logs.MAX_LOG_BYTES),
            *(["descriptors"] if self._count() > self._descriptors else []),
            *(["a slot"] if self._workshop.pool.load().busy else []),
        ]
        # Last, and only then: it looks at every process of this machine.
        return left or [f"process {pid}" for pid in self._strays()]

    def _strays(self) -> set[int]:
        reaper = psutil.Process(self._workshop.spawner.reaper_pid)
        return {child.pid for child in reaper.children(recursive=True)} - self._workshop.pids()


async def beside_another(workshop: Workshop, do: str, timeout_s: float, spec: dict[str, object]) -> Outcome:
    """Run a misdeed and return its outcome; another job, at the same time, must complete as if alone."""
    before = Traces(workshop)
    workshop.reports.clear()
    bad, good = await asyncio.gather(
        workshop.do(do, job="bad", timeout_s=timeout_s, kind=MISDEEDS, **spec),
        workshop.pool.run(
            job="good", attempt=1, kind=COUNTING, resolved={"units": UNITS, "unit_s": 0.002}, timeout_s=30
        ),
    )
    assert isinstance(good, Succeeded), good
    assert json.loads(good.result_json) == {"squares": SQUARES, "multiples": 6 * SQUARES}
    await eventually(lambda: not before.left())
    return bad


def row(
    name: str, do: str, error_kind: ErrorKind, says: str, *, shows: str = "", timeout_s: float = 30, **spec: object
) -> pytest.ParameterSet:
    return pytest.param(do, spec, timeout_s, error_kind, says, shows, id=name)


CONFUSED = "the worker wrote something that is not a message"
CUT_OFF = "the worker lost its pipe to the daemon"
NO_JSON = "the result cannot be written as JSON"


@pytest.mark.parametrize(
    ("do", "spec", "timeout_s", "error_kind", "says", "shows"),
    [
        row("prints text on its pipe", "chatter", "crashed", CONFUSED),
        row("announces a frame of 4 GiB", "announce", "crashed", "4,294,967,295 bytes was announced", size=2**32 - 1),
        row("finishes another job", "say", "crashed", CONFUSED,
            fields={"type": "Finished", "of": "good", "result": b"{}"}),
        row("finishes with what is not JSON", "say", "crashed", "JSON is malformed",
            fields={"type": "Finished", "of": "", "result": b"{'a': 1}"}),
        row("has stopped though nobody asked", "say", "crashed", CONFUSED, fields={"type": "Stopped", "of": ""}),
        row("sends progress of a billion percent", "say", "crashed", "<= 1.0",
            fields={"type": "Progress", "of": "", "share": 1e7}),
        row("sends a checkpoint outside of its phase", "say", "crashed", CONFUSED,
            fields={"type": "Kept", "of": "", "partial":
                    {"phase": 0, "units": 10, "start": 5, "stop": 11, "data": b"x"}}),
        row("closes the pipe on which it talks", "close", "crashed", CUT_OFF, first=4, last=4),
        row("closes the pipe on which it listens", "close", "crashed", CUT_OFF, first=3, last=3),
        row("closes all files as daemons do", "close", "crashed", CUT_OFF, first=0, last=255),
        row("replaces the pipe on which it talks", "replace_pipe", "crashed", CUT_OFF),
        row("exits and leaves its files", "litter", "crashed", "exit status 1"),
        row("exits with 0 and no result", "exit", "crashed", "the worker ended without a result",
            shows="the last words", status=0),
        row("exits with 1", "exit", "crashed", "exit status 1", shows="the last words", status=1),
        row("exits in a thread", "exit_in_a_thread", "crashed", "exit status 9"),
        row("reads from address 0", "read_nowhere", "crashed", "SIGSEGV (11)", shows="in read_nowhere"),
        row("aborts", "signal_itself", "crashed", "SIGABRT (6)", shows="in signal_itself", number=6),
        row("is killed", "signal_itself", "lost", "SIGKILL (9)", number=9),
        row("hangs beside its heartbeat", "hang", "timeout", "it was not finished after 0.3 s", timeout_s=0.3),
        row("asks for more memory than there is", "ask_for_all_memory", "out_of_memory", "not enough memory"),
        row("takes too much memory", "hoard", "out_of_memory", "more than the 250 MiB", length=400 << 20),
        row("takes too much memory in a child", "hoard_in_a_child", "out_of_memory", "more than the 250 MiB"),
        row("takes too much memory in an orphan", "hoard_in_an_orphan", "out_of_memory", "more than the 250 MiB"),
        row("takes too much memory of an accelerator", "exhaust_device", "out_of_memory", "RESOURCE_EXHAUSTED"),
        row("fills the disk", "fill", "disk_full", "No space left on device", shows="in fill"),
        row("fills the disk and calls it something else", "fill", "disk_full", "No space left on device",
            shows="the weights were not saved", wrapped=True),
        row("fills its quota", "overrun_quota", "disk_full", "Disk quota exceeded"),
        row("opens files until there are no more", "open_files", "crashed", "Too many open files", count=10**9),
        row("returns an object", "answer", "crashed", NO_JSON, value="an object"),
        row("returns what is not a number", "answer", "crashed", "nan at answer", value="not a number"),
        row("returns infinity", "answer", "crashed", "-inf at answer.0.nested", value="infinity"),
        row("returns a list that holds itself", "answer", "crashed", NO_JSON, value="a loop"),
        row("returns lists 128 deep", "answer", "crashed", "more than 128 lists", value="a deep list", depth=128),
        row("returns lists 100,000 deep", "answer", "crashed", NO_JSON, value="a deep list", depth=100_000),
        row("returns half a character", "answer", "crashed", NO_JSON, value="half a character"),
        row("returns keys that are no text", "answer", "crashed", NO_JSON, value="odd keys"),
        row("returns 70 MB", "answer", "crashed", "the result has 70,", value="much", size=70_000_000),
        row("returns nothing", "say_nothing", "crashed", "returned NoneType"),
        row("returns a list", "answer_with_a_list", "crashed", "returned list"),
        row("raises what cannot be described", "fail", "crashed", "Unspeakable", shows="in fail",
            error="unspeakable"),
        row("raises an error of many lines", "fail", "crashed", "ValueError: first second third", shows="in fail",
            error="of many lines"),
        row("raises an error with half a character", "fail", "crashed", "ValueError: half",
            error="of half a character"),
        row("raises an error of 50 MB", "fail", "crashed", "ValueError: eeee", error="endless"),
        row("raises KeyboardInterrupt", "fail", "crashed", "KeyboardInterrupt", error="interrupt"),
        row("raises SystemExit", "fail", "crashed", "SystemExit: enough", error="exit"),
        row("raises several errors", "fail", "crashed", "two of them (2 sub-exceptions)", shows="TypeError: two",
            error="group"),
        row("raises what is no Exception", "fail", "crashed", "of no sort", error="of no sort"),
        row("raises an error without a word", "fail", "crashed", "ValueError", error="silent"),
        row("calls itself for ever", "recurse", "crashed", "RecursionError", shows="in recurse"),
        row("finds its spec wrong", "complain", "bad_input", "the slate has no drivers: export it again"),
        row("has a spec that no message can carry", "hang", "bad_input", "cannot be sent to a worker", number=2**70),
        row("has a spec of 70 MB", "hang", "bad_input", "bytes are more than", text="x" * 70_000_000),
    ],
)  # fmt: skip
async def test_a_job_gets_one_error_when_it(
    workshop: Workshop,
    do: str,
    spec: dict[str, object],
    timeout_s: float,
    error_kind: ErrorKind,
    says: str,
    shows: str,
) -> None:
    bad = await beside_another(workshop, do, timeout_s, spec)

    assert isinstance(bad, Failed), bad
    assert bad.error_kind == error_kind
    assert says in bad.message
    assert shows in bad.detail
    assert bad.message.isprintable()
    assert len(bad.message) <= 600


def fine(name: str, do: str, result: object, **spec: object) -> pytest.ParameterSet:
    return pytest.param(do, spec, result, id=name)


@pytest.mark.parametrize(
    ("do", "spec", "result"),
    [
        fine("claims a progress of a billion percent", "claim", {}),
        fine("is further by less than one could say", "crawl", {}),
        fine("forks and returns in both", "return_twice", {"is": "the parent"}),
        fine("prints without end", "print_endlessly", {"printed": 100}, mib=100, to_stderr=False, in_one_line=False),
        fine("prints one endless line", "print_endlessly", {"printed": 100}, mib=100, to_stderr=True, in_one_line=True),
        fine("opens many files", "open_files", {"opened": 5000}, count=5000),
        fine("leaves a family behind", "family", {}, then="return"),
        fine("returns lists 127 deep", "answer", None, value="a deep list", depth=127),
        fine("returns 50 MB", "answer", None, value="much", size=50_000_000),
    ],
)
async def test_a_job_completes_though_it(workshop: Workshop, do: str, spec: dict[str, object], result: object) -> None:
    bad = await beside_another(workshop, do, 30, spec)

    assert isinstance(bad, Succeeded), bad
    assert result is None or json.loads(bad.result_json) == result
    for report in workshop.reports:
        assert 0 <= report.share <= 1
        assert (report.best + report.note).isprintable()
        assert report.eta_s is None or 0 <= report.eta_s < 1e10


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Workshop]:
    """Return a pool of one slot: every job follows the one before into the same worker, if that is still there."""
    async with open_workshop(tmp_path_factory.mktemp("bench"), slots=1) as workshop:
        yield workshop


@pytest.mark.parametrize(
    "do",
    [
        pytest.param("leave_a_thread", id="a thread that ends the process"),
        pytest.param("leave_an_alarm", id="an alarm"),
        pytest.param("leave_deaf", id="deaf ears for signals"),
        pytest.param("leave_without_streams", id="closed streams"),
        pytest.param("leave_files", id="files"),
        pytest.param("leave_nowhere", id="no folder"),
        pytest.param("leave_no_room", id="no room for any worker's folder"),
        pytest.param("open_files", id="open files"),
    ],
)
async def test_the_next_job_does_not_notice_that_the_one_before_has_left(bench: Workshop, do: str) -> None:
    before = Traces(bench)
    assert isinstance(await bench.do(do, job="bad", kind=MISDEEDS, count=2000), Succeeded)
    after = await bench.do("look_around", job="good", kind=MISDEEDS, seconds=0.3)

    assert isinstance(after, Succeeded), after
    assert json.loads(after.result_json) == {"files": [], "open": True, "alone": True, "temporary files": True}
    await eventually(lambda: not before.left())


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def silenced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return how jobs end that say nothing more: all at once, for each takes as long as the daemon's patience."""
    misdeeds: dict[str, dict[str, int]] = {
        "announce": {"size": 60 << 20},
        "signal_itself": {"number": signal.SIGSTOP},
        "hold_the_interpreter": {},
    }
    folder = tmp_path_factory.mktemp("silence")
    async with open_workshop(folder, slots=4, patience=Patience(silence_s=SILENCE_S, tick_s=0.2)) as workshop:
        before = Traces(workshop)
        good, *bad = await asyncio.gather(
            workshop.pool.run(
                job="good", attempt=1, kind=COUNTING, resolved={"units": UNITS, "unit_s": 0.06}, timeout_s=30
            ),
            *(workshop.do(do, job=do, kind=MISDEEDS, **spec) for do, spec in misdeeds.items()),
        )
        assert isinstance(good, Succeeded), good
        await eventually(lambda: not before.left())
    return dict(zip(misdeeds, bad, strict=True))


@pytest.mark.parametrize(
    ("do", "shows"),
    [
        pytest.param("announce", "in announce", id="announces a frame and does not send it"),
        pytest.param("signal_itself", "", id="stops itself"),
        pytest.param("hold_the_interpreter", "in hold_the_interpreter", id="holds the interpreter's lock"),
    ],
)
async def test_a_job_is_killed_after_a_while_when_it(silenced: dict[str, Outcome], do: str, shows: str) -> None:
    bad = silenced[do]

    assert isinstance(bad, Failed), bad
    assert bad.error_kind == "crashed"
    assert f"the worker gave no sign of life for {SILENCE_S:g} s" in bad.message
    assert shows in bad.detail


def part(start: int, stop: int, *, units: int = UNITS, phase: int = 0, data: bytes = b"0") -> PackedPartial:
    return PackedPartial(phase, units, start, stop, data)


@pytest.mark.parametrize(
    ("partials", "says"),
    [
        pytest.param(
            [part(0, 5, data=b"\x00 of version 2")], "ValueError: invalid literal", id="is of another version"
        ),
        pytest.param([part(0, 5, units=UNITS + 1)], "do not fit 'squares' of 40", id="is of another job"),
        pytest.param([part(0, 5), part(4, 9)], "units 4 to 9 of 40 do not fit", id="overlaps itself"),
        pytest.param([part(30, 41)], "units 30 to 41 of 40 do not fit", id="ends behind the end"),
        pytest.param([part(-1, 3)], "units -1 to 3 of 40 do not fit", id="begins before the beginning"),
        pytest.param([part(7, 7)], "units 7 to 7 of 40 do not fit", id="is of nothing"),
        pytest.param([part(0, 4, phase=1, units=4, data=b"")], "ValueError: invalid literal", id="is empty"),
    ],
)
async def test_a_job_is_told_apart_from_its_checkpoint_that(
    workshop: Workshop, partials: list[PackedPartial], says: str
) -> None:
    resolved = {"units": UNITS, "unit_s": 0.002}
    bad, good = await asyncio.gather(
        workshop.pool.run(job="bad", attempt=1, kind=COUNTING, resolved=resolved, partials=partials),
        workshop.pool.run(job="good", attempt=1, kind=COUNTING, resolved=resolved, partials=[part(0, 1)]),
    )

    assert isinstance(bad, Failed), bad
    assert bad.error_kind == "bad_checkpoint"
    assert says in bad.message
    assert isinstance(good, Succeeded), good
    assert json.loads(good.result_json)["squares"] == SQUARES


async def test_a_job_whose_log_finds_a_full_disk_hears_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "plain-1.log").symlink_to("/dev/full")
    async with open_workshop(tmp_path, slots=1) as workshop:
        bad = await workshop.do("look_around", kind=MISDEEDS, seconds=0)

    assert isinstance(bad, Failed)
    assert bad.error_kind == "disk_full"
    assert "free some space" in bad.message


async def test_a_log_is_cut_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "plain-1.log"
    await asyncio.to_thread(log.write_bytes, b"x" * (1 << 20))
    await asyncio.to_thread(logs.bound, log)
    assert log.stat().st_size == 1 << 20

    monkeypatch.setattr(logs, "SPARE_BYTES", 1 << 62)
    await asyncio.to_thread(logs.bound, log)
    assert log.stat().st_size < logs.KEPT_BYTES + 100


async def test_a_device_without_room_for_a_worker_says_so(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, slots=1) as workshop:
        await asyncio.to_thread((tmp_path / "scratch").rmdir)
        await asyncio.to_thread((tmp_path / "scratch").touch)
        bad = await workshop.do("look_around", kind=MISDEEDS, seconds=0)

    assert isinstance(bad, Failed)
    assert bad.error_kind == "lost"
    assert "no worker can be started: " in bad.message


async def test_a_folder_that_cannot_be_removed_is_no_other_workers(tmp_path: Path) -> None:
    async with open_workshop(tmp_path, slots=1) as workshop:
        old = tmp_path / "scratch" / "1"
        await asyncio.to_thread(old.mkdir)
        await asyncio.to_thread((old / "of somebody else").touch)
        outcome = await workshop.do("look_around", kind=MISDEEDS, seconds=0)

    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result_json)["files"] == []


async def test_what_a_killed_daemon_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    old = tmp_path / "scratch" / "7" / "results"
    await asyncio.to_thread(lambda: old.mkdir(parents=True))
    async with open_workshop(tmp_path):
        assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_worker_that_was_left_in_order_serves_the_next_job(bench: Workshop) -> None:
    await bench.do("look_around", job="first", kind=MISDEEDS, seconds=0)
    first = bench.pids()
    await bench.do("leave_files", job="second", kind=MISDEEDS)
    await bench.do("look_around", job="third", kind=MISDEEDS, seconds=0)

    assert len(first) == 1
    assert bench.pids() == first
