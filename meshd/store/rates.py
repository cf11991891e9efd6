"""How fast devices are, by kind and accelerator: this one as measured, its peers as seen."""

from dataclasses import dataclass

from meshd.store.database import Connection

HERE = ""
"""In place of a device: this one."""

MAX_OF_PEER = 64
"""Rates that are kept of one peer, the newest: one that renames its GPUs all day must not fill the disk."""


@dataclass(frozen=True, slots=True)
class StoredRate:
    """A rate in units of the kind per second, and how it came about."""

    kind: str
    source: str
    rate: float
    samples: int
    device: str = HERE
    accelerator: str = ""
    on_battery: bool = False


def all_rates(connection: Connection) -> list[StoredRate]:
    """Return every stored rate."""
    return [
        StoredRate(
            row["kind"],
            row["source"],
            row["rate"],
            row["samples"],
            row["device"],
            row["accelerator"],
            bool(row["on_battery"]),
        )
        for row in connection.execute("SELECT * FROM rate")
    ]


def save(connection: Connection, rate: StoredRate, now: float) -> None:
    """Store a rate in place of an earlier one of the same device, kind and accelerator, and the same power."""
    connection.execute(
        "INSERT OR REPLACE INTO rate (device, kind, accelerator, on_battery, source, rate, samples, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (rate.device, rate.kind, rate.accelerator, rate.on_battery, rate.source, rate.rate, rate.samples, now),
    )
    if rate.device != HERE:
        connection.execute(
            "DELETE FROM rate WHERE device = ?1 AND (kind, accelerator, on_battery) NOT IN"
            " (SELECT kind, accelerator, on_battery FROM rate WHERE device = ?1 ORDER BY at DESC LIMIT ?2)",
            (rate.device, MAX_OF_PEER),
        )
