"""The files of this device's own jobs: what they need, what they make, and what they print, wherever they run.

Every file is a blob, pinned for as long as its job exists. What an attempt on a peer has left comes home by itself
after its end; the peer keeps it until this device says that it is here.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from meshd.errors import BadInput, MeshdError, NotFound
from meshd.jobs.file_refs import blob_of, lines_of
from meshd.jobs.model import Job
from meshd.jobs.outputs import Outputs
from meshd.jobs.pins import Pins
from meshd.jobs.results import read as read_result
from meshd.jobs.results import result_among
from meshd.jobs.resumption import Exchange
from meshd.kinds.workshop import InputFile
from meshd.net.streams import Streams, Transaction
from meshd.store import files as rows
from meshd.store import jobs as job_rows
from meshd.store.blobs import BlobRef
from meshd.tasks import TaskSet
from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.messages import jobs as wire

log = logging.getLogger(__name__)

TRY_AGAIN_S = 30.0
"""Before files that did not come are asked for again, while their device is online."""

RESULT_TRIES = 10
"""At a result that is too long to be told. After these five minutes its job is done again, elsewhere if possible."""

TAKEN_S = 3600.0
"""How long a file that was uploaded is kept without a job that names it."""

MAX_TAKEN = 4096
"""Files that are so: several times what one command may have."""


@dataclass(slots=True)
class Holding:
    """Inputs that are pinned for a job which is not on disk yet."""

    is_taken: bool = False
    """Whether the job is on disk: its inputs stay pinned until it is deleted."""


@dataclass(frozen=True, slots=True)
class Coming:
    """What an attempt has left on a peer."""

    peer: DeviceId
    job: JobId
    attempt: AttemptNumber
    files: tuple[wire.FileRef, ...]
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of what has computed a result that is among them; unknown after a restart."""


class Result(Protocol):
    """Hears of results that were too long to be told."""

    def __call__(self, transaction: Transaction, came: Coming, result: bytes | None, why: str) -> None:
        """Take a result that has come from a peer; or None, with the reason why it will not."""
        ...


class Files:
    """Keeps the blobs of own jobs, and brings home what is still on peers."""

    def __init__(
        self,
        *,
        streams: Streams,
        pins: Pins,
        exchange: Exchange,
        outputs: Outputs,
        runs: Callable[[DeviceId, JobId], bool],
        result: Result,
    ) -> None:
        """`runs` says whether a device has an open attempt of a job."""
        self._streams = streams
        self._pins = pins
        self._exchange = exchange
        self._outputs = outputs
        self._runs = runs
        self._result = result
        self._inputs: dict[JobId, frozenset[str]] = {}
        """The digests of the inputs of jobs that have not ended."""

        self._coming: dict[tuple[JobId, AttemptNumber], Coming] = {}
        self._fetching: set[tuple[JobId, AttemptNumber]] = set()
        self._uploads: dict[str, float] = {}
        """Until when files that were uploaded are kept without a job, the next to go first; loop time."""

        self._tasks = TaskSet()

    async def load(self) -> None:
        """Take up what earlier runs of this daemon have stored."""
        found = await self._streams.write(lambda transaction: rows.every(transaction.connection))
        self._pins.pin(row["digest"] for row in found)
        for row in found:
            key = JobId(row["job"]), AttemptNumber(row["attempt"])
            if row["role"] == "input" and row["ended_at"] is None:
                self._inputs[key[0]] = self._inputs.get(key[0], frozenset()) | {row["digest"]}
            if row["source"]:
                known = self._coming.get(key)
                files = () if known is None else known.files
                file = wire.FileRef(role=row["role"], name=row["name"], digest=row["digest"], size=row["size"])
                self._coming[key] = Coming(DeviceId(row["source"]), *key, (*files, file))

    async def close(self) -> None:
        """Stop fetching; it goes on with the next start."""
        await self._tasks.close()

    # Inputs

    def uploaded(self, ref: BlobRef) -> None:
        """Keep a file that a user has handed over until a job names it, or for an hour; the oldest goes for too many.

        Handed over once more, its hour begins anew.
        """
        is_first = not self._uploads
        if self._uploads.pop(ref.digest, None) is None:
            self._pins.pin([ref.digest])
        self._uploads[ref.digest] = asyncio.get_running_loop().time() + TAKEN_S
        if len(self._uploads) > MAX_TAKEN:
            self._let_go_of_upload()
        if is_first:
            self._tasks.start("let go of uploads", self._let_go_of_uploads())

    async def _let_go_of_uploads(self) -> None:
        while self._uploads:
            wait_s = next(iter(self._uploads.values())) - asyncio.get_running_loop().time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                self._let_go_of_upload()

    def _let_go_of_upload(self) -> None:
        oldest = next(iter(self._uploads))
        del self._uploads[oldest]
        self._pins.release([oldest])

    @asynccontextmanager
    async def holding(self, inputs: Sequence[InputFile]) -> AsyncGenerator[Holding]:
        """Keep the inputs of a job that is about to be stored.

        Raises:
            BadInput: one of them is not here.
        """
        digests = [each.digest for each in inputs]
        self._pins.pin(digests)
        holding = Holding()
        try:
            for each in inputs:
                if not await self._pins.blobs.has(BlobRef(each.digest, each.size)):
                    raise BadInput(
                        f"the input {each.name!r} is not here",
                        field="inputs",
                        hint="hand it over first: PUT /api/v1/blobs",
                    )
            try:
                yield holding
            except asyncio.CancelledError:
                # The write goes on without us, and its job must not lose its inputs.
                holding.is_taken = True
                raise
        finally:
            if not holding.is_taken:
                self._pins.release(digests)

    def enter(self, transaction: Transaction, job: JobId, inputs: Sequence[InputFile]) -> None:
        """Store which inputs a new job has."""
        if inputs:
            rows.add(
                transaction.connection,
                job,
                rows.INPUT,
                [("input", each.name, each.digest, each.size) for each in inputs],
            )
            # Its first attempt may end before this is on disk.
            transaction.at_once(lambda: self._inputs.update({job: frozenset(each.digest for each in inputs)}))
            transaction.otherwise(lambda: self._forget_inputs(job))

    def _forget_inputs(self, job: JobId) -> None:
        self._inputs.pop(job, None)

    def has_inputs(self, job: JobId) -> bool:
        """Return whether an open job has inputs; for the writer's thread, too."""
        return job in self._inputs

    def tracked(self, job: Job) -> None:
        """Take note that a job has ended: no device needs its inputs any more."""
        if job.has_ended:
            self._forget_inputs(job.id)

    def may_read(self, peer: DeviceId, digest: str) -> bool:
        """Return whether a peer runs an attempt of a job that has this blob as an input."""
        return any(digest in digests and self._runs(peer, job) for job, digests in self._inputs.items())

    # What attempts leave

    def left(self, transaction: Transaction, job: JobId, attempt: AttemptNumber, files: Sequence[wire.FileRef]) -> None:
        """Store what an attempt that ran here has left; its blobs are pinned already."""
        if not files:
            return
        if rows.exists(transaction.connection, job):
            rows.add(transaction.connection, job, attempt, lines_of(files))
        else:
            transaction.after(lambda: self._pins.release([file.digest for file in files]))

    def told(
        self,
        transaction: Transaction,
        peer: DeviceId,
        job: JobId,
        attempt: AttemptNumber,
        files: Sequence[wire.FileRef],
        versions: Mapping[str, str],
    ) -> None:
        """Store what an attempt has left on a peer, and fetch it; decline what belongs to no job any more."""
        if not files:
            return
        if not job_rows.is_of(transaction.connection, job, attempt, peer):
            transaction.post(peer, wire.Collected(job=job, attempt=attempt))
            return
        rows.add(transaction.connection, job, attempt, lines_of(files), source=peer)
        coming = Coming(peer, job, attempt, tuple(files), versions)

        def begin() -> None:
            self._pins.pin(file.digest for file in coming.files)
            self._coming[job, attempt] = coming
            self._fetch_soon(coming)

        transaction.after(begin)

    def coming_results(self, job: JobId) -> list[AttemptNumber]:
        """Return the attempts of a job that have ended well, and whose results are still on their devices."""
        return [coming.attempt for coming in self._coming.values() if coming.job == job and result_among(coming.files)]

    def opened(self, peer: DeviceId) -> None:
        """Fetch what a peer, whose session has opened, has of own jobs."""
        for coming in self._coming.values():
            if coming.peer == peer:
                self._fetch_soon(coming)

    def forget(self, peer: DeviceId) -> None:
        """Give up what a device that is no longer paired has not delivered."""
        for key, coming in tuple(self._coming.items()):
            if coming.peer == peer:
                del self._coming[key]
                self._tasks.start(f"give up {coming.job}", self._give_up(coming, "it is no longer paired"))

    async def arrived(self, job: JobId, attempt: AttemptNumber, ref: BlobRef) -> None:
        """Return when a file that an attempt has left is here.

        Raises:
            PeerUnreachable: the device that has it is not online.
            NotFound: nobody has it any more.
        """
        coming = self._coming.get((job, attempt))
        if await self._pins.blobs.has(ref):
            return
        if coming is None:
            raise NotFound("the file is not here any more", hint="run the job again")
        await self._exchange.fetch(coming.peer, ref)

    def _fetch_soon(self, coming: Coming) -> None:
        key = coming.job, coming.attempt
        if key not in self._fetching:
            self._fetching.add(key)
            self._tasks.start(f"collect the files of {coming.job}", self._fetch(coming))

    async def _fetch(self, coming: Coming) -> None:
        key = coming.job, coming.attempt
        result = result_among(coming.files)
        told = {"job": coming.job, "peer": coming.peer}
        tries = 0
        try:
            while key in self._coming and self._streams.is_open(coming.peer):
                try:
                    for file in coming.files:
                        await self._exchange.fetch(coming.peer, blob_of(file))
                    await self._came(coming, None if result is None else await read_result(self._pins, result))
                except (NotFound, BadMessage) as error:
                    log.warning("files are gone: %s", error, extra=told)
                    await self._give_up(coming, f"its result did not come: {error}")
                except MeshdError as error:
                    log.info("files did not come: %s", error.message, extra=told)
                    tries += 1
                    if result is not None and tries == RESULT_TRIES:
                        await self._give_up(coming, f"its result did not come: {error.message}")
                    else:
                        await asyncio.sleep(TRY_AGAIN_S)
        finally:
            self._fetching.discard(key)

    async def _came(self, coming: Coming, result: bytes | None) -> None:
        def note(transaction: Transaction) -> None:
            if not rows.came(transaction.connection, coming.job, coming.attempt):
                # Its job was deleted meanwhile: what has come since must go, too.
                transaction.after(lambda: self._pins.refresh(file.digest for file in coming.files))
            if result is not None:
                self._result(transaction, coming, result, "")
                read = rows.read_result(transaction.connection, coming.job, coming.attempt)
                transaction.after(lambda: self._pins.release(read))
            if transaction.is_paired(coming.peer):
                transaction.post(coming.peer, wire.Collected(job=coming.job, attempt=coming.attempt))
            transaction.after(lambda: self._drop(coming))

        await self._streams.write(note)

    def _drop(self, coming: Coming) -> None:
        self._coming.pop((coming.job, coming.attempt), None)

    async def _give_up(self, coming: Coming, why: str) -> None:
        def note(transaction: Transaction) -> None:
            if result_among(coming.files) is not None:
                self._result(transaction, coming, None, why)
            digests = rows.gone(transaction.connection, coming.job, coming.attempt)
            if transaction.is_paired(coming.peer):
                transaction.post(coming.peer, wire.Collected(job=coming.job, attempt=coming.attempt))

            def forget() -> None:
                self._drop(coming)
                self._pins.release(digests)

            transaction.after(forget)

        await self._streams.insist(note)

    # Deleted jobs

    def deleted(self, gone: Iterable[tuple[JobId, str | None]]) -> None:
        """Let go of the blobs of jobs that are deleted, and of what they have printed."""
        jobs: set[JobId] = set()
        digests: list[str] = []
        for job, digest in gone:
            jobs.add(job)
            if digest is not None:
                digests.append(digest)
        for key in [key for key in self._coming if key[0] in jobs]:
            del self._coming[key]
        self._pins.release(digests)
        self._outputs.remove(jobs)
