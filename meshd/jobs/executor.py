"""This device as an executor: attempts of its own jobs and of its peers', waiting for a slot, then running.

Who the attempts belong to, whether they may start and who hears of them is the business of their owners: the
origin for own jobs, the holdings for those of peers.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from meshd.clock import Clock
from meshd.errors import Degraded, MeshdError
from meshd.execution.outcome import Failed, Outcome, ProgressReport, Succeeded
from meshd.jobs.ratebook import RateBook
from meshd.jobs.slots import Claim, NothingKnown, Place, Room, Slots, Surroundings
from meshd.kinds.base import Document, Kind, PackedPartial, Part
from meshd.kinds.needs import NOTHING, needs_of
from meshd.kinds.traits import inputs_of, works_with_files
from meshd.kinds.workshop import InputFile, Places
from meshd.scheduling.order import Queue, next_up
from meshd.scheduling.snapshot import SLOTS
from meshd.tasks import TaskSet
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId

log = logging.getLogger(__name__)

PASSED_OVER = 32
"""Attempts that wait for a busy GPU before nobody looks any further for one that would take what is free."""

MAX_UNSETTLED = 32
"""Attempts whose ends wait for the disk together: it takes them at once, but a full one takes none."""

GATHER_S = 0.003
"""For which the end of an attempt waits for the ends of others: as long as a commit, which is then one for all."""

PROGRESS_S = 0.2
"""Progress is told at most this often: five times a second is smooth to the eye."""


class Pool(Protocol):
    """Where attempts run, as this module needs it."""

    async def run(
        self,
        *,
        job: str,
        attempt: int,
        kind: Kind,
        resolved: Document,
        timeout_s: float = 0,
        partials: Sequence[PackedPartial] = (),
        part: Part | None = None,
        on_progress: Callable[[ProgressReport], None],
        on_partial: Callable[[PackedPartial], None],
        on_start: Callable[[], None],
        on_shrunk: Callable[[Part | None], None],
        on_waiting: Callable[[int, int, Sequence[tuple[int, int]]], None],
        gpu: str | None = None,
        places: Places | None = None,
        output: str = "",
    ) -> Outcome:
        """Run one attempt to its end; an accelerated one on the GPU of this id, or else on all processors."""
        ...

    def shrink(self, job: str, attempt: int, keep: float) -> bool:
        """Ask a running attempt for units, all but a share of what it has not begun; False when it does not run."""
        ...

    def extend(self, job: str, attempt: int, phase: int, start: int, stop: int) -> None:
        """Give a running attempt units."""
        ...

    def join(self, job: str, attempt: int, partials: Sequence[PackedPartial]) -> None:
        """Give a running attempt the partials that cover what it lacks of a phase."""
        ...

    def cancel(self, job: str, attempt: int) -> bool:
        """Stop an attempt; `run` then returns `Cancelled`."""
        ...


class KindFinder(Protocol):
    """Looks kinds up by name."""

    def __call__(self, name: str) -> Kind:
        """Return the kind of this name, or raise `BadInput`."""
        ...


class AttemptKey(Struct, frozen=True):
    """What tells an attempt on this device from every other: two origins may have drawn the same job id."""

    origin: DeviceId
    job: JobId
    number: AttemptNumber


class Assignment(Struct, frozen=True):
    """An attempt to run."""

    key: AttemptKey
    kind: Kind
    resolved: Document
    cost: float | None
    priority: int
    timeout_s: float
    part: Part | None = None
    """Only these units; None: the whole job."""


class Workplaces(Protocol):
    """The files of attempts, as this module needs them: see `meshd.jobs.workplaces`."""

    async def open(self, key: AttemptKey, inputs: Sequence[InputFile]) -> Places:
        """Return what an attempt is to work with; raise `MeshdError` when it cannot be had."""
        ...

    async def close(self, key: AttemptKey, places: Places, outcome: Outcome) -> Outcome:
        """Keep what the attempt has left; return how it ended with these files."""
        ...

    def output(self, key: AttemptKey) -> str:
        """Return the folder for what an attempt prints that has no files."""
        ...

    async def keep_output(self, key: AttemptKey, outcome: Outcome) -> Outcome:
        """Keep what such an attempt has printed; return how it ended with that."""
        ...


class Owner(Protocol):
    """Who has handed an attempt to the executor, and hears of it."""

    async def starting(self, key: AttemptKey) -> Sequence[PackedPartial] | None:
        """The attempt has a slot; return the checkpoint to go on from, or None when it is no longer wanted."""
        ...

    def started(self, key: AttemptKey) -> None:
        """The attempt runs."""
        ...

    def progressed(self, key: AttemptKey, report: ProgressReport) -> None:
        """The attempt is further."""
        ...

    def kept(self, key: AttemptKey, partial: PackedPartial) -> None:
        """The attempt has a checkpoint: it replaces the one of the same phase and start."""
        ...

    def shrunk(self, key: AttemptKey, part: Part | None) -> None:
        """The attempt has given units back, or had none to give."""
        ...

    def waiting(self, key: AttemptKey, phase: int, units: int, missing: Sequence[tuple[int, int]]) -> None:
        """The attempt has done all of a phase of `units` but those that it gave back."""
        ...

    async def ended(self, key: AttemptKey, outcome: Outcome) -> None:
        """The attempt is over; only a few may be so that this has not returned for."""
        ...

    def returned(self, key: AttemptKey, reason: str) -> None:
        """The attempt has not started and will not start here; it may elsewhere."""
        ...


@dataclass(slots=True)
class _Entry:
    """One attempt in this device's hands."""

    assignment: Assignment
    owner: Owner
    age: int
    may_start: bool
    running: bool = False
    is_over: bool = False
    """Whether it no longer has the slot, while its end goes to disk."""

    is_shared: bool = False
    """Whether it computed less than the whole job, so that its time says nothing about the rate."""

    told_at: float = 0.0
    claim: Claim = field(init=False)
    accelerated: bool = field(init=False)

    def __post_init__(self) -> None:
        assignment = self.assignment
        self.accelerated = assignment.kind.accelerated
        self.claim = Claim(assignment.kind, assignment.cost, needs_of(assignment.kind))

    @property
    def key(self) -> AttemptKey:
        return self.assignment.key

    @property
    def kind(self) -> Kind:
        return self.assignment.kind


class Executor:
    """Gives slots to attempts and runs them."""

    def __init__(
        self,
        *,
        pool: Pool,
        rates: RateBook,
        clock: Clock,
        slots: int,
        machine: Surroundings | None = None,
        workplaces: Workplaces | None = None,
        refuses: Callable[[DeviceId], str] = lambda _: "",
    ) -> None:
        """`refuses` tells why nothing new of an origin starts here now; empty: it does."""
        self._pool = pool
        self._rates = rates
        self._clock = clock
        self._slots = Slots(number=slots, rates=rates, clock=clock, machine=machine or NothingKnown())
        self._workplaces = workplaces
        self._refuses = refuses
        self._entries: dict[AttemptKey, _Entry] = {}
        self._waiting: dict[AttemptKey, _Entry] = {}
        """Those of them that have no slot yet."""

        self._simple = Queue(priority=_priority, origin=_origin, age=_age)
        """Those of them that may start, and need nothing but an ordinary slot."""

        self._others: dict[bool, dict[AttemptKey, _Entry]] = {False: {}, True: {}}
        """The others of them that may start, by whether they are accelerated."""

        self._running: dict[AttemptKey, _Entry] = {}
        """Those of them that have one, and are not over."""

        self._in_slots = 0
        """Ordinary slots that are taken."""

        self._unsettled = 0
        """Attempts that are over, and whose end is not on disk yet."""

        self._gathered = asyncio.Event()
        """Not set while ends wait for others."""

        self._gathered.set()
        self._arrivals = 0
        self._closed = False
        self._tasks = TaskSet()
        self._on_load: Callable[[], None] = lambda: None

    def watch(self, on_load: Callable[[], None]) -> None:
        """Call `on_load` when the load changes."""
        self._on_load = on_load

    async def close(self) -> None:
        """Stop everything that runs, and start nothing more."""
        self._closed = True
        self._gathered.set()
        # Whose end has come may tell it still.
        await asyncio.sleep(0)
        await self._tasks.close()

    def take(self, assignment: Assignment, owner: Owner, *, may_start: bool) -> None:
        """Take an attempt; it starts when it may and a slot is free. Where nothing starts, its owner has it back.

        One that is here already is not taken a second time.
        """
        if assignment.key in self._entries:
            return
        if reason := self._refuses(assignment.key.origin):
            owner.returned(assignment.key, reason)
            return
        self._arrivals += 1
        entry = self._entries[assignment.key] = _Entry(assignment, owner, self._arrivals, may_start)
        self._waiting[assignment.key] = entry
        if may_start:
            self._enqueue(entry)
        self._on_load()
        self._dispatch()

    def permit(self, key: AttemptKey) -> None:
        """Let a waiting attempt start."""
        entry = self._entries.get(key)
        if entry is not None and not entry.may_start:
            entry.may_start = True
            if not entry.running:
                self._enqueue(entry)
            self._dispatch()

    def withdraw(self, key: AttemptKey) -> None:
        """Do not let a waiting attempt start until it is permitted again."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.may_start = False
            self._dequeue(entry)

    def has_begun(self, key: AttemptKey) -> bool:
        """Return whether an attempt is here that has begun: its owner will hear of its end."""
        entry = self._entries.get(key)
        return entry is not None and entry.running

    def stop(self, key: AttemptKey) -> None:
        """Stop an attempt; its owner hears of the end only if it has begun."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if entry.running:
            # The entry goes when its worker is gone: until then the slot is taken.
            self._pool.cancel(_pool_name(entry), key.number)
        else:
            self._dequeue(entry)
            del self._entries[key], self._waiting[key]
            self._on_load()

    def shrink(self, key: AttemptKey, keep: float) -> None:
        """Ask an attempt for units; its owner hears which."""
        entry = self._entries.get(key)
        if entry is None:
            return
        if not entry.running or not self._pool.shrink(_pool_name(entry), key.number, keep):
            entry.owner.shrunk(key, None)

    def extend(self, key: AttemptKey, phase: int, start: int, stop: int) -> None:
        """Give an attempt units to compute."""
        entry = self._entries.get(key)
        if entry is not None and entry.running:
            self._pool.extend(_pool_name(entry), key.number, phase, start, stop)

    def join(self, key: AttemptKey, partials: Sequence[PackedPartial]) -> None:
        """Give an attempt the partials that cover what it lacks of a phase."""
        entry = self._entries.get(key)
        if entry is not None and entry.running:
            self._pool.join(_pool_name(entry), key.number, partials)

    # How busy this device is

    def rooms(self, *, accelerated: bool) -> list[Room]:
        """Return what another attempt would find here, on each accelerator that it could use."""
        return self._slots.rooms((e.claim for e in self._entries.values() if not e.is_over), accelerated=accelerated)

    @property
    def busy(self) -> int:
        """Attempts that run now."""
        return len(self._entries) - len(self._waiting) - self._unsettled

    @property
    def queued(self) -> int:
        """Attempts that wait for a slot."""
        return len(self._waiting)

    # Running

    def look_again(self) -> None:
        """Start what has waited for the machine: for free memory, or a GPU."""
        self._dispatch()

    def hand_back(self) -> None:
        """Let go of the waiting attempts that are refused by now; what runs goes on."""
        for entry in list(self._waiting.values()):
            if reason := self._refuses(entry.key.origin):
                self._dequeue(entry)
                del self._entries[entry.key], self._waiting[entry.key]
                entry.owner.returned(entry.key, reason)
        self._on_load()
        self._dispatch()

    def _dispatch(self) -> None:
        if not self._waiting:
            return
        for accelerated in (True, False):
            while self._start_next(accelerated):
                pass

    def _start_next(self, accelerated: bool) -> bool:
        if self._closed or (not accelerated and self._in_slots >= self._slots.number):
            return False
        # A disk that is slow, or full, must not let ever more ends wait for it.
        if self._unsettled >= MAX_UNSETTLED:
            return False
        simple, others = self._simple, self._others[accelerated]
        if not others and (accelerated or not simple):
            return False
        running = Counter(e.key.origin for e in self._running.values() if e.accelerated == accelerated)
        if not others:
            # Nothing but a slot, of which one is free.
            first = simple.next_up(running)
            if first is not None:
                self._start(first, Place(SLOTS))
            return first is not None
        waiting = [*others.values()] if accelerated else [*simple, *others.values()]
        entries = [e for e in self._entries.values() if e.accelerated == accelerated and not e.is_over]
        now = self._slots.round(entry.claim for entry in entries)
        if not now.has_free(accelerated):
            return False
        waiting = [entry for entry in waiting if now.could(entry.claim)]
        for _ in range(PASSED_OVER):
            chosen = next_up(waiting, priority=_priority, origin=_origin, age=_age, running=running)
            if chosen is None:
                return False
            place = now.place(chosen.claim)
            if place is not None:
                self._start(chosen, place)
                return True
            # It is done sooner if it waits for a busy GPU; another may want what is free.
            waiting.remove(chosen)
        return False

    def _enqueue(self, entry: _Entry) -> None:
        if entry.accelerated or entry.claim.needs != NOTHING:
            self._others[entry.accelerated][entry.key] = entry
        else:
            self._simple.put(entry)

    def _dequeue(self, entry: _Entry) -> None:
        self._others[entry.accelerated].pop(entry.key, None)
        self._simple.remove(entry)

    def _start(self, entry: _Entry, place: Place) -> None:
        entry.running = True
        self._dequeue(entry)
        del self._waiting[entry.key]
        self._running[entry.key] = entry
        self._in_slots += not entry.accelerated
        self._slots.begin(entry.claim, place)
        self._tasks.start(f"attempt {entry.key.job}/{entry.key.number}", self._run(entry, place))

    async def _run(self, entry: _Entry, place: Place) -> None:
        try:
            partials = await entry.owner.starting(entry.key)
            if partials is not None:
                entry.is_shared = entry.is_shared or bool(partials)
                outcome = await self._computed(entry, place, partials)
                self._leave_slot(entry)
                await self._gather()
                await self._ended(entry, place, outcome)
        finally:
            if entry.is_over:
                self._unsettled -= 1
            else:
                self._free_slot(entry)
            del self._entries[entry.key]
            self._on_load()
            self._dispatch()

    def _leave_slot(self, entry: _Entry) -> None:
        """Let the next one have the slot; the end of this one is still to be stored."""
        entry.is_over = True
        self._unsettled += 1
        self._free_slot(entry)
        self._dispatch()

    async def _gather(self) -> None:
        """While others wait for a slot, let a moment pass: the disk takes the ends of short ones together."""
        if not self._waiting or self._closed:
            self._gathered.set()
            return
        if self._gathered.is_set():
            self._gathered.clear()
            asyncio.get_running_loop().call_later(GATHER_S, self._gathered.set)
        await self._gathered.wait()

    def _free_slot(self, entry: _Entry) -> None:
        del self._running[entry.key]
        self._in_slots -= not entry.accelerated

    async def _computed(self, entry: _Entry, place: Place, partials: Sequence[PackedPartial]) -> Outcome:
        if self._workplaces is None:
            return await self._run_in_pool(entry, place, partials)
        if not works_with_files(entry.kind):
            outcome = await self._run_in_pool(entry, place, partials, output=self._workplaces.output(entry.key))
            # What has failed, or was stopped, may have had no time to say so.
            may_have_printed = not isinstance(outcome, Succeeded) or outcome.printed
            return await self._workplaces.keep_output(entry.key, outcome) if may_have_printed else outcome
        try:
            inputs = inputs_of(entry.kind, entry.assignment.resolved)
            places = await self._workplaces.open(entry.key, inputs)
        except MeshdError as error:
            return Failed("bad_input", error.in_full)
        outcome = await self._run_in_pool(entry, place, partials, places=places)
        return await self._workplaces.close(entry.key, places, outcome)

    async def _run_in_pool(
        self,
        entry: _Entry,
        place: Place,
        partials: Sequence[PackedPartial],
        *,
        places: Places | None = None,
        output: str = "",
    ) -> Outcome:
        try:
            return await self._pool.run(
                job=_pool_name(entry),
                attempt=entry.key.number,
                kind=entry.kind,
                resolved=entry.assignment.resolved,
                timeout_s=entry.assignment.timeout_s,
                partials=partials,
                part=entry.assignment.part,
                on_progress=lambda report: self._progressed(entry, report),
                on_partial=lambda partial: entry.owner.kept(entry.key, partial),
                on_start=lambda: self._started(entry),
                on_shrunk=lambda part: self._shrunk(entry, part),
                on_waiting=lambda phase, units, missing: entry.owner.waiting(entry.key, phase, units, missing),
                gpu=place.gpu,
                places=places,
                output=output,
            )
        except Exception:
            log.exception("an attempt was not run", extra=_ids(entry))
            return Failed("crashed", "meshd failed over this attempt: the daemon's log says why")

    def _started(self, entry: _Entry) -> None:
        log.debug("attempt started", extra=_ids(entry))
        entry.owner.started(entry.key)
        self._on_load()

    def _shrunk(self, entry: _Entry, part: Part | None) -> None:
        entry.is_shared = entry.is_shared or part is not None
        entry.owner.shrunk(entry.key, part)

    def _progressed(self, entry: _Entry, report: ProgressReport) -> None:
        entry.claim.share = report.share
        now = self._clock.boot()
        if now - entry.told_at >= PROGRESS_S:
            entry.told_at = now
            entry.owner.progressed(entry.key, report)

    async def _ended(self, entry: _Entry, place: Place, outcome: Outcome) -> None:
        log.debug("attempt ended", extra=_ids(entry) | {"how": type(outcome).__name__})
        await entry.owner.ended(entry.key, outcome)
        if isinstance(outcome, Succeeded) and not entry.is_shared:
            try:
                spent_s = entry.claim.computed_s(outcome.duration_s)
                await self._rates.ran(entry.kind.name, entry.assignment.cost, spent_s, place.accelerator)
            except Degraded as error:
                # The next run teaches it as well.
                log.warning("a measured rate was not kept: %s", error.message, extra=_ids(entry))


def _priority(entry: _Entry) -> int:
    return entry.assignment.priority


def _origin(entry: _Entry) -> DeviceId:
    return entry.key.origin


def _age(entry: _Entry) -> int:
    return entry.age


def _ids(entry: _Entry) -> dict[str, object]:
    return {"job": entry.key.job, "attempt": entry.key.number, "origin": entry.key.origin}


def _pool_name(entry: _Entry) -> str:
    return f"{entry.key.job}@{entry.key.origin}"
