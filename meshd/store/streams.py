"""The durable streams at rest: what waits for each peer, and how far each peer's own stream was applied."""

from collections.abc import Callable

from meshd.store.database import Connection
from meshd_protocol.ids import DeviceId, StreamId
from meshd_protocol.machines.delivery import Inbound, Outbound


def is_peer(connection: Connection, device: DeviceId) -> bool:
    """Return whether there can be a stream to this device: it is paired."""
    return connection.execute("SELECT 1 FROM peer WHERE device = ?", (device,)).fetchone() is not None


def outbound(connection: Connection, peer: DeviceId, fresh: StreamId) -> Outbound:
    """Return the stream to `peer`; named `fresh` when there is none yet."""
    connection.execute("INSERT OR IGNORE INTO outbound VALUES (?, ?, 0, 0)", (peer, fresh))
    row = connection.execute("SELECT * FROM outbound WHERE peer = ?", (peer,)).fetchone()
    return Outbound(StreamId(row["stream"]), row["last_seq"], row["acked_seq"])


def append(connection: Connection, peer: DeviceId, frame: bytes, *, fresh: Callable[[], StreamId], now: float) -> int:
    """Put `frame` at the end of the stream to `peer` and return its number."""
    row = connection.execute(
        "UPDATE outbound SET last_seq = last_seq + 1 WHERE peer = ? RETURNING last_seq", (peer,)
    ).fetchone()
    if row is None:
        connection.execute("INSERT INTO outbound VALUES (?, ?, 1, 0)", (peer, fresh()))
    seq: int = 1 if row is None else row["last_seq"]
    connection.execute("INSERT INTO outbox VALUES (?, ?, ?, ?)", (peer, seq, frame, now))
    return seq


def frames(connection: Connection, peer: DeviceId, after: int, limit: int) -> list[tuple[int, bytes]]:
    """Return up to `limit` frames that follow `after`, with their numbers."""
    rows = connection.execute(
        "SELECT seq, frame FROM outbox WHERE peer = ? AND seq > ? ORDER BY seq LIMIT ?", (peer, after, limit)
    )
    return [(row["seq"], row["frame"]) for row in rows]


def frame(connection: Connection, peer: DeviceId, seq: int) -> bytes | None:
    """Return one frame that is not acknowledged yet, or None."""
    row = connection.execute("SELECT frame FROM outbox WHERE peer = ? AND seq = ?", (peer, seq)).fetchone()
    return None if row is None else row["frame"]


def acknowledge(connection: Connection, peer: DeviceId, seq: int) -> None:
    """Forget what `peer` has applied."""
    connection.execute("UPDATE outbound SET acked_seq = max(acked_seq, ?) WHERE peer = ?", (seq, peer))
    connection.execute("DELETE FROM outbox WHERE peer = ? AND seq <= ?", (peer, seq))


def reopen(connection: Connection, peer: DeviceId, stream: StreamId) -> dict[int, int]:
    """Number what waits for `peer` from 1 in a new stream; return the new number of each old one."""
    waiting = [row["seq"] for row in connection.execute("SELECT seq FROM outbox WHERE peer = ? ORDER BY seq", (peer,))]
    renumbered = {old: new for new, old in enumerate(waiting, start=1)}
    for old, new in renumbered.items():
        connection.execute("UPDATE outbox SET seq = ? WHERE peer = ? AND seq = ?", (new, peer, old))
    connection.execute(
        "UPDATE outbound SET stream = ?, last_seq = ?, acked_seq = 0 WHERE peer = ?", (stream, len(waiting), peer)
    )
    return renumbered


def with_older(connection: Connection, before: float) -> list[DeviceId]:
    """Return the peers for whom a message waits since before this time of day."""
    rows = connection.execute("SELECT DISTINCT peer FROM outbox WHERE created_at < ?", (before,))
    return [DeviceId(row["peer"]) for row in rows]


def drop_older(connection: Connection, peer: DeviceId, before: float) -> int:
    """Forget what waits for `peer` since before this time of day; return how many messages it were.

    Their numbers are missing then: the stream has to be reopened.
    """
    return connection.execute("DELETE FROM outbox WHERE peer = ? AND created_at < ?", (peer, before)).rowcount


def waiting_bytes(connection: Connection, peer: DeviceId) -> int:
    """Return how many bytes wait for `peer`."""
    row = connection.execute("SELECT coalesce(sum(length(frame)), 0) FROM outbox WHERE peer = ?", (peer,)).fetchone()
    return row[0]


def inbound(connection: Connection, peer: DeviceId) -> Inbound | None:
    """Return how far the stream from `peer` was applied."""
    row = connection.execute("SELECT * FROM inbound WHERE peer = ?", (peer,)).fetchone()
    return None if row is None else Inbound(StreamId(row["stream"]), row["last_seq"], row["digest"])


def save_inbound(connection: Connection, peer: DeviceId, cursor: Inbound) -> None:
    """Move the cursor of the stream from `peer`."""
    connection.execute(
        "INSERT INTO inbound VALUES (?, ?, ?, ?) ON CONFLICT (peer) DO UPDATE"
        " SET stream = excluded.stream, last_seq = excluded.last_seq, digest = excluded.digest",
        (peer, cursor.stream, cursor.last, cursor.digest),
    )
