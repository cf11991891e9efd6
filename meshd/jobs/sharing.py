"""What this device computes of a peer's job while others compute the rest: units go back to the origin, and come."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from meshd.errors import MeshdError
from meshd.jobs.checkpoints import Checkpoints, blob_of
from meshd.jobs.executor import AttemptKey, Executor
from meshd.jobs.parts import to_wire
from meshd.jobs.resumption import Exchange
from meshd.kinds.base import Part
from meshd.net.streams import Streams
from meshd.tasks import TaskSet
from meshd_protocol.messages import jobs as wire

log = logging.getLogger(__name__)


class Sharing:
    """Answers the origins of the attempts that this device holds."""

    def __init__(
        self,
        *,
        executor: Executor,
        streams: Streams,
        checkpoints: Checkpoints,
        exchange: Exchange,
        tasks: TaskSet,
        holds: Callable[[AttemptKey], bool],
    ) -> None:
        self._executor = executor
        self._streams = streams
        self._checkpoints = checkpoints
        self._exchange = exchange
        self._tasks = tasks
        self._holds = holds
        self._joining: set[AttemptKey] = set()

    def hear(self, key: AttemptKey, message: wire.Shrink | wire.Extend | wire.Joined) -> None:
        """Take what the origin of an attempt says about its units; of one that is not held here it means nothing."""
        if not self._holds(key):
            return
        match message:
            case wire.Shrink(keep=keep):
                self._executor.shrink(key, keep)
            case wire.Extend(phase=phase, start=start, stop=stop):
                self._executor.extend(key, phase, start, stop)
            case wire.Joined(partials=refs):
                # Told every second while it is waited for: fetching takes its time.
                if key not in self._joining:
                    self._joining.add(key)
                    self._tasks.start(f"join {key.job}", self._join(key, refs))

    async def _join(self, key: AttemptKey, refs: Sequence[wire.PartialRef]) -> None:
        self._checkpoints.pin(refs)
        try:
            coming = (self._exchange.fetch(key.origin, blob_of(ref)) for ref in refs)
            # When one fails, the others are waited for all the same: what comes after the release would stay.
            for failed in filter(None, await asyncio.gather(*coming, return_exceptions=True)):
                raise failed
            found = await self._checkpoints.read(refs)
            if found and self._holds(key):
                self._executor.join(key, found)
        except MeshdError as error:
            log.info("what others have computed did not arrive: %s", error.message, extra={"job": key.job})
        finally:
            self._joining.discard(key)
            self._checkpoints.release(refs)

    def shrunk(self, key: AttemptKey, part: Part | None) -> None:
        """Tell the origin which units are its again; durable, because nobody computes them meanwhile."""
        message = wire.Shrunk(job=key.job, attempt=key.number, part=None if part is None else to_wire(part))
        self._tasks.start(f"shrunk {key.job}", self._post(key, message))

    async def _post(self, key: AttemptKey, message: wire.Shrunk) -> None:
        await self._streams.insist(
            lambda transaction: transaction.post(key.origin, message) if transaction.is_paired(key.origin) else None
        )

    def waiting(self, key: AttemptKey, phase: int, units: int, missing: Sequence[tuple[int, int]]) -> None:
        """Tell the origin which units an attempt waits for."""
        spans = [wire.Span(start=start, stop=stop) for start, stop in missing]
        message = wire.Waiting(job=key.job, attempt=key.number, phase=phase, units=units, missing=spans)
        self._streams.tell(key.origin, message, key=f"waiting {key.job} {key.number}")
