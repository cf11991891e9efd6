"""Decisions for many jobs at once: each counts on those before it, those that wait for a busy device included.

Without this, every waiting job would see the fast device as it is now, and all would queue for it while others idle.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from meshd.scheduling.placement import Decision, Wait, decide, takes_more
from meshd.scheduling.queueing import UNKNOWN_S
from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd.scheduling.work import LOCAL, POLICIES, Work
from meshd_protocol.ids import DeviceId

LOOKAHEAD = 60
"""Jobs of one sort that may wait for a busy device before the rest is not looked at: a device that is so many times as
slow as that one would add less than 2% to what is done."""


@dataclass(slots=True)
class _Group:
    """Jobs of one kind and placement: what is true of the first that waits is mostly true of the rest."""

    waiting: int = 0
    closed: Wait | None = None


class Coming(Struct, frozen=True):
    """An attempt that was sent to a device, which has not told of it yet."""

    device: DeviceId
    accelerator: str
    takes_s: float
    kind: str = ""


def plan(works: Iterable[Work], mesh: MeshSnapshot, coming: Iterable[Coming] = ()) -> list[Decision]:
    """Return a decision for each of `works`, which come in the order of their right to be first.

    The snapshot does not count what is `coming`.
    """
    agreed = Plan(mesh, coming)
    return [agreed.decide(work) for work in works]


class Plan:
    """What is agreed on so far, for jobs that come in the order of their right to be first."""

    def __init__(self, mesh: MeshSnapshot, coming: Iterable[Coming] = ()) -> None:
        """The snapshot does not count what is `coming`."""
        self._agenda = _Agenda(mesh)
        for sent in coming:
            self._agenda.take(sent)
        self._groups: dict[tuple[object, ...], _Group] = {}

    def decide(self, work: Work) -> Decision:
        """Return the decision for the next job, and count on it from now on."""
        group = self._groups.setdefault(_sort_of(work), _Group())
        if group.closed is not None:
            return group.closed
        decision = decide(work, self._agenda.mesh)
        if decision.device is not None and decision.where is not None:
            self._agenda.take(Coming(decision.device, decision.where.accelerator, takes_s(work, decision.where)))
        if isinstance(decision, Wait):
            group.waiting += 1
            if decision.device is None or group.waiting >= LOOKAHEAD or not self._agenda.has_room(work):
                group.closed = decision
        return decision

    def is_closed(self, work: Work) -> bool:
        """Return whether all that are like this one wait, too, whoever they are."""
        group = self._groups.get(_sort_of(work))
        return group is not None and group.closed is not None


def takes_s(work: Work, where: KindSnapshot) -> float:
    """Return for how long an attempt has a slot there."""
    computes_s = UNKNOWN_S if work.cost is None or where.rate is None else work.cost / where.rate
    return where.start_s + computes_s


def _sort_of(work: Work) -> tuple[object, ...]:
    # What has lost devices, or needs much memory, is not like any other.
    needs = (work.memory_bytes, work.gpu_memory_bytes)
    return work.kind, work.placement, needs, frozenset(work.avoid), work.may_fall_back


class _Agenda:
    """The mesh as it will be once what was decided so far has been done."""

    def __init__(self, mesh: MeshSnapshot) -> None:
        self._mesh = mesh
        self._free_at: dict[tuple[DeviceId, str], list[float]] = {}
        self._taken: set[tuple[DeviceId, str]] = set()
        """What the mesh does not show yet."""

    @property
    def mesh(self) -> MeshSnapshot:
        """The devices, with all that was taken of them."""
        for device, accelerator in self._taken:
            slots = self._free_at[device, accelerator]
            free = sum(at <= 0.0 for at in slots)
            self._mesh = MeshSnapshot(
                tuple(
                    _with(each, accelerator, free, slots[0]) if each.device == device else each
                    for each in self._mesh.devices
                )
            )
        self._taken.clear()
        return self._mesh

    def has_room(self, work: Work) -> bool:
        """Return whether any device that could be chosen for such jobs still takes one now."""
        return any(takes_more(device, each) for device in self._choice(work) for each in device.options(work.kind))

    def _choice(self, work: Work) -> Sequence[DeviceSnapshot]:
        if work.placement == LOCAL:
            return (self.mesh.local,)
        named = () if work.placement in POLICIES or work.may_fall_back else self.mesh.called(work.placement)
        return named or self.mesh.devices

    def take(self, coming: Coming) -> None:
        """Note that an attempt gets the next slot there."""
        slots = self._slots(coming.device, coming.accelerator)
        if not slots:
            return
        heapq.heapreplace(slots, slots[0] + coming.takes_s)
        self._taken.add((coming.device, coming.accelerator))

    def _slots(self, device: DeviceId, accelerator: str) -> list[float]:
        """Return when each slot of an accelerator is free; nothing for one that the device no longer has."""
        key = (device, accelerator)
        if key not in self._free_at:
            here = next((each for each in self._mesh.devices if each.device == device), None)
            kinds = () if here is None else here.kinds.values()
            found = [each for kind in kinds for each in kind.options if each.accelerator == accelerator]
            # Kinds share their slots; one of short jobs may be sent more than there are.
            self._free_at[key] = _free_at(max(found, key=lambda each: each.free)) if found else []
        return self._free_at[key]


def _free_at(where: KindSnapshot) -> list[float]:
    """Return when each slot is free, as far as a snapshot tells: some now, the others not before its wait."""
    busy = max(where.slots - where.free, 0 if where.free else 1)
    # Without a wait, it does not say when the next one is.
    slots = [0.0] * where.free + [where.wait_s or UNKNOWN_S] * busy
    heapq.heapify(slots)
    return slots


def _with(device: DeviceSnapshot, accelerator: str, free: int, wait_s: float) -> DeviceSnapshot:
    def updated(where: KindSnapshot) -> KindSnapshot:
        also = tuple([updated(each) for each in where.also]) if where.also else ()
        if where.accelerator == accelerator:
            return replace(where, free=min(free, where.free), wait_s=wait_s, also=also)
        return replace(where, also=also) if also else where

    return replace(device, kinds={kind: updated(where) for kind, where in device.kinds.items()})
