"""What two devices have agreed on about blobs for as long as their session lasts."""

import asyncio
from dataclasses import dataclass, field

import aiohttp

from meshd.store.blobs import Arrival, BlobRef
from meshd_protocol.ids import DeviceId, Fingerprint

MAX_TRANSFERS = 4
"""Blobs under way from one peer, and as many to it. More would only share the same network, disk and loop."""

PATH = "/blobs"


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
    waiting: int = 0
    """GET requests that wait for their turn."""

    due: dict[str, Due] = field(default_factory=dict[str, Due])
    connections: set[asyncio.Transport] = field(default_factory=set[asyncio.Transport])

    def close(self) -> None:
        """End every request."""
        for transport in self.connections:
            transport.abort()


Line = DialledLine | AnsweredLine
