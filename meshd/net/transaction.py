"""One unit of work: changes of rows, messages to peers, and what follows, all of it or nothing."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from meshd.store import streams as rows
from meshd.store.database import Connection
from meshd_protocol import codec
from meshd_protocol.codec import DurableMessage
from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import DeviceId, StreamId
from meshd_protocol.limits import MAX_DURABLE_BYTES

Effect: TypeAlias = Callable[[], None]


@dataclass(slots=True)
class Transaction:
    """One unit of work, inside the writer thread: change rows through `connection`, and post what follows."""

    connection: Connection
    now: float
    """Wall clock, epoch seconds."""

    _fresh: Callable[[], StreamId]
    _soon: Callable[[Effect], None]
    _undoing: list[Effect]
    posted: list[tuple[DeviceId, int, bytes]] = field(default_factory=list[tuple[DeviceId, int, bytes]])
    effects: list[Effect] = field(default_factory=list[Effect])
    _paired: dict[DeviceId, bool] = field(default_factory=dict[DeviceId, bool])

    def is_paired(self, peer: DeviceId) -> bool:
        """Return whether messages can be posted to this device."""
        known = self._paired.get(peer)
        if known is None:
            known = self._paired[peer] = rows.is_peer(self.connection, peer)
        return known

    def post(self, peer: DeviceId, message: DurableMessage) -> int:
        """Send `message` to `peer` once this transaction is on disk; return its number in the stream.

        Raises:
            BadMessage: it is larger than a stream carries.
        """
        frame = codec.encode(message)
        if len(frame) > MAX_DURABLE_BYTES:
            raise BadMessage(f"a {type(message).__name__} message of {len(frame):,} bytes fits in no frame")
        seq = rows.append(self.connection, peer, frame, fresh=self._fresh, now=self.now)
        self.posted.append((peer, seq, frame))
        return seq

    @contextmanager
    def attempt(self) -> Generator[None]:
        """Undo what the block did to the rows, and forget what it posted, when it raises."""
        posted, effects = len(self.posted), len(self.effects)
        self.connection.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK TO attempt")
            del self.posted[posted:]
            del self.effects[effects:]
            raise
        finally:
            if self.connection.in_transaction:
                self.connection.execute("RELEASE attempt")

    def at_once(self, effect: Effect) -> None:
        """Run `effect` in the event loop at once, whatever becomes of this transaction."""
        self._soon(effect)

    def after(self, effect: Effect) -> None:
        """Run `effect` in the event loop once this transaction is on disk."""
        self.effects.append(effect)

    def otherwise(self, effect: Effect) -> None:
        """Run `effect` in the event loop once it is known that this transaction does not come to disk."""
        self._undoing.append(effect)
