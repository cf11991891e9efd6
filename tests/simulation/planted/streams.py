"""Mistakes in the durable streams."""
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Sequence
from typing import TypeVar

from meshd.net import streams as streams_module
from meshd.net.streams import Streams, Transaction
from meshd.store import streams as stream_rows
from meshd.store.database import Connection
from meshd_protocol.ids import DeviceId, StreamId
from meshd_protocol.machines import delivery
from tests.simulation.planted.bug import Bug

T = TypeVar("T")

_receive = delivery.receive


def _apply_again(inbound: delivery.Inbound, seq: int, frame: bytes) -> delivery.Apply | delivery.Again:
    if seq <= inbound.last:
        return delivery.Apply(delivery.Inbound(inbound.stream, seq, delivery.digest(frame)))
    return _receive(inbound, seq, frame)


def _apply_past_a_gap(inbound: delivery.Inbound, seq: int, frame: bytes) -> delivery.Apply | delivery.Again:
    if seq > inbound.last:
        return delivery.Apply(delivery.Inbound(inbound.stream, seq, delivery.digest(frame)))
    return _receive(inbound, seq, frame)


def _resume_at_the_end(
    outbound: delivery.Outbound, *, stream: str, received: int, ours: bytes | None, theirs: bytes
) -> delivery.Continue | delivery.Reopen:
    return delivery.Continue(outbound.last)


# Streams


async def _acknowledge_before_the_commit(
    self: streams_module._Conversation, batch: Sequence[streams_module.Arrived]
) -> None:
    self._acknowledge_to_peer(batch[-1][0].last)
    self._replies.extend(await self._streams.write(lambda transaction: self._apply_in(transaction, batch)))


async def _effects_whatever_the_disk_says(self: Streams, command: Callable[[Transaction], T]) -> T:
    transactions: list[Transaction] = []

    def run(connection: Connection) -> T:
        transactions.append(Transaction(connection, self._clock.wall(), self.fresh, self._store.soon, []))
        return command(transactions[-1])

    try:
        return await self._store.write(run)
    finally:
        for transaction in transactions:
            self._committed(transaction)


async def _effects_only_if_somebody_waits(self: Streams, command: Callable[[Transaction], T]) -> T:
    transactions: list[Transaction] = []

    def run(connection: Connection) -> T:
        transactions.append(Transaction(connection, self._clock.wall(), self.fresh, self._store.soon, []))
        return command(transactions[-1])

    result = await self._store.write(run)
    self._committed(transactions[-1])
    return result


async def _apply_then_move_the_cursor(
    self: streams_module._Conversation, batch: Sequence[streams_module.Arrived]
) -> None:
    then = batch[-1][0]

    def apply(transaction: Transaction) -> object:
        before = stream_rows.inbound(transaction.connection, self._peer)
        rejected = self._apply_in(transaction, batch)
        assert before is not None
        stream_rows.save_inbound(transaction.connection, self._peer, before)
        return rejected

    await self._streams.write(apply)
    await self._store.write(lambda connection: stream_rows.save_inbound(connection, self._peer, then))
    self._acknowledge_to_peer(then.last)


def _append_without_a_row(
    connection: Connection, peer: DeviceId, frame: bytes, *, fresh: Callable[[], StreamId], now: float
) -> int:
    seq = stream_rows.outbound(connection, peer, fresh()).last + 1
    connection.execute("UPDATE outbound SET last_seq = ? WHERE peer = ?", (seq, peer))
    return seq


BUGS = {
    "a message is applied again": Bug("A", delivery, "receive", _apply_again),
    "a gap in a stream is no error": Bug("A", delivery, "receive", _apply_past_a_gap),
    "a stream resumes at its end": Bug("A", delivery, "resume", _resume_at_the_end),
    "a message is acknowledged before the commit": Bug(
        "B", streams_module._Conversation, "_apply", _acknowledge_before_the_commit
    ),
    "effects run though the commit failed": Bug("B", Streams, "write", _effects_whatever_the_disk_says),
    "effects run only if somebody waits": Bug("B", Streams, "write", _effects_only_if_somebody_waits),
    "the cursor moves in a transaction of its own": Bug(
        "B", streams_module._Conversation, "_apply", _apply_then_move_the_cursor
    ),
    "a message is sent and not stored": Bug("B", stream_rows, "append", _append_without_a_row),
}
