"""How fast this device was measured to be, by kind."""

from dataclasses import dataclass

from meshd.store.database import Connection


@dataclass(frozen=True, slots=True)
class StoredRate:
    """A rate in units of the kind per second, and how it came about."""

    kind: str
    source: str
    rate: float
    samples: int


def all_rates(connection: Connection) -> list[StoredRate]:
    """Return every stored rate."""
    return [
        StoredRate(row["kind"], row["source"], row["rate"], row["samples"])
        for row in connection.execute("SELECT * FROM rate")
    ]


def save(connection: Connection, rate: StoredRate, now: float) -> None:
    """Store a rate in place of the kind's earlier one."""
    connection.execute(
        "INSERT OR REPLACE INTO rate (kind, source, rate, samples, at) VALUES (?, ?, ?, ?, ?)",
        (rate.kind, rate.source, rate.rate, rate.samples, now),
    )
