"""What is done of this device's own jobs, so that the next attempt of one goes on where the last one was lost."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from meshd.errors import MeshdError
from meshd.jobs.checkpoints import Checkpoints, blob_of
from meshd.jobs.coverage import admits, enter, is_inside
from meshd.jobs.executor import AttemptKey
from meshd.jobs.model import Attempt
from meshd.kinds.base import PackedPartial
from meshd.net.streams import Streams, Transaction
from meshd.store import jobs as job_rows
from meshd.store import partials as rows
from meshd.store.blobs import BlobRef
from meshd.tasks import TaskSet
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.messages.jobs import Kept, PartialRef

log = logging.getLogger(__name__)

Covered = list[tuple[int, PartialRef]]


class Exchange(Protocol):
    """Gets blobs from peers, as this module needs it."""

    async def fetch(self, peer: DeviceId, ref: BlobRef) -> None:
        """Return once the blob is here; raise `MeshdError` when it will not be."""
        ...


class Resumption:
    """The checkpoints of own jobs that have not ended."""

    def __init__(
        self,
        *,
        streams: Streams,
        checkpoints: Checkpoints,
        exchange: Exchange,
        attempt_of: Callable[[JobId, int], Attempt | None],
        runs: Callable[[DeviceId, JobId], bool],
        covered: Callable[[JobId], None],
        touch: Callable[[Transaction, JobId], None],
    ) -> None:
        """`runs` says whether a device has an open attempt of a job; `covered` hears that a checkpoint has grown.

        `touch` is called before rows of a job are looked at and changed.
        """
        self._streams = streams
        self._checkpoints = checkpoints
        self._exchange = exchange
        self._attempt_of = attempt_of
        self._runs = runs
        self._on_covered = covered
        self._touch = touch
        self._stored: set[JobId] = set()
        """Jobs of which anything may be on disk."""

        self._covered: dict[JobId, Covered] = {}

        self._fetching: dict[tuple[JobId, int, int, int], Kept | None] = {}
        """What is being fetched, by job, attempt, phase and start; with what has been told since."""

        self._broken_off: dict[tuple[JobId, int, int], PartialRef] = {}
        """What has not come to its end, by job, phase and start. It is pinned, for a part of it may lie here."""

        self._keeping: dict[AttemptKey, set[asyncio.Task[None]]] = {}
        self._tasks = TaskSet()

    async def load(self) -> None:
        """Take up what earlier runs of this daemon have stored."""
        stored = await self._streams.write(lambda transaction: rows.every(transaction.connection))
        self._covered = {JobId(job): covered for job, covered in stored.items()}
        self._stored.update(self._covered)
        self._checkpoints.pin(ref for covered in self._covered.values() for _, ref in covered)

    async def close(self) -> None:
        """Stop fetching; what is not here yet is computed again."""
        await self._tasks.close()

    def refs(self, job: JobId) -> list[PartialRef]:
        """Return the checkpoint of a job."""
        return [ref for _, ref in self._covered.get(job, [])]

    def on_disk(self, transaction: Transaction, job: JobId) -> tuple[PartialRef, ...]:
        """Return the checkpoint of a job as it is on disk."""
        if job not in self._stored:
            return ()
        return tuple(ref for _, ref in rows.of_job(transaction.connection, job))

    async def read(self, job: JobId) -> tuple[PackedPartial, ...]:
        """Return the checkpoint of a job with its contents; forget one that cannot be read.

        Its spans would stand in the way of those that replace them, for the rest of the job.
        """
        refs = self.refs(job)
        partials = await self._checkpoints.read(refs)
        if refs and not partials:
            await self._streams.insist(lambda transaction: self.drop(transaction, job))
        return partials

    def may_read(self, peer: DeviceId, digest: str) -> bool:
        """Return whether a peer runs an attempt of a job whose checkpoint has this blob."""
        return any(
            ref.digest == digest
            for job, covered in self._covered.items()
            if self._runs(peer, job)
            for _, ref in covered
        )

    def keep(self, key: AttemptKey, partial: PackedPartial) -> None:
        """Take a checkpoint of an attempt that runs here."""
        task = self._tasks.start(f"keep {key.job}/{key.number}", self._keep(key, partial))
        keeping = self._keeping.setdefault(key, set())
        keeping.add(task)
        task.add_done_callback(lambda done: self._kept(key, done))

    def _kept(self, key: AttemptKey, done: asyncio.Task[None]) -> None:
        keeping = self._keeping.get(key, set())
        keeping.discard(done)
        if not keeping:
            self._keeping.pop(key, None)

    async def settled(self, key: AttemptKey) -> None:
        """Wait until all that an attempt which ran here has handed over is in the checkpoint, or is refused."""
        if keeping := self._keeping.get(key):
            await asyncio.gather(*keeping, return_exceptions=True)

    async def _keep(self, key: AttemptKey, partial: PackedPartial) -> None:
        try:
            ref = await self._checkpoints.write(partial)
            await self._apply(key.job, key.number, ref)
        except MeshdError as error:
            # The next one comes in a few seconds, and holds this one's work as well.
            log.warning("a checkpoint was not kept: %s", error.message, extra={"job": key.job})

    def hear(self, peer: DeviceId, message: Kept) -> None:
        """Fetch a checkpoint that a peer has told of, if it is the peer's to tell and not here yet."""
        job, number, ref = JobId(message.job), AttemptNumber(message.attempt), message.partial
        attempt = self._attempt_of(job, number)
        if attempt is None or not attempt.is_open or attempt.device != peer:
            return
        covered = self._covered.get(job, [])
        if not admits(covered, ref):
            return
        slot = (job, number, ref.phase, ref.start)
        if slot in self._fetching:
            self._fetching[slot] = message
            return
        self._fetching[slot] = None
        self._tasks.start(f"fetch a checkpoint of {job}", self._fetch(peer, message, slot))

    async def _fetch(self, peer: DeviceId, message: Kept, slot: tuple[JobId, int, int, int]) -> None:
        newer: Kept | None = None
        job, ref, is_here = JobId(message.job), message.partial, False
        # Pinned before it comes: when the way breaks, what has come goes with the last pin, and not after a week.
        self._checkpoints.pin([ref])
        try:
            await self._exchange.fetch(peer, blob_of(ref))
            is_here = True
            await self._apply(job, message.attempt, ref)
        except MeshdError as error:
            log.info("a checkpoint was not fetched: %s", error.message, extra={"job": message.job, "peer": peer})
        finally:
            if is_here:
                self._let_go_of_parts(job, ref)
            else:
                self._keep_part(job, ref, is_wanted=self._attempt_of(job, message.attempt) is not None)
            newer = self._fetching.pop(slot, None)
        if newer is not None and newer != message:
            self.hear(peer, newer)

    def _keep_part(self, job: JobId, ref: PartialRef, *, is_wanted: bool) -> None:
        """Keep what has come of a checkpoint for the next try, in place of what came before; unless its job is over."""
        self._let_go_of_parts(job, ref)
        if is_wanted:
            self._broken_off[job, ref.phase, ref.start] = ref
        else:
            self._checkpoints.release([ref])

    def _let_go_of_parts(self, job: JobId, ref: PartialRef) -> None:
        """Drop what has come of earlier checkpoints of the same phase and start."""
        old = self._broken_off.pop((job, ref.phase, ref.start), None)
        if old is not None:
            self._checkpoints.release([old])

    async def _apply(self, job: JobId, attempt: int, ref: PartialRef) -> None:
        """Let a partial, whose blob is here and pinned, enter the checkpoint; or let it go."""

        def apply(transaction: Transaction) -> bool:
            connection = transaction.connection
            self._touch(transaction, job)
            covered = rows.of_job(connection, job)
            if not job_rows.is_open(connection, job, attempt) or not admits(covered, ref):
                return False
            replaced = [old for _, old in covered if is_inside(old, ref)]
            self._stored.add(job)
            rows.put(connection, job, attempt, ref)
            transaction.after(lambda: self._entered(job, enter(covered, attempt, ref), replaced))
            return True

        try:
            entered = await self._streams.write(apply)
        except MeshdError:
            self._checkpoints.release([ref])
            raise
        # Cancelled, it stays pinned: the write goes on without us, and its row must not lose its blob.
        if not entered:
            self._checkpoints.release([ref])

    def _entered(self, job: JobId, covered: Covered, replaced: list[PartialRef]) -> None:
        self._covered[job] = covered
        self._checkpoints.release(replaced)
        self._on_covered(job)

    def drop(self, transaction: Transaction, job: JobId, *, is_over: bool = False) -> None:
        """Forget the checkpoint of a job: it is over, or must begin anew."""
        if job in self._stored:
            rows.remove(transaction.connection, job)
        transaction.after(lambda: self._release(job, is_over=is_over))

    def _release(self, job: JobId, *, is_over: bool) -> None:
        if is_over:
            self._stored.discard(job)
        self._checkpoints.release([ref for _, ref in self._covered.pop(job, [])])
        slots = [slot for slot in self._broken_off if slot[0] == job]
        self._checkpoints.release([self._broken_off.pop(slot) for slot in slots])
