"""Workers of one sort, and those who wait for one of them."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from meshd.errors import Degraded
from meshd.execution.attendance import Attendant, Gone, Idle
from meshd.tasks import TaskSet

log = logging.getLogger(__name__)


class Lane:
    """At most `limit` workers; who comes first is served first.

    A worker is started when somebody has to wait and there is room for one more; it belongs to whoever is first
    in the queue when it is ready, not to whoever caused it.
    """

    def __init__(
        self, *, name: str, limit: int, hire: Callable[[str, int], Awaitable[Attendant]], tasks: TaskSet
    ) -> None:
        self.name = name
        self.limit = limit
        self._hire = hire
        self._tasks = tasks
        self._idle: list[Attendant] = []
        self._free_numbers = set(range(1, limit + 1))
        self._numbers: dict[str, int] = {}
        self._starting = 0
        self._closed = False
        self._waiting: deque[asyncio.Future[Attendant]] = deque()
        self.staff: dict[str, Attendant] = {}
        """All workers that have started and are not gone, by name."""

    @property
    def waiting(self) -> int:
        """Return how many wait for a worker."""
        return sum(not turn.done() for turn in self._waiting)

    def ask(self) -> asyncio.Future[Attendant]:
        """Return the promise of an idle worker; cancel it to leave the queue. It raises `Degraded` when none starts."""
        turn: asyncio.Future[Attendant] = asyncio.get_running_loop().create_future()
        while self._idle and not turn.done():
            # The one that worked last: its memory is warm, and the others get old enough to retire.
            attendant = self._idle.pop()
            if isinstance(attendant.state, Idle):
                turn.set_result(attendant)
        if not turn.done():
            self._waiting.append(turn)
            self._start_more()
        return turn

    def offer(self, attendant: Attendant) -> None:
        """Give an idle worker to whoever waits, or keep it warm."""
        if not isinstance(attendant.state, Idle):
            return
        if self._closed:
            attendant.retire()
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(attendant)
                return
        self._idle.append(attendant)

    def lost(self, attendant: Attendant) -> None:
        """Take note that a worker is gone: there is room for another."""
        if self.staff.pop(attendant.name, None) is None:
            return
        if attendant in self._idle:
            self._idle.remove(attendant)
        self._free_numbers.add(self._numbers.pop(attendant.name))
        self._start_more()

    def refill(self) -> None:
        """Start a worker for whoever comes next, where the last one is gone."""
        if not (self._closed or self.staff or self._starting):
            self._start_another()

    def close(self) -> None:
        """Send away whoever waits, and every worker that becomes idle."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().cancel()

    def number(self, attendant: Attendant) -> int:
        """Return which of the lane's workers this is, from 1."""
        return self._numbers[attendant.name]

    def _start_more(self) -> None:
        while self._free_numbers and self._starting < self.waiting:
            self._start_another()

    def _start_another(self) -> None:
        number = min(self._free_numbers)
        self._free_numbers.remove(number)
        self._starting += 1
        self._tasks.start(f"start {self.name}-{number}", self._start(number))

    async def _start(self, number: int) -> None:
        await self._start_one(number)
        # Others may wait still: for those of whom this start was one too few, or failed.
        self._start_more()

    async def _start_one(self, number: int) -> None:
        try:
            attendant = await self._hire(self.name, number)
        except Exception as error:
            if not isinstance(error, Degraded):
                log.exception("a worker could not be started")
            self._free_numbers.add(number)
            self._refuse(error if isinstance(error, Degraded) else Degraded(f"no worker can be started: {error!r}"))
            return
        finally:
            self._starting -= 1
        self.staff[attendant.name] = attendant
        self._numbers[attendant.name] = number
        if isinstance(attendant.state, Gone):
            self.lost(attendant)
        else:
            self.offer(attendant)

    def _refuse(self, error: Degraded) -> None:
        """Tell the first in the queue that there will be no worker."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(error)
                return
