"""The lanes of a device: its ordinary slots, all processors together, and each of its GPUs."""

from collections.abc import Awaitable, Callable

from meshd.execution.attendance import Attendant, Idle
from meshd.execution.lane import Lane
from meshd.tasks import TaskSet


class Lanes:
    """Which workers serve what."""

    def __init__(self, *, slots: int, hire: Callable[[str, int], Awaitable[Attendant]], tasks: TaskSet) -> None:
        self._hire = hire
        self._tasks = tasks
        self.plain = Lane(name="plain", limit=slots, hire=hire, tasks=tasks)
        self.processors = Lane(name="accelerated", limit=1, hire=hire, tasks=tasks)
        self._gpus: dict[str, Lane] = {}

    def of(self, *, accelerated: bool, gpu: str | None) -> Lane:
        """Return the lane of an attempt; an accelerated one uses the GPU of this id, or else all processors."""
        if not accelerated:
            return self.plain
        if gpu is None:
            return self.processors
        if gpu not in self._gpus:
            # GPUs come and go with their driver; whichever is asked for gets a worker that sees it and no other.
            name = f"gpu-{len(self._gpus) + 1}"
            self._gpus[gpu] = Lane(name=name, limit=1, hire=self._hire, tasks=self._tasks)
        return self._gpus[gpu]

    def all(self) -> tuple[Lane, ...]:
        """Return every lane that there is."""
        return self.plain, self.processors, *self._gpus.values()

    def named(self, name: str) -> tuple[Lane, str | None]:
        """Return the lane of this name, and the id of its GPU if it is one's."""
        for gpu, lane in self._gpus.items():
            if lane.name == name:
                return lane, gpu
        return (self.processors if name == self.processors.name else self.plain), None

    def staff(self) -> list[Attendant]:
        """Return all workers that have started and are not gone."""
        return [attendant for lane in self.all() for attendant in lane.staff.values()]

    def is_warm(self, *, accelerated: bool, gpu: str | None) -> bool:
        """Return whether a worker waits there, started and with its memory in its hands."""
        lane = self.of(accelerated=accelerated, gpu=gpu)
        return any(isinstance(attendant.state, Idle) for attendant in lane.staff.values())
