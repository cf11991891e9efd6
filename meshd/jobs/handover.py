"""How an origin asks the executors of its attempts for units, and gives them back: its own executor, or a peer's."""

import logging
from collections.abc import Callable, Coroutine, Sequence

from meshd.jobs.checkpoints import Checkpoints
from meshd.jobs.executor import AttemptKey, Executor
from meshd.jobs.model import Attempt, Span
from meshd.net.streams import Streams
from meshd.tasks import TaskSet
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.messages import jobs as wire

log = logging.getLogger(__name__)


class Handover:
    """See `meshd.jobs.spread.Line`. Nothing of it is certain to arrive."""

    def __init__(
        self,
        *,
        device: DeviceId,
        executor: Executor,
        streams: Streams,
        checkpoints: Checkpoints,
        tasks: TaskSet,
        drop: Callable[[JobId], Coroutine[object, object, None]],
    ) -> None:
        """`drop` forgets the checkpoint of a job."""
        self._drop = drop
        self._joining: set[AttemptKey] = set()
        self._device = device
        self._executor = executor
        self._streams = streams
        self._checkpoints = checkpoints
        self._tasks = tasks

    def shrink(self, job: JobId, attempt: Attempt, keep: float) -> None:
        """Ask for units."""
        if attempt.device == self._device:
            self._executor.shrink(self._key(job, attempt), keep)
            return
        message = wire.Shrink(job=job, attempt=attempt.number, keep=keep)
        self._streams.tell(attempt.device, message, key=f"shrink {job} {attempt.number}")

    def extend(self, job: JobId, attempt: Attempt, span: Span) -> None:
        """Let it compute these units as well."""
        if attempt.device == self._device:
            self._executor.extend(self._key(job, attempt), span.phase, span.start, span.stop)
            return
        message = wire.Extend(job=job, attempt=attempt.number, phase=span.phase, start=span.start, stop=span.stop)
        self._streams.tell(attempt.device, message, key=f"extend {job} {attempt.number} {span.phase} {span.start}")

    def join(self, job: JobId, attempt: Attempt, phase: int, partials: Sequence[wire.PartialRef]) -> None:
        """Let it go on: these cover what it lacks of the phase. Units of a damaged one have to be computed again."""
        key = self._key(job, attempt)
        # Asked for every second while it is waited for.
        if key not in self._joining:
            self._joining.add(key)
            # One that is replaced meanwhile is read all the same: the checkpoint is not damaged.
            self._checkpoints.pin(partials)
            self._tasks.start(f"join {job}", self._join(key, attempt, phase, partials))

    async def _join(self, key: AttemptKey, attempt: Attempt, phase: int, partials: Sequence[wire.PartialRef]) -> None:
        try:
            found = await self._checkpoints.read(partials)
            if not found:
                await self._drop(key.job)
            elif attempt.device == self._device:
                self._executor.join(key, found)
            else:
                message = wire.Joined(job=key.job, attempt=key.number, phase=phase, partials=list(partials))
                self._streams.tell(attempt.device, message, key=f"joined {key.job} {key.number}")
        finally:
            self._joining.discard(key)
            self._checkpoints.release(partials)

    def _key(self, job: JobId, attempt: Attempt) -> AttemptKey:
        return AttemptKey(self._device, job, attempt.number)
