"""What the local API asks of the rest of the daemon: narrow interfaces, implemented elsewhere, joined in `node.py`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from meshd_protocol.localapi import (
    JobAccepted,
    JobPage,
    JobRequest,
    JobState,
    JobView,
    PairingAccept,
    PairingState,
    PairingView,
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

    async def cancel(self, job: str, *, reason: str) -> JobView:
        """End the job and return it; a job that has ended is returned as it is."""
        ...

    async def job(self, job: str) -> JobView:
        """Return the job with its documents and its story."""
        ...

    async def jobs(
        self,
        *,
        states: Sequence[JobState],
        kind: str | None,
        query: str | None,
        limit: int,
        cursor: str | None,
    ) -> JobPage:
        """Return a page of jobs, the newest first, without documents; empty `states`: all of them.

        Raises:
            BadInput: the cursor is not one that an earlier page gave.
        """
        ...

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[JobView]]:
        """Subscribe to every change of a job, progress included: the job as it is then, without documents.

        Changes made after the block was entered are seen. The subscription is bounded: the iterator ends when
        its reader was too slow (or the daemon stops), and the reader has to read the jobs afresh.
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

    def shutdown(self) -> None:
        """Ask the daemon to stop once this request is answered."""
        ...
