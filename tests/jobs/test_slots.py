"""Slots: ordinary ones, all processors together, and each GPU; nobody starts where its memory is not free."""

from dataclasses import dataclass, field

import pytest

from meshd.capability.reading import Gpu, Reading
from meshd.jobs.slots import JAX_START_S, START_S, Claim, Place, Room, Slots
from meshd.kinds.needs import JAX, Needs, needs_of
from meshd.scheduling.queueing import UNKNOWN_S
from meshd.scheduling.rates import KindRate
from tests.support.desk import PlainKind
from tests.support.manual_clock import ManualClock
from tests.support.manual_machine import GIB, a_gpu, a_machine

PLAIN, HEAVY = PlainKind(), PlainKind(name="heavy", accelerated=True)
CPU, FIRST, SECOND = Place("cpu"), Place("GPU A", "GPU-00000001"), Place("GPU A", "GPU-00000002")


@dataclass
class Machine:
    reading: Reading = field(default_factory=a_machine)
    looks: int = 5
    warm: bool = False
    usable: tuple[Gpu, ...] = ()

    def gpus(self) -> tuple[Gpu, ...]:
        return self.usable

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        return self.warm


class Rates:
    """A GPU is a hundred times as fast as the processors; what is plain takes its cost in seconds."""

    def __init__(self, **changes: float | None) -> None:
        self._rates: dict[str, float | None] = {"": 1.0, "cpu": 1e9, "GPU A": 100e9} | changes

    def get(self, kind: str, accelerator: str, /) -> KindRate | None:
        rate = self._rates[accelerator]
        return None if rate is None else KindRate(rate, "measured")


class Bench:
    """Slots, and the claims on them."""

    def __init__(self, machine: Machine | None = None, *, number: int = 2, rates: Rates | None = None) -> None:
        self.clock = ManualClock()
        self.machine = machine or Machine()
        self.slots = Slots(number=number, rates=rates or Rates(), clock=self.clock, machine=self.machine)
        self.claims: list[Claim] = []

    def claim(self, kind: PlainKind, cost: float | None = None, needs: Needs | None = None) -> Claim:
        claim = Claim(kind, cost, Needs() if needs is None else needs)
        self.claims.append(claim)
        return claim

    def try_to_begin(self, claim: Claim) -> Place | None:
        now = self.slots.round(self.claims)
        place = now.place(claim) if now.has_free(claim.kind.accelerated) and now.could(claim) else None
        if place is not None:
            self.slots.begin(claim, place)
        return place

    def room(self, accelerator: str) -> Room:
        rooms = self.slots.rooms(self.claims, accelerated=accelerator != "")
        return next(room for room in rooms if room.accelerator == accelerator)


def with_gpus(*gpus: Gpu, **changes: object) -> Machine:
    return Machine(reading=a_machine(*gpus), usable=gpus, **changes)  # pyright: ignore[reportArgumentType]


def test_ordinary_attempts_share_the_slots_and_the_next_one_waits() -> None:
    bench = Bench()
    assert bench.room("") == Room("", slots=2, free=2, wait_s=0.0, start_s=START_S, is_warm=False)
    assert [bench.try_to_begin(bench.claim(PLAIN, 10.0)) for _ in range(3)] == [Place(""), Place(""), None]
    bench.claims.pop()
    bench.clock.advance(4.0)
    assert (bench.room("").free, bench.room("").wait_s) == (0, 6.0)


def test_those_who_wait_make_the_wait_longer() -> None:
    bench = Bench(number=1)
    bench.try_to_begin(bench.claim(PLAIN, 10.0))
    bench.claim(PLAIN, 3.0)
    bench.claim(PLAIN, None)
    assert bench.room("").wait_s == 10.0 + 3.0 + UNKNOWN_S


def test_what_reports_progress_is_waited_for_by_that() -> None:
    bench = Bench(number=1)
    claim = bench.claim(PLAIN, None)
    bench.try_to_begin(claim)
    bench.clock.advance(30.0)
    claim.share = 0.75
    assert bench.room("").wait_s == pytest.approx(10.0)


def test_all_processors_are_one_slot_beside_the_ordinary_ones() -> None:
    bench = Bench()
    assert [bench.try_to_begin(bench.claim(HEAVY, 1e9)) for _ in range(2)] == [CPU, None]
    assert bench.try_to_begin(bench.claim(PLAIN)) == Place("")


def test_every_gpu_is_a_slot_of_its_own() -> None:
    bench = Bench(with_gpus(a_gpu(1), a_gpu(2), warm=True))
    room = bench.room("GPU A")
    assert (room.slots, room.free) == (2, 2)
    places = [bench.try_to_begin(bench.claim(HEAVY, 1000e9)) for _ in range(3)]
    assert places == [FIRST, SECOND, None]
    assert bench.room("GPU A").free == 0
    # The one that waits would be done first on a GPU: what is left of the processors is for others.
    assert bench.room("cpu").free == 1


def test_a_short_attempt_does_not_wait_for_a_busy_gpu_nor_starts_a_cold_one() -> None:
    bench = Bench(with_gpus(a_gpu(1), warm=True))
    bench.try_to_begin(bench.claim(HEAVY, 1000e9))
    assert bench.try_to_begin(bench.claim(HEAVY, 2e9)) == CPU


def test_those_who_wait_for_a_gpu_count_for_those_behind_them() -> None:
    # 10 s on the GPU, 20 s on the processors: one waits 5 s for the GPU, the next one would wait for 15.
    bench = Bench(with_gpus(a_gpu(1), warm=True), rates=Rates(**{"GPU A": 2e9}))
    bench.try_to_begin(bench.claim(HEAVY, 10e9))
    now = bench.slots.round(bench.claims)
    assert [now.place(bench.claim(HEAVY, 20e9)) for _ in range(2)] == [None, CPU]


def test_a_gpu_of_which_nobody_knows_how_fast_it_is_is_tried() -> None:
    bench = Bench(with_gpus(a_gpu(1)), rates=Rates(**{"GPU A": None}))
    assert bench.try_to_begin(bench.claim(HEAVY, 1e9)) == FIRST


def test_nobody_starts_without_free_memory_whoever_uses_it() -> None:
    bench = Bench(Machine(reading=a_machine(free_gib=0.5)))
    claim = bench.claim(HEAVY, 1e9, Needs(memory_bytes=GIB))
    assert bench.try_to_begin(claim) is None
    bench.machine.reading = a_machine(free_gib=2)
    assert bench.try_to_begin(claim) == CPU


def test_a_gpu_whose_memory_others_use_is_left_to_them() -> None:
    needs = Needs(gpu_memory_bytes=GIB)
    bench = Bench(with_gpus(a_gpu(1, free_gib=0.5), a_gpu(2, free_gib=2), warm=False))
    assert bench.try_to_begin(bench.claim(HEAVY, 1000e9, needs)) == SECOND
    bench = Bench(with_gpus(a_gpu(1, free_gib=0.5)))
    assert bench.try_to_begin(bench.claim(HEAVY, 1000e9, needs)) == CPU


def test_a_warm_worker_has_its_memory_already() -> None:
    bench = Bench(Machine(reading=a_machine(free_gib=0.1), warm=True))
    assert bench.try_to_begin(bench.claim(HEAVY, 1e9, Needs(memory_bytes=GIB))) == CPU


def test_memory_that_was_promised_a_moment_ago_is_not_promised_twice() -> None:
    bench = Bench(Machine(reading=a_machine(free_gib=1.5)))
    needs = Needs(memory_bytes=GIB)
    assert bench.try_to_begin(bench.claim(PLAIN, 10.0, needs)) == Place("")
    second = bench.claim(PLAIN, 10.0, needs)
    assert bench.try_to_begin(second) is None
    # Two looks later it shows what the first one really took.
    bench.machine.looks += 2
    assert bench.try_to_begin(second) == Place("")


def test_a_cold_start_is_told_and_not_taken_for_slowness() -> None:
    bench = Bench(with_gpus(a_gpu(1)))
    assert bench.room("GPU A").start_s == JAX_START_S
    claim = bench.claim(HEAVY, 1000e9)
    bench.try_to_begin(claim)
    assert claim.computed_s(12.0) == 12.0 - JAX_START_S
    assert claim.computed_s(JAX_START_S) == JAX_START_S / 2
    # Whoever comes next finds a worker.
    assert bench.room("GPU A").start_s == 0.0
    bench.machine.warm = True
    warm = bench.claim(HEAVY, 1e9)
    bench.slots.begin(warm, CPU)
    assert warm.computed_s(12.0) == 12.0


def test_a_kind_says_what_it_needs_or_is_taken_for_what_its_sort_needs() -> None:
    class Demanding(PlainKind):
        needs = Needs(memory_bytes=5)

    assert needs_of(PLAIN) == Needs()
    assert needs_of(HEAVY) == JAX
    assert needs_of(Demanding()) == Needs(memory_bytes=5)
