"""Kinds and workers without work: an attempt takes virtual time, reports, and ends as its device's luck has it."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meshd.execution.checkpoint import BadCheckpoint
from meshd.execution.outcome import Cancelled, Failed, Outcome, ProgressReport, Succeeded
from meshd.kinds.base import Document, Kind, PackedPartial, Part
from meshd.kinds.workshop import Places
from tests.simulation.divisible import PassTime, TallyProgram
from tests.simulation.monitor import Monitor
from tests.simulation.options import Options
from tests.simulation.sharing import Interrupted, SharingWorker
from tests.simulation.timetable import Timetable, divided, plain, result_of

KILL_S = 1.6
"""The longest that a worker takes to be gone once it is told to stop: terminate, 1.5 s, kill."""

PURE, SAFE, EFFECT, DIVIDED, SHARED = "pure", "safe", "effect", "divided", "shared"
"""Deterministic; not deterministic but without effects; neither; deterministic in units, with checkpoints; and that on
several devices at once."""


@dataclass(frozen=True, slots=True)
class SimulatedKind:
    """A kind that anything fits; its cost is the time it takes."""

    name: str
    deterministic: bool
    retry_safe: bool
    accelerated: bool
    divisible: bool = False
    program: str = "nowhere"

    def validate(self, spec: Document) -> dict[str, object]:
        return dict(spec)

    def cost(self, resolved: Document) -> float | None:
        seconds = resolved["seconds"]
        assert isinstance(seconds, float)
        return seconds

    def default_name(self, resolved: Document) -> str:
        return self.name


KINDS: Mapping[str, SimulatedKind] = {
    kind.name: kind
    for kind in (
        SimulatedKind(PURE, deterministic=True, retry_safe=True, accelerated=True),
        SimulatedKind(SAFE, deterministic=False, retry_safe=True, accelerated=False),
        SimulatedKind(EFFECT, deterministic=False, retry_safe=False, accelerated=False),
        SimulatedKind(DIVIDED, deterministic=True, retry_safe=True, accelerated=False),
        SimulatedKind(SHARED, deterministic=True, retry_safe=True, accelerated=False, divisible=True),
    )
}


def find_kind(name: str) -> SimulatedKind:
    """Return the kind of this name."""
    return KINDS[name]


@dataclass(slots=True)
class Luck:
    """What becomes of the attempts of one device."""

    options: Options
    rng: random.Random
    is_over: bool = False
    """Whether the time of trouble has passed."""

    def fate(self) -> str:
        """Return how the next attempt ends: well, unless it is drawn otherwise."""
        if not self.is_over:
            for fate, rate in (
                ("fails", self.options.failures * 0.25),
                ("lost", self.options.lost_workers * 0.3),
                ("hangs", self.options.hangs * 0.25),
            ):
                if self.rng.random() < rate:
                    return fate
        return "succeeds"

    def is_of_another_version(self) -> bool:
        """Return whether the program that runs the next attempt refuses the checkpoints of others."""
        return not self.is_over and self.rng.random() < self.options.bad_checkpoints * 0.4


@dataclass(slots=True)
class _Run:
    """One attempt in a worker."""

    cancelled: asyncio.Event
    timed_out: bool = False
    sharing: SharingWorker | None = None


class SimulatedPool:
    """See `meshd.jobs.executor.Pool`."""

    def __init__(self, *, device: str, luck: Luck, monitor: Monitor, is_alive: Callable[[], bool]) -> None:
        self._device = device
        self._luck = luck
        self._monitor = monitor
        self._is_alive = is_alive
        self._runs: dict[tuple[str, int], _Run] = {}
        self.is_closed = False

    async def run(
        self,
        *,
        job: str,
        attempt: int,
        kind: Kind,
        resolved: Document,
        timeout_s: float = 0,
        partials: Sequence[PackedPartial] = (),
        on_progress: Callable[[ProgressReport], None],
        on_partial: Callable[[PackedPartial], None] = lambda _: None,
        on_start: Callable[[], None],
        part: Part | None = None,
        on_shrunk: Callable[[Part | None], None] = lambda _: None,
        on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None] = lambda phase, units, missing: None,
        gpu: str | None = None,
        places: Places | None = None,
        output: str = "",
    ) -> Outcome:
        job_id, _, origin = job.partition("@")
        name = (origin, job_id, attempt)
        run = self._runs[job, attempt] = _Run(asyncio.Event())
        outcome: Outcome | None = None
        try:
            self._monitor.began(self._device, name)
            spans = [(partial.phase, partial.start, partial.stop) for partial in partials]
            if part is None:
                self._monitor.checkpoints.began(self._device, job_id, attempt, spans)
            if self.is_closed:
                self._monitor.broken("I5", f"{self._device} starts attempt {attempt} while it shuts down", job_id)
            if await self._pause(run, self._luck.rng.uniform(0.0, 0.3)):
                on_start()
                fate = self._luck.fate()
                if kind.name == SHARED:
                    run.sharing = SharingWorker(
                        TallyProgram(PassTime(0.0), is_of_another_version=self._luck.is_of_another_version()),
                        resolved,
                        partials,
                        self._unit_s(kind, resolved),
                        lambda seconds: self._pause(run, seconds),
                        asyncio.get_running_loop().time,
                        on_progress,
                        on_partial,
                        on_shrunk,
                        on_waiting,
                    )
                    outcome = await self._share(run, run.sharing, name, part, fate, timeout_s)
                else:
                    timetable = self._timetable(name, kind, resolved, partials)
                    outcome = await self._live(run, timetable, fate, timeout_s, on_progress, on_partial)
            if outcome is None:
                self._monitor.told_to_stop(self._device, name)
                await asyncio.sleep(self._luck.rng.uniform(0.0, KILL_S))
                outcome = Failed("timeout", "it took too long") if run.timed_out else Cancelled()
            return outcome
        finally:
            del self._runs[job, attempt]
            if self._is_alive():
                how = outcome.error_kind.capitalize() if isinstance(outcome, Failed) else type(outcome).__name__
                self._monitor.gone(self._device, name, how)

    def cancel(self, job: str, attempt: int) -> bool:
        run = self._runs.get((job, attempt))
        if run is None:
            return False
        run.cancelled.set()
        return True

    def shrink(self, job: str, attempt: int, keep: float) -> bool:
        worker = self._sharing(job, attempt)
        if worker is not None:
            worker.on_shrunk(worker.todo.shrink(keep))
        return worker is not None

    def extend(self, job: str, attempt: int, phase: int, start: int, stop: int) -> None:
        worker = self._sharing(job, attempt)
        if worker is not None:
            worker.todo.extend(phase, start, stop)

    def join(self, job: str, attempt: int, partials: Sequence[PackedPartial]) -> None:
        worker = self._sharing(job, attempt)
        if worker is not None:
            for partial in partials:
                worker.todo.join(partial, len(partials))

    def _sharing(self, job: str, attempt: int) -> SharingWorker | None:
        run = self._runs.get((job, attempt))
        return None if run is None or run.cancelled.is_set() else run.sharing

    async def _share(
        self,
        run: _Run,
        worker: SharingWorker,
        name: tuple[str, str, int],
        part: Part | None,
        fate: str,
        timeout_s: float,
    ) -> Outcome | None:
        """Compute the units of a job or of a part, as far as fate lets it; None when it was told to stop."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_s, self._time_out, run) if timeout_s else None
        ends_s = None if fate == "succeeds" else self._luck.rng.uniform(0.0, 20.0)
        began = loop.time()
        try:
            async with asyncio.timeout(ends_s):
                if part is not None:
                    await worker.part(part)
                    return Succeeded(b"{}", loop.time() - began)
                result = await worker.whole()
                return Succeeded(result_of(name[1], name[2], result), loop.time() - began)
        except Interrupted:
            return None
        except BadCheckpoint as error:
            return Failed("bad_checkpoint", str(error))
        except TimeoutError:
            if fate == "hangs":
                await run.cancelled.wait()
                return None
            return Failed("crashed" if fate == "fails" else "lost", "the program raised, or its worker was killed")
        finally:
            if timer is not None:
                timer.cancel()

    def _unit_s(self, kind: Kind, resolved: Document) -> float:
        seconds = (kind.cost(resolved) or 1.0) * self._luck.rng.uniform(0.8, 1.2)
        units = resolved["units"]
        assert isinstance(units, int)
        return seconds / (units + 5)

    def _timetable(
        self, name: tuple[str, str, int], kind: Kind, resolved: Document, partials: Sequence[PackedPartial]
    ) -> Timetable:
        _, job, attempt = name
        if kind.name != DIVIDED:
            return plain(job, attempt, (kind.cost(resolved) or 1.0) * self._luck.rng.uniform(0.8, 1.2))
        unit_s = self._unit_s(kind, resolved)
        return divided(
            job, attempt, resolved, unit_s, partials, is_of_another_version=self._luck.is_of_another_version()
        )

    async def _live(
        self,
        run: _Run,
        timetable: Timetable,
        fate: str,
        timeout_s: float,
        on_progress: Callable[[ProgressReport], None],
        on_partial: Callable[[PackedPartial], None],
    ) -> Outcome | None:
        """Do what the timetable says, as far as fate lets it; None when the attempt was told to stop."""
        ends_at = timetable.seconds * (1.0 if fate == "succeeds" else self._luck.rng.random())
        timer = asyncio.get_running_loop().call_later(timeout_s, self._time_out, run) if timeout_s else None
        now = 0.0
        try:
            for at, moment in timetable.moments:
                if at > ends_at:
                    break
                if at > now and not await self._pause(run, at - now):
                    return None
                now = at
                if isinstance(moment, ProgressReport):
                    on_progress(moment)
                else:
                    on_partial(moment)
            if not await self._pause(run, ends_at - now):
                return None
            if fate == "hangs":
                await run.cancelled.wait()
                return None
        finally:
            if timer is not None:
                timer.cancel()
        if fate == "fails":
            return Failed("crashed", "the program raised")
        if fate == "lost":
            return Failed("lost", "its worker was killed")
        return timetable.outcome

    def _time_out(self, run: _Run) -> None:
        run.timed_out = True
        run.cancelled.set()

    async def _pause(self, run: _Run, seconds: float) -> bool:
        """Wait; return False when the attempt was told to stop meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await run.cancelled.wait()
        except TimeoutError:
            return True
        return False
