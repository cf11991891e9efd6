"""Whether this device's user lets nothing new start, across restarts."""

from meshd.store.database import Connection


def since(connection: Connection) -> float | None:
    """Return since when it is paused, in epoch seconds; None: it is not."""
    row = connection.execute("SELECT since FROM pause").fetchone()
    return None if row is None else row["since"]


def pause(connection: Connection, now: float) -> float:
    """Pause; return since when: one that lasts goes on."""
    connection.execute("INSERT OR IGNORE INTO pause (only, since) VALUES (1, ?)", (now,))
    return now if (known := since(connection)) is None else known


def resume(connection: Connection) -> None:
    """End the pause, if there is one."""
    connection.execute("DELETE FROM pause")
