"""Numbered SQL files, forward only: each brings the schema from one version to the next."""

import sqlite3
from importlib import resources

from meshd.errors import Degraded


def scripts() -> list[str]:
    """Return the migrations in order; the version that script `n` leads to is `n + 1`."""
    folder = resources.files("meshd.store.migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each step whole or not at all.

    Raises:
        Degraded: the file was written by a later version of meshd; it is left as it was.
    """
    steps = scripts()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise Degraded(
            f"the database is of version {version}, this meshd knows versions up to {len(steps)}",
            hint="upgrade meshd on this machine; the database was not changed",
        )
    for number, script in enumerate(steps[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version={number};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
