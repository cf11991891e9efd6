"""The slots of this device: who is in them, who can have one now, and how long the next one has to wait.

An attempt that takes every core has all processors for itself, or a GPU; whichever would have done with it first.
Nobody starts where its memory is not free: programs of others count, and what has started a moment ago does, too.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from meshd.capability.reading import Gpu, Reading
from meshd.clock import Clock
from meshd.kinds.base import Kind
from meshd.kinds.needs import NOTHING, Needs
from meshd.scheduling.choice import Option, choose
from meshd.scheduling.eligibility import shortage
from meshd.scheduling.queueing import UNKNOWN_S, remaining_s
from meshd.scheduling.rates import KindRate
from meshd.scheduling.snapshot import CPU, SLOTS

START_S = 0.2
"""From nothing to a worker that is ready."""

JAX_START_S = 2.0
"""The same for one that imports JAX and compiles: what the first job of a worker takes longer than the second."""

SETTLED_LOOKS = 2
"""After so many looks at the machine, a reading shows the memory that an attempt has taken."""


class Place(Struct, frozen=True):
    """Where an attempt runs."""

    accelerator: str
    gpu: str | None = None
    """The id of the GPU, where it is one."""


@dataclass(slots=True)
class Claim:
    """An attempt that wants a slot, or has one."""

    kind: Kind
    cost: float | None
    needs: Needs
    share: float = 0.0
    place: Place | None = None
    """Where it runs; None while it waits."""

    since: float = 0.0
    """From when on, on the clock that counts sleep."""

    looks: int = 0
    """How often the machine had been looked at by then."""

    start_s: float = 0.0
    """What its worker took before it computed, where that had to start first."""

    def computed_s(self, duration_s: float) -> float:
        """Return how much of an attempt's time says how fast this device is."""
        return max(duration_s - self.start_s, duration_s / 2)


@dataclass(frozen=True, slots=True)
class Room:
    """What a kind finds on one accelerator of this device."""

    accelerator: str
    slots: int
    free: int
    wait_s: float
    start_s: float
    is_warm: bool


class Rates(Protocol):
    """How fast this device is."""

    def get(self, kind: str, accelerator: str, /) -> KindRate | None:
        """Return the rate of one kind on one accelerator; None: nobody knows."""
        ...


class Surroundings(Protocol):
    """What is known of the machine."""

    @property
    def reading(self) -> Reading:
        """What the newest look at it has shown."""
        ...

    @property
    def looks(self) -> int:
        """How often it was looked at."""
        ...

    def gpus(self) -> Sequence[Gpu]:
        """Return the GPUs that attempts can use."""
        ...

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        """Return whether a worker waits for such an attempt."""
        ...


@dataclass(frozen=True, slots=True)
class NothingKnown:
    """A machine of which nothing is known: no GPUs, and no reason to wait for memory."""

    reading: Reading = field(default_factory=Reading)
    looks: int = 0

    def gpus(self) -> Sequence[Gpu]:
        """Return none."""
        return ()

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        """Return that whoever comes finds a worker."""
        del accelerated, gpu
        return True


class Slots:
    """Gives places to claims; holds none itself."""

    def __init__(self, *, number: int, rates: Rates, clock: Clock, machine: Surroundings) -> None:
        """`number` is how many ordinary slots there are."""
        self.number = number
        self.rates = rates
        self.machine = machine
        self._clock = clock

    def round(self, claims: Iterable[Claim]) -> "Round":
        """Return the slots as they are now, with these claims in them or waiting for them."""
        return Round(self, list(claims), self._clock.boot())

    def rooms(self, claims: Iterable[Claim], *, accelerated: bool) -> list[Room]:
        """Return what another attempt would find here, on each accelerator that it could use."""
        now = self.round(claims)
        for claim in now.waiting(accelerated):
            now.reserve(claim)
        return now.rooms(accelerated)

    def begin(self, claim: Claim, place: Place) -> None:
        """Note that a claim has its place from now on."""
        accelerated = claim.kind.accelerated
        is_warm = not accelerated or self.machine.is_warm(accelerated=accelerated, gpu=place.gpu)
        claim.place, claim.since, claim.looks = place, self._clock.boot(), self.machine.looks
        # Ordinary workers are ready before their attempt begins; JAX is imported by the attempt.
        claim.start_s = 0.0 if is_warm else JAX_START_S


class Round:
    """The slots at one moment, and what is being given away of them."""

    def __init__(self, slots: Slots, claims: list[Claim], now: float) -> None:
        self._slots = slots
        self._claims = claims
        self._now = now
        self._free_at: dict[Place, list[float]] = {}
        self._warm: dict[Place, bool] = {}
        self._rates: dict[tuple[str, str], KindRate | None] = {}
        running = [claim for claim in claims if claim.place is not None]
        for place in (Place(SLOTS), Place(CPU), *(Place(gpu.name, gpu.uuid) for gpu in slots.machine.gpus())):
            left = [self._left_s(claim) for claim in running if claim.place == place]
            size = slots.number if place.accelerator == SLOTS else 1
            self._free_at[place] = [*left, *[0.0] * (size - len(left))]
            heapq.heapify(self._free_at[place])
            self._warm[place] = slots.machine.is_warm(accelerated=place.accelerator != SLOTS, gpu=place.gpu)
        # Who began too lately to be seen to have the memory that it was promised.
        self._fresh = [claim for claim in running if slots.machine.looks - claim.looks < SETTLED_LOOKS]

    def waiting(self, accelerated: bool) -> list[Claim]:
        """Return who waits for such a place."""
        return [claim for claim in self._claims if claim.place is None and claim.kind.accelerated == accelerated]

    def has_free(self, accelerated: bool) -> bool:
        """Return whether any such place is free."""
        return any(self._is_free(place) for place in self._places(accelerated))

    def could(self, claim: Claim) -> bool:
        """Return whether the machine has what a claim needs, on any accelerator."""
        if claim.needs == NOTHING:
            return True
        return any(not option.obstacle for option in self._options(claim))

    def place(self, claim: Claim) -> Place | None:
        """Return where a claim should begin now; None when it should wait, for which its turn is then kept."""
        chosen = choose(claim.cost, self._options(claim))
        if chosen is None:
            return None
        place = Place(chosen.accelerator, chosen.gpu)
        if not chosen.is_free:
            self._reserve(claim, place)
            return None
        return place

    def reserve(self, claim: Claim) -> None:
        """Keep the place for which a claim waits, so that whoever comes later sees it taken."""
        if not claim.kind.accelerated:
            self._reserve(claim, Place(SLOTS))
            return
        options = self._options(claim)
        chosen = choose(claim.cost, options) or options[0]
        self._reserve(claim, Place(chosen.accelerator, chosen.gpu))

    def rooms(self, accelerated: bool) -> list[Room]:
        """Return what an attempt would find, on each accelerator that it could use."""
        found: dict[str, list[Place]] = {}
        for place in self._places(accelerated):
            found.setdefault(place.accelerator, []).append(place)
        rooms: list[Room] = []
        for accelerator, places in found.items():
            first = min(places, key=lambda place: (self._wait_s(place), not self._warm[place]))
            rooms.append(
                Room(
                    accelerator,
                    slots=self._slots.number if accelerator == SLOTS else len(places),
                    free=sum(at <= 0.0 for place in places for at in self._free_at[place]),
                    wait_s=self._wait_s(first),
                    start_s=self._start_s(first),
                    is_warm=self._warm[first],
                )
            )
        return rooms

    def _places(self, accelerated: bool) -> list[Place]:
        return [place for place in self._free_at if (place.accelerator != SLOTS) == accelerated]

    def _options(self, claim: Claim) -> list[Option]:
        return [
            Option(
                place.accelerator,
                self._is_free(place),
                self._wait_s(place),
                self._start_s(place),
                None if (rate := self._rate(claim, place)) is None else rate.rate,
                place.gpu,
                self._obstacle(claim, place),
            )
            for place in self._places(claim.kind.accelerated)
        ]

    def _obstacle(self, claim: Claim, place: Place) -> str:
        # The worker that waits there holds its memory already.
        if claim.needs == NOTHING or self._warm[place]:
            return ""
        reading = self._slots.machine.reading
        promised = sum(fresh.needs.memory_bytes for fresh in self._fresh)
        free_bytes = None if reading.free_bytes is None else reading.free_bytes - promised
        obstacle = shortage(claim.needs.memory_bytes, free_bytes, "memory")
        gpu = None if place.gpu is None else reading.gpu(place.gpu)
        if not obstacle and gpu is not None and gpu.free_bytes is not None:
            promised = sum(fresh.needs.gpu_memory_bytes for fresh in self._fresh if fresh.place == place)
            obstacle = shortage(claim.needs.gpu_memory_bytes, gpu.free_bytes - promised, f"{gpu.name}'s memory")
        return obstacle

    def _is_free(self, place: Place) -> bool:
        return self._free_at[place][0] <= 0.0

    def _wait_s(self, place: Place) -> float:
        return max(0.0, self._free_at[place][0])

    def _start_s(self, place: Place) -> float:
        if self._warm[place] or not self._is_free(place):
            # Whoever runs there now leaves a warm worker.
            return 0.0
        return START_S if place.accelerator == SLOTS else JAX_START_S

    def _reserve(self, claim: Claim, place: Place) -> None:
        free_at = self._free_at[place]
        heapq.heapreplace(free_at, max(0.0, free_at[0]) + self._takes_s(claim, place))

    def _takes_s(self, claim: Claim, place: Place) -> float:
        rate = self._rate(claim, place)
        return UNKNOWN_S if claim.cost is None or rate is None else claim.cost / rate.rate

    def _rate(self, claim: Claim, place: Place) -> KindRate | None:
        sort = (claim.kind.name, place.accelerator)
        if sort not in self._rates:
            self._rates[sort] = self._slots.rates.get(*sort)
        return self._rates[sort]

    def _left_s(self, claim: Claim) -> float:
        place = claim.place or Place(SLOTS)
        rate = self._rate(claim, place)
        expected_s = None if claim.cost is None or rate is None else claim.cost / rate.rate
        # Somebody is in it until it says otherwise, however late it is.
        return max(remaining_s(expected_s, self._now - claim.since, claim.share), 1e-3)
