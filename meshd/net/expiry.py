"""Messages that a peer has not fetched for a week: they are dropped, and a person hears of it."""

import asyncio
from collections.abc import Callable

from meshd.clock import Clock
from meshd.net.streams import Streams, Transaction
from meshd.store import streams as rows
from meshd.trust.notice import Notice
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import OUTBOX_TTL_S

LOOK_S = 3600.0
"""How often the oldest message to each peer is looked at."""


class Expiry:
    """Keeps what waits for devices that do not come back from staying for ever."""

    def __init__(
        self,
        *,
        streams: Streams,
        clock: Clock,
        reopened: Callable[[Transaction, DeviceId, dict[int, int]], None],
        names: Callable[[DeviceId], str],
        notify: Callable[[Notice], None],
    ) -> None:
        """`reopened` follows the messages that are left into their new numbers."""
        self._streams = streams
        self._clock = clock
        self._reopened = reopened
        self._names = names
        self._notify = notify

    async def run(self) -> None:
        """Look now and every hour, for ever."""
        while True:
            await self.apply()
            await asyncio.sleep(LOOK_S)

    async def apply(self) -> None:
        """Drop what is too old, of all peers who are out of reach.

        The stream begins anew without it: numbers that are missing in the middle would look like a loss.
        """
        before = self._clock.wall() - OUTBOX_TTL_S
        old = await self._streams.write(lambda transaction: rows.with_older(transaction.connection, before))
        for peer in old:
            # A peer who is here fetches its messages in the next moments.
            if self._streams.is_open(peer):
                continue
            dropped = await self._streams.write(lambda transaction, peer=peer: self._drop(transaction, peer, before))
            text = "1 message" if dropped == 1 else f"{dropped} messages"
            days = f"{OUTBOX_TTL_S / 86400:.0f} days"
            name = self._names(peer)
            self._notify(
                Notice("expired", f"{text} to {name} expired: it was not reached for {days}", peer),
            )

    def _drop(self, transaction: Transaction, peer: DeviceId, before: float) -> int:
        dropped = rows.drop_older(transaction.connection, peer, before)
        renumbered = rows.reopen(transaction.connection, peer, self._streams.fresh())
        self._reopened(transaction, peer, renumbered)
        return dropped
