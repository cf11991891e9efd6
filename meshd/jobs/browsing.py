"""The files of own jobs as users ask for them: handed over, listed, read, and followed while they are printed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from meshd.errors import BadInput, Conflict, Degraded, NotFound
from meshd.execution import output
from meshd.jobs.history import History
from meshd.jobs.model import Attempt, job_from_rows
from meshd.jobs.origin import Origin
from meshd.jobs.outputs import Outputs
from meshd.jobs.tails import HOLD_S, grown
from meshd.jobs.views import Names
from meshd.store import files as rows
from meshd.store import jobs as job_rows
from meshd.store.blob_files import FileBlobs
from meshd.store.blobs import BlobRef
from meshd.store.database import Row, Store
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.localapi import ArtifactView, BlobView

MAX_LOG_BYTES = 1 << 20
"""Of one answer."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some of what an attempt has printed."""

    attempt: int
    """0: none has begun."""

    offset: int
    """Of the first byte: beyond what was asked for where that is gone."""

    data: bytes
    end: int
    """How much was printed so far."""

    done: bool
    """Whether nothing follows: the attempt is over, and this goes up to its last byte."""


class FileBrowser:
    """See `meshd.api.services.Files`."""

    def __init__(
        self,
        *,
        history: History,
        origin: Origin,
        store: Store,
        blobs: FileBlobs,
        device: DeviceId,
        outputs: Outputs,
        quota_bytes: int,
        names: Names,
    ) -> None:
        self._history = history
        self._origin = origin
        self._store = store
        self._blobs = blobs
        self._device = device
        self._outputs = outputs
        self._quota_bytes = quota_bytes
        self._names = names

    # Inputs

    async def blob(self, digest: str) -> BlobView:
        """Return what is here under this digest, and keep it for a while."""
        size = await self._blobs.size(BlobRef(digest, 0).digest)
        if size is None:
            raise NotFound(f"no file here has the digest {digest[:12]}…", hint="hand it over: PUT /api/v1/blobs/DIGEST")
        self._origin.files.uploaded(BlobRef(digest, size))
        return BlobView(digest=digest, size=size)

    async def upload(self, digest: str, size: int, chunks: AsyncIterator[bytes]) -> BlobView:
        """Take a file of `size` bytes; it is on disk when this returns. What has come of it before is not asked again.

        Raises:
            BadInput: it is not what its digest says, or has another size.
            Degraded: there is no room.
        """
        ref = BlobRef(digest, size)
        if not await self._blobs.has(ref):
            if await self._blobs.used() + size > self._quota_bytes:
                raise Degraded(
                    f"{size:,} bytes are more than the quota of {self._quota_bytes:,} bytes for files leaves",
                    hint="delete old jobs, or raise blob_quota_gb",
                )
            async with self._blobs.receive(ref) as arrival:
                skip = arrival.offset
                async for chunk in chunks:
                    rest, skip = chunk[skip:], max(0, skip - len(chunk))
                    if rest:
                        await arrival.write([rest])
                if arrival.offset < size:
                    raise BadInput(f"{arrival.offset:,} bytes came, {size:,} were announced")
                await arrival.finish()
        self._origin.files.uploaded(ref)
        return BlobView(digest=digest, size=size)

    # Artifacts

    async def artifacts(self, job: str) -> list[ArtifactView]:
        """Return the files that a job has made, by name; of its newest attempt that has made some."""
        return [self._view(row) for row in await self._made(await self._history.find(job))]

    async def artifact(self, job: str, name: str) -> tuple[ArtifactView, AsyncGenerator[memoryview]]:
        """Return a file that a job has made, and what is in it; it comes from its device if it is not here yet.

        Raises:
            NotFound: the job has made no such file, or nobody has it any more.
            PeerUnreachable: it is on a device that is not online.
        """
        found = await self._history.find(job)
        row = next((row for row in await self._made(found) if row["name"] == name), None)
        if row is None:
            raise NotFound(f"the job has made no file {name[:80]!r}", hint=f"meshd artifacts {found}")
        ref = BlobRef(row["digest"], row["size"])
        await self._origin.files.arrived(found, AttemptNumber(row["attempt"]), ref)
        return self._view(row), self._blobs.chunks(ref)

    async def _made(self, job: JobId) -> list[Row]:
        found = [row for row in await rows.of_job(self._store, job) if row["role"] == "artifact"]
        newest = max((row["attempt"] for row in found), default=0)
        return [row for row in found if row["attempt"] == newest]

    def _view(self, row: Row) -> ArtifactView:
        return ArtifactView(
            name=row["name"],
            size=row["size"],
            digest=row["digest"],
            attempt=row["attempt"],
            here=not row["source"],
            device=self._names(DeviceId(row["device"])) if row["device"] else "",
        )

    # Logs

    async def log(self, job: str, *, attempt: int | None, after: int, hold_s: float) -> LogPage:
        """Return what an attempt, the newest without a number, has printed from byte `after` on.

        When there is nothing yet, wait for up to `hold_s`.

        Raises:
            NotFound: the job has no such attempt, nor waits for it.
            Conflict: it is on a device that cannot be asked now.
        """
        found = await self._history.find(job)
        tried, has_ended = await self._attempt(found, attempt)
        if tried is None:
            return LogPage(0, 0, b"", 0, done=has_ended)
        if tried.device == self._device:
            return await self._own(found, tried, after, hold_s)
        for row in await rows.of_job(self._store, found):
            if (row["role"], row["attempt"]) == ("log", tried.number):
                return await self._stored(found, row, after)
        if not tried.is_open:
            return LogPage(tried.number, after, b"", after, done=True)
        part = await self._origin.tails.ask(tried.device, found, tried.number, after)
        if part is None:
            return LogPage(tried.number, after, b"", after, done=False)
        return LogPage(tried.number, part.offset, part.data, part.end, done=False)

    async def _attempt(self, job: JobId, number: int | None) -> tuple[Attempt | None, bool]:
        row = await job_rows.job_row(self._store, job)
        if row is None:
            raise NotFound(f"no job has the id {job!r}", hint="meshd jobs lists them")
        known = job_from_rows(row, (await job_rows.attempt_rows(self._store, [job]))[job])
        if number is None:
            wholes = [attempt for attempt in known.attempts if attempt.span is None]
            return (wholes[-1] if wholes else None), known.has_ended
        tried = known.attempt(number)
        if tried is None and number == known.next_number and not known.has_ended and not known.open_attempts:
            # It may have begun, and nobody is told before this is on disk.
            return None, False
        if tried is None:
            raise NotFound(f"the job {job} has no attempt {number}", hint=f"meshd show {job}")
        return tried, known.has_ended

    async def _own(self, job: JobId, tried: Attempt, after: int, hold_s: float) -> LogPage:
        def is_over() -> bool:
            found = self._origin.job(job)
            if found is None:
                return True
            known = found[0].attempt(tried.number)
            # Without it, the job is as it was a moment ago: the attempt has only just come to disk.
            return known is not None and not known.is_open

        folder = self._outputs.own(job, tried.number)
        part = await grown(folder, after, MAX_LOG_BYTES, is_over=is_over, hold_s=min(hold_s, HOLD_S))
        done = is_over() and part.offset + len(part.data) >= await asyncio.to_thread(output.end_of, folder)
        return LogPage(tried.number, part.offset, part.data, part.end, done=done)

    async def _stored(self, job: JobId, row: Row, after: int) -> LogPage:
        ref = BlobRef(row["digest"], row["size"])
        if after >= ref.size:
            return LogPage(row["attempt"], after, b"", ref.size, done=True)
        await self._origin.files.arrived(job, AttemptNumber(row["attempt"]), ref)
        data = await asyncio.to_thread(_read, self._blobs.path(ref), after)
        return LogPage(row["attempt"], after, data, ref.size, done=after + len(data) >= ref.size)


def _read(path: Path, after: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(after)
            return file.read(MAX_LOG_BYTES)
    except FileNotFoundError:
        raise Conflict("the job was deleted meanwhile") from None
