"""What this device says of itself: what it can do, how fast, and how busy it is."""

import platform
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from meshd import __version__
from meshd.jobs.executor import Executor
from meshd.jobs.ratebook import RateBook
from meshd.jobs.slots import Room, Surroundings
from meshd.kinds.base import Kind
from meshd.scheduling.snapshot import CPU
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import MAX_GPUS, MAX_KIND_LINES, MAX_REASON
from meshd_protocol.messages import status as wire


class Readiness(Protocol):
    """Whether this device takes jobs."""

    @property
    def is_paused(self) -> bool:
        """Whether nothing new may start here."""
        ...

    @property
    def reluctance(self) -> str:
        """Why the jobs of others are not taken; empty: they are."""
        ...


class AlwaysReady:
    """A device that takes all jobs at all times."""

    is_paused = False
    reluctance = ""


def everything_permitted(peer: DeviceId, kind: str) -> bool:
    """Return that a peer may have any kind of job done here."""
    del peer, kind
    return True


class Introduction:
    """Puts together the status of this device, as each peer may know it."""

    def __init__(
        self,
        *,
        name: str,
        kinds: Sequence[Kind],
        executor: Executor,
        rates: RateBook,
        slots: int,
        machine: Surroundings,
        readiness: Readiness,
        may: Callable[[DeviceId, str], bool],
    ) -> None:
        self._name = name
        self._kinds = kinds
        self._executor = executor
        self._rates = rates
        self._slots = slots
        self._machine = machine
        self._readiness = readiness
        self._may = may
        self._platform = f"{platform.system()} {platform.machine()}"

    def status(self, only: str | None = None) -> wire.Status:
        """Return what this device says of itself to its own user, of all kinds, or of one `only`."""
        kinds = [kind for kind in self._kinds if only in (None, kind.name)]
        rooms = {sort: self._executor.rooms(accelerated=sort) for sort in {kind.accelerated for kind in kinds}}
        lines = [self._line(kind, room) for kind in kinds for room in rooms[kind.accelerated]]
        reading, battery = self._machine.reading, self._machine.reading.battery
        usable = [gpu.uuid for gpu in self._machine.gpus()]
        platforms = [CPU] if any(kind.accelerated for kind in self._kinds) else []
        return wire.Status(
            name=self._name,
            version=__version__,
            platform=self._platform,
            kinds=lines[:MAX_KIND_LINES],
            slots=self._slots,
            busy=self._executor.busy,
            queued=self._executor.queued,
            paused=self._readiness.is_paused,
            reluctance=self._readiness.reluctance[:MAX_REASON],
            cores=reading.cores,
            memory_bytes=reading.memory_bytes,
            free_bytes=reading.free_bytes,
            cpu=reading.cpu,
            battery=None if battery is None else battery.share,
            plugged=battery is None or battery.plugged,
            gpus=tuple(
                wire.GpuStatus(
                    uuid=gpu.uuid[:64],
                    name=gpu.name,
                    compute=gpu.compute[:16],
                    memory_bytes=gpu.memory_bytes,
                    free_bytes=gpu.free_bytes,
                    busy=gpu.busy,
                    usable=gpu.uuid in usable,
                )
                for gpu in reading.gpus[:MAX_GPUS]
            ),
            platforms=(*platforms, *(["gpu"] if usable else [])),
        )

    def to(self, peer: DeviceId, status: wire.Status) -> wire.Status:
        """Return `status` as a peer may know it: with what it may have done here."""
        lines = [
            msgspec.structs.replace(line, permitted=False) if not self._may(peer, line.kind) else line
            for line in status.kinds
        ]
        return msgspec.structs.replace(status, kinds=lines)

    def _line(self, kind: Kind, room: Room) -> wire.KindStatus:
        rate = self._rates.get(kind.name, room.accelerator)
        return wire.KindStatus(
            kind=kind.name,
            free=room.free,
            wait_s=room.wait_s,
            rate=None if rate is None else rate.rate,
            source="" if rate is None else rate.source,
            accelerator=room.accelerator,
            slots=room.slots,
            start_s=room.start_s,
            warm=room.is_warm,
        )
