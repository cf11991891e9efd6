"""Brings each message of a peer to the part that understands it."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from meshd.jobs.holdings import Holdings
from meshd.jobs.origin import Origin
from meshd.jobs.roster import Roster
from meshd.net.streams import Transaction
from meshd_protocol.codec import DurableMessage, EphemeralMessage
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import blobs, jobs, status

BlobMessage: TypeAlias = blobs.BlobKey | blobs.BlobWanted | blobs.BlobMissing


class BlobTalk(Protocol):
    """What sessions say about blobs, as this module needs it."""

    def hear(self, peer: DeviceId, message: BlobMessage) -> None:
        """Take a message about blobs."""
        ...

    def opened(self, peer: DeviceId) -> None:
        """Note that a session is open."""
        ...

    def closed(self, peer: DeviceId) -> None:
        """Note that a session is over."""
        ...


class Courier:
    """The one receiver of all streams: see `meshd.net.streams.Receiver`."""

    def __init__(
        self,
        *,
        origin: Origin,
        holdings: Holdings,
        roster: Roster,
        exchange: BlobTalk,
        peers: Callable[[], set[DeviceId]],
    ) -> None:
        self._origin = origin
        self._holdings = holdings
        self._roster = roster
        self._exchange = exchange
        self._peers = peers
        self._known = peers()

    def apply(self, transaction: Transaction, peer: DeviceId, message: DurableMessage, answered: int) -> None:
        """Let a durable message take effect."""
        match message:
            case jobs.Offer():
                self._holdings.offered(transaction, peer, message, answered)
            case jobs.Cancel():
                self._holdings.cancelled(transaction, peer, message)
            case jobs.Declined():
                self._origin.declined(transaction, peer, message)
            case jobs.Finished():
                self._origin.finished(transaction, peer, message)
            case jobs.Shrunk():
                self._origin.spread.shrunk(transaction, peer, message)
            case jobs.Collected():
                self._holdings.deliveries.collected(transaction, peer, message)

    def acknowledged(self, transaction: Transaction, peer: DeviceId, seq: int) -> None:
        """Note how far a peer has applied this device's stream."""
        self._holdings.acknowledged(transaction, peer, seq)

    def reopened(self, transaction: Transaction, peer: DeviceId, renumbered: dict[int, int]) -> None:
        """Follow the waiting messages into their new numbers."""
        self._holdings.reopened(transaction, peer, renumbered)

    def hear(self, peer: DeviceId, message: EphemeralMessage) -> None:
        """Take an ephemeral message."""
        match message:
            case jobs.Holding():
                self._origin.holding(peer, message)
            case jobs.Renewed():
                self._holdings.renewed(peer, message)
            case jobs.Kept():
                self._origin.resumption.hear(peer, message)
            case jobs.Progress():
                self._origin.progress(peer, message)
            case jobs.Waiting():
                self._origin.spread.waits(peer, message)
            case jobs.Shrink() | jobs.Extend() | jobs.Joined():
                self._holdings.heard(peer, message)
            case jobs.LogWanted():
                self._holdings.log_wanted(peer, message)
            case jobs.LogPart():
                self._origin.tails.heard(peer, message)
            case blobs.BlobKey() | blobs.BlobWanted() | blobs.BlobMissing():
                self._exchange.hear(peer, message)
            case status.Status() | status.Ping() | status.Pong():
                self._roster.hear(peer, message)

    def opened(self, peer: DeviceId) -> None:
        """Note that a session is open."""
        # First: whoever hears of the session next may want blobs through it.
        self._exchange.opened(peer)
        self._roster.opened(peer)
        self._holdings.opened(peer)
        self._origin.opened(peer)

    def closed(self, peer: DeviceId) -> None:
        """Note that a session is over."""
        self._exchange.closed(peer)
        self._holdings.closed(peer)
        self._origin.closed(peer)
        self._roster.closed(peer)

    def peers_changed(self) -> None:
        """Let go of the devices that are no longer paired, and look what the new ones could do."""
        peers = self._peers()
        for peer in self._known - peers:
            self._holdings.forget(peer)
            self._origin.forget(peer)
            self._roster.forget(peer)
        self._known = peers
        # Permissions may have changed: what is not allowed any more stops, and each peer is told what is.
        self._holdings.permissions_changed()
        self._roster.changed()
