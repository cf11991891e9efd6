"""What the local API asks of the rest of the daemon: narrow interfaces, implemented elsewhere, joined in `node.py`."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from meshd.jobs.browsing import LogPage
from meshd.jobs.query import JobQuery
from meshd_protocol.localapi import (
    ArtifactView,
    BlobView,
    EndState,
    JobAccepted,
    JobPage,
    JobRequest,
    JobStats,
    JobView,
    PairingAccept,
    PairingState,
    PairingView,
    PeerTest,
    PeerView,
    SightingView,
    StatusView,
)


class Jobs(Protocol):
    """The jobs of which this device is the origin.

    `job` is an id or a prefix that only one job has. Every method that takes one raises `NotFound` when no job
    has it, and `UsageError` (with the candidates in its hint) when several do.
    """

    async def submit(self, request: JobRequest, *, idempotency_key: str | None) -> JobAccepted:
        """Return once the job is on disk. A key that was seen before returns the job that it made then.

        Raises:
            BadInput: no such kind, or the kind refuses the spec.
            NotFound: no such device to place it on.
        """
        ...

    async def submit_batch(self, requests: Sequence[JobRequest]) -> Sequence[JobAccepted]:
        """Return once all of these jobs are on disk; when it raises, none of them is. Raises as `submit`."""
        ...

    async def rerun(self, job: str, *, idempotency_key: str | None) -> JobAccepted:
        """Submit what was submitted as `job` once more, as a new job that names it; otherwise as `submit`."""
        ...

    async def delete(self, job: str) -> None:
        """Delete a job with all that is known of it.

        Raises:
            Conflict: it has not ended.
        """
        ...

    async def clear(self, states: Sequence[EndState]) -> int:
        """Delete all jobs that have ended in one of these states by now; return how many it were."""
        ...

    async def cancel(self, job: str, *, reason: str) -> JobView:
        """End the job and return it; a job that has ended is returned as it is."""
        ...

    async def job(self, job: str) -> JobView:
        """Return the job with its documents and its story."""
        ...

    def glance(self, job: str) -> JobView | None:
        """Return an open job, without documents and story; None: it has ended, or `job` is not its whole id."""
        ...

    async def csv(self, job: str) -> str:
        """Return the result as a table that the site of its slate takes.

        Raises:
            Conflict: the job is not of a kind with such a table, or has no result.
        """
        ...

    def every(self) -> AsyncGenerator[JobView]:
        """Yield all jobs in the order of their submission, with documents and stories, a few in memory at a time."""
        ...

    async def jobs(self, query: JobQuery, *, limit: int, cursor: str | None) -> JobPage:
        """Return a page of the jobs that match, without documents.

        Following the cursors from page to page shows each job that is there all the while once, whatever is
        submitted and deleted meanwhile.

        Raises:
            BadInput: the cursor is not one that an earlier page of the same query gave.
        """
        ...

    async def stats(self) -> JobStats:
        """Return figures about all jobs."""
        ...

    def changes(self, job: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[JobView]]:
        """Subscribe to every change of all jobs, or of the one of this whole id: the job as it is then.

        Progress is a change; documents are left out. Changes made after the block was entered are seen. The
        subscription is bounded: the iterator ends when its reader was too slow (or the daemon stops), and the reader
        has to read the jobs afresh.
        """
        ...


class Files(Protocol):
    """The files of jobs; `job` as for `Jobs`."""

    async def blob(self, digest: str) -> BlobView:
        """Return a file that is here, and keep it for an hour; raise `NotFound` when it is not here."""
        ...

    async def upload(self, digest: str, size: int, chunks: AsyncIterator[bytes]) -> BlobView:
        """Take a file; it is on disk when this returns, and kept for an hour.

        Raises:
            BadInput: it is not what its digest and its size say.
            Degraded: there is no room for it.
        """
        ...

    async def artifacts(self, job: str) -> list[ArtifactView]:
        """Return the files that a job has made, by name."""
        ...

    async def artifact(self, job: str, name: str) -> tuple[ArtifactView, AsyncGenerator[bytes | memoryview]]:
        """Return a file that a job has made, fetched from its device if it must be.

        Raises:
            NotFound: there is no such file, or nobody has it any more.
            PeerUnreachable: its device is not online.
        """
        ...

    async def log(self, job: str, *, attempt: int | None, after: int, hold_s: float) -> LogPage:
        """Return what an attempt, the newest without a number, has printed from byte `after` on.

        It waits for up to `hold_s` where there is nothing yet; raises `NotFound` when there is no such attempt.
        """
        ...


class Devices(Protocol):
    """The devices that this one is paired with, or sees."""

    async def peers(self) -> list[PeerView]:
        """Return the paired devices, by name."""
        ...

    async def sightings(self) -> list[SightingView]:
        """Return the devices that announce themselves on this network, by name."""
        ...

    async def test(self, device: str) -> PeerTest:
        """Find out what a connection to the peer of this name or id is worth; a bad one is told, not raised.

        Raises:
            NotFound: no such peer.
            UsageError: several peers have that name; the hint lists their ids.
        """
        ...

    async def permit(self, device: str, kind: str, *, allowed: bool) -> PeerView:
        """Let the peer of this name or id have a kind of job done here, or no longer, at once; return it.

        Raises:
            BadInput: there is no such kind of job.
            NotFound: no such peer.
            UsageError: several peers have that name; the hint lists their ids.
        """
        ...

    async def unpair(self, device: str) -> PeerView:
        """Forget the peer of this name or id, end its session at once, and return what it was.

        Raises:
            NotFound: no such peer.
            UsageError: several peers have that name; the hint lists their ids.
        """
        ...


class Pairings(Protocol):
    """The ceremony by which two devices come to trust each other."""

    async def open_code(self, *, ttl_s: float | None) -> PairingView:
        """Open a new code, which closes the one before; None: as long as configured."""
        ...

    async def current(self) -> PairingState:
        """Return the open code, or how the last one ended."""
        ...

    async def close_code(self) -> None:
        """Close the open code, if there is one."""
        ...

    async def accept(self, request: PairingAccept) -> PeerView:
        """Enter the code that another device shows; return that device, now paired.

        Raises:
            BadInput: the code is not six digits.
            UsageError: neither device nor address was given, and several devices show a code; the hint lists them.
            NotFound: no such sighting, or none that shows a code.
            PeerRefused: the other device refused the code, or is this one.
            PeerUnreachable: it did not answer.
        """
        ...


class Daemon(Protocol):
    """The daemon as a whole."""

    async def status(self) -> StatusView:
        """Return how this device is doing; fast, because it is asked for often."""
        ...

    async def pause(self) -> StatusView:
        """Let nothing new start on this device until `resume`, across restarts; return the status after it.

        What runs goes on; what waits for a slot here goes elsewhere if it can.
        """
        ...

    async def resume(self) -> StatusView:
        """Take jobs again; return the status after it."""
        ...

    def shutdown(self) -> None:
        """Ask the daemon to stop once this request is answered."""
        ...
