"""A mesh in simulated time: devices with real slots and a real order, and an origin that sees them a moment late."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from meshd.capability.reading import Gpu, Reading
from meshd.jobs.slots import JAX_START_S, Claim, Place, Room, Slots
from meshd.kinds.needs import Needs
from meshd.scheduling.order import next_up
from meshd.scheduling.planning import Coming
from meshd.scheduling.rates import KindRate
from meshd.scheduling.snapshot import CPU, SLOTS, DeviceSnapshot, KindSnapshot
from meshd_protocol.ids import DeviceId
from tests.bench.placement.mixes import Computer, Job
from tests.support.desk import PlainKind
from tests.support.manual_clock import ManualClock

TELL_S = 0.2
"""Load is told so often at most."""

RTT_S = 0.002

KINDS = {
    "lineups": PlainKind(name="lineups", accelerated=True),
    "command": PlainKind(name="command"),
    "echo": PlainKind(name="echo"),
}


@dataclass(frozen=True, slots=True)
class KnownRates:
    """The rates of a computer, as far as anybody can know them: those of commands nobody does."""

    computer: Computer
    error: float
    """By how much a calibration is off."""

    def get(self, kind: str, accelerator: str = SLOTS, /) -> KindRate | None:
        if kind == "lineups":
            return KindRate(self.computer.lineups[accelerator] * self.error, "measured", 9)
        return KindRate(1.0, "measured", 9) if kind == "echo" else None


@dataclass(slots=True)
class Machine:
    """See `meshd.jobs.slots.Surroundings`."""

    computer: Computer
    warm: set[str] = field(default_factory=lambda: {SLOTS})
    reading: Reading = field(default_factory=Reading)
    looks: int = 0

    def gpus(self) -> list[Gpu]:
        return [Gpu(uuid="GPU-1", name=name) for name in self.computer.lineups if name != CPU]

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        return (SLOTS if not accelerated else "GPU" if gpu is not None else CPU) in self.warm


@dataclass(slots=True, eq=False)
class Attempt:
    """A job on a device."""

    job: Job
    claim: Claim
    age: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went."""

    makespan_s: float
    mean_wait_s: float
    mean_done_s: float
    """From the coming of a job to its end."""


class Executor:
    """One device: it starts what it was given in the order in which the real one does."""

    def __init__(self, world: "World", computer: Computer, error: float) -> None:
        self.device = DeviceId(computer.name)
        self.computer = computer
        self._world = world
        self._machine = Machine(computer)
        self.slots = Slots(
            number=computer.slots, rates=KnownRates(computer, error), clock=world.clock, machine=self._machine
        )
        self._attempts: list[Attempt] = []
        self._ages = itertools.count()
        self.told = self.look()
        self.coming: dict[int, Coming] = {}
        """What was sent here, and is not in what it has told."""

        self._untold: set[int] = set()
        self._tells_at = 0.0
        self._tells = False

    def look(self) -> dict[bool, list[Room]]:
        claims = [attempt.claim for attempt in self._attempts]
        return {accelerated: self.slots.rooms(claims, accelerated=accelerated) for accelerated in (False, True)}

    def take(self, job: Job) -> None:
        kind = KINDS[job.kind]
        self._untold.add(job.number)
        self._attempts.append(Attempt(job, Claim(kind, job.cost, Needs()), next(self._ages)))
        self._dispatch()

    def _dispatch(self) -> None:
        for accelerated in (True, False):
            while self._start_next(accelerated):
                pass
        self._tell_soon()

    def _start_next(self, accelerated: bool) -> bool:
        mine = [attempt for attempt in self._attempts if attempt.claim.kind.accelerated == accelerated]
        waiting = [attempt for attempt in mine if attempt.claim.place is None]
        places = len(self.computer.lineups) if accelerated else self.computer.slots
        if not waiting or len(mine) - len(waiting) >= places:
            return False
        now = self.slots.round(attempt.claim for attempt in mine)
        while waiting and now.has_free(accelerated):
            chosen = next_up(
                waiting,
                priority=lambda _: 0,
                origin=lambda _: DeviceId("laptop"),
                age=lambda attempt: attempt.age,
                running={},
            )
            if chosen is None:
                return False
            place = now.place(chosen.claim)
            if place is not None:
                self._start(chosen, place)
                return True
            waiting.remove(chosen)
        return False

    def _start(self, attempt: Attempt, place: Place) -> None:
        self.slots.begin(attempt.claim, place)
        self._world.started(attempt.job)
        cold_s = 0.0 if place.accelerator in self._machine.warm else JAX_START_S
        self._machine.warm.add(place.accelerator)
        takes_s = self.computer.takes_s(attempt.job, place.accelerator) * self._world.noise()
        self._world.after(cold_s + takes_s, lambda: self._end(attempt))

    def _end(self, attempt: Attempt) -> None:
        self._attempts.remove(attempt)
        self._world.ended(attempt.job)
        self._dispatch()

    def _tell_soon(self) -> None:
        """Tell of the load: at once, if the last telling is long enough ago."""
        if self._world.policy.looks and not self._tells:
            self._tells = True
            self._world.after(max(0.0, self._tells_at - self._world.clock.boot()), self._tell)

    def _tell(self) -> None:
        self._tells, self._tells_at = False, self._world.clock.boot() + TELL_S
        rooms, counted = self.look(), self._untold
        self._untold = set()

        def heard() -> None:
            self.told = rooms
            for number in counted:
                self.coming.pop(number, None)
            self._world.wake()

        self._world.after(RTT_S / 2, heard)


class Policy(Protocol):
    """Decides where jobs go, and when."""

    @property
    def looks(self) -> bool:
        """Whether it wants to know how busy devices are."""
        ...

    def place(self, waiting: list[Job], world: "World") -> list[tuple[Job, Executor]]:
        """Return which of the waiting jobs, in the order of their coming, go where now."""
        ...


class World:
    """Devices, one origin, and time."""

    def __init__(self, mesh: list[Computer], work: list[Job], policy: Policy, seed: int) -> None:
        self.clock = ManualClock(boot=0.0)
        self._rng = Random(seed)  # noqa: S311 - no secret
        self.policy = policy
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._waiting: list[Job] = []
        self._started: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        self._is_placing = False
        self._jobs = work
        self.executors = [Executor(self, computer, self._rng.uniform(0.85, 1.15)) for computer in mesh]
        for job in work:
            self._at(job.arrives_at, lambda job=job: self._arrive(job))

    def run(self) -> Outcome:
        """Live until everything is done."""
        while self._events:
            at, _, event = heapq.heappop(self._events)
            self.clock.advance(at - self.clock.boot())
            event()
        waits = [self._started[job.number] - job.arrives_at for job in self._jobs]
        spans = [self._ended[job.number] - job.arrives_at for job in self._jobs]
        return Outcome(max(self._ended.values()), sum(waits) / len(waits), sum(spans) / len(spans))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen later."""
        self._at(self.clock.boot() + seconds, event)

    def noise(self) -> float:
        """Return by what factor an attempt takes longer than it should."""
        return self._rng.lognormvariate(0.0, 0.1)

    def started(self, job: Job) -> None:
        self._started[job.number] = self.clock.boot()

    def ended(self, job: Job) -> None:
        self._ended[job.number] = self.clock.boot()
        if self.policy.looks:
            self.wake()

    def wake(self) -> None:
        """Let the origin look again."""
        if not self._is_placing:
            self._is_placing = True
            self.after(0.0, self._place)

    def snapshot(self, executor: Executor) -> DeviceSnapshot:
        """Return a device as the origin sees it: itself as it is, others as they told."""
        is_local = executor is self.executors[0]
        rooms = executor.look() if is_local else executor.told
        kinds: dict[str, KindSnapshot] = {}
        for name, kind in KINDS.items():
            options = [self._option(executor, name, room) for room in rooms[kind.accelerated]]
            first, *also = sorted(options, key=lambda each: -(each.rate or 0.0))
            kinds[name] = KindSnapshot(
                first.free,
                first.wait_s,
                first.rate,
                first.accelerator,
                first.slots,
                first.start_s,
                first.is_warm,
                also=tuple(also),
            )
        return DeviceSnapshot(executor.device, executor.computer.name, is_local, True, kinds, rtt_s=RTT_S)

    def _option(self, executor: Executor, kind: str, room: Room) -> KindSnapshot:
        rate = executor.slots.rates.get(kind, room.accelerator)
        return KindSnapshot(
            room.free,
            room.wait_s,
            None if rate is None else rate.rate,
            room.accelerator,
            room.slots,
            room.start_s,
            room.is_warm,
        )

    def _at(self, at: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), event))

    def _arrive(self, job: Job) -> None:
        self._waiting.append(job)
        self.wake()

    def _place(self) -> None:
        self._is_placing = False
        for job, executor in self.policy.place(list(self._waiting), self):
            self._waiting.remove(job)
            way_s = 0.0 if executor is self.executors[0] else 1.5 * RTT_S
            self.after(way_s, lambda executor=executor, job=job: executor.take(job))
