"""What two devices have agreed on about blobs for as long as their session lasts."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

from meshd.store.blobs import Arrival, BlobRef
from meshd_protocol.ids import DeviceId, Fingerprint

MAX_TRANSFERS = 4
"""Blobs under way from one peer, and as many to it. More would only share the same network, disk and loop."""

PATH = "/blobs"


MAX_GIVEN = 1024
"""Digests of what went out whole, 100 KB a session. The one that is forgotten is only read once more than it must."""


class Given:
    """What has gone out whole in a session. Nobody asks for that again, unless it is not what the digest says."""

    def __init__(self) -> None:
        self._digests: dict[str, None] = {}

    def note(self, digest: str) -> None:
        """Remember that all of it has been sent."""
        self._digests[digest] = None
        if len(self._digests) > MAX_GIVEN:
            del self._digests[next(iter(self._digests))]

    def take(self, digest: str) -> bool:
        """Return whether it had been sent already, and forget that."""
        was_given = digest in self._digests
        self._digests.pop(digest, None)
        return was_given


class Absent(Exception):
    """The peer has no such blob, or does not give it to this device."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where this side dialled the peer, and which certificate it must show there."""

    address: str
    fingerprint: Fingerprint


def _room() -> asyncio.Semaphore:
    return asyncio.Semaphore(MAX_TRANSFERS)


@dataclass(slots=True, eq=False)
class DialledLine:
    """This side dialled, and so makes every HTTP request."""

    peer: DeviceId
    endpoint: Endpoint
    pin: aiohttp.Fingerprint
    """One object for all requests: connections are kept by it."""

    key: asyncio.Future[str]
    """The token that the peer gives us."""

    fetching: asyncio.Semaphore = field(default_factory=_room)
    giving: asyncio.Semaphore = field(default_factory=_room)
    given: Given = field(default_factory=Given)
    sending: dict[str, asyncio.Task[None]] = field(default_factory=dict[str, asyncio.Task[None]])
    """What the peer wants, by its digest."""


@dataclass(slots=True, eq=False)
class Due:
    """A blob that the peer was asked to PUT."""

    ref: BlobRef
    arrival: Arrival
    begun: asyncio.Future[None]
    """Done when the PUT has come; `Absent` when it will not."""

    ended: asyncio.Future[None]
    """Done when the whole body is here; or why it is not."""

    transport: asyncio.Transport | None = None

    def abandon(self) -> None:
        """Cut the connection on which it comes."""
        self.begun.cancel()
        self.ended.cancel()
        if self.transport is not None:
            self.transport.abort()


@dataclass(slots=True, eq=False)
class AnsweredLine:
    """The peer dialled, and so makes every HTTP request."""

    peer: DeviceId
    token: str
    """What opens the blobs to it; it dies with the session."""

    fetching: asyncio.Semaphore = field(default_factory=_room)
    giving: asyncio.Semaphore = field(default_factory=_room)
    given: Given = field(default_factory=Given)
    waiting: int = 0
    """GET requests that wait for their turn."""

    due: dict[str, Due] = field(default_factory=dict[str, Due])
    connections: set[asyncio.Transport] = field(default_factory=set[asyncio.Transport])

    def close(self) -> None:
        """End every request."""
        for transport in self.connections:
            transport.abort()


Line = DialledLine | AnsweredLine
