"""Writes to the real database and keeps a diary: `… tests.faults.database_child FOLDER DIARY COMMITS PAGES END`.

PAGES: after how many pages of log SQLite moves them into the database (0: at the end only). END: `close` or `die`.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from meshd.errors import MeshdError
from meshd.store.database import Connection, SqliteStore, open_store
from tests.faults.diary import Pen


class ChangedMind(Exception):
    """A command that fails by its own doing."""


def row(name: str, then: Exception | None = None) -> Callable[[Connection], str]:
    """Return a command that adds a row, and then fails if it is to."""

    def add(connection: Connection) -> str:
        connection.execute(
            "INSERT INTO rate (kind, source, rate, samples, at) VALUES (?, ?, 1.0, 1, 0.0)", (name, "x" * 700)
        )
        if then is not None:
            raise then
        return name

    return add


async def ask(store: SqliteStore, pen: Pen, name: str, then: Exception | None = None) -> bool:
    """Write a row and note what became of it; return whether it was acknowledged."""
    try:
        await store.write(row(name, then))
    except ChangedMind:
        pen.note("changed mind", name)
    except Exception as error:  # noqa: BLE001 - what it is, the diary tells
        pen.trouble(name, error)
    else:
        pen.note("kept", name)
        return True
    return False


async def look(store: SqliteStore, pen: Pen) -> None:
    """Note what readers see; that reading fails is no lie."""
    try:
        found = await store.fetch("SELECT kind FROM rate")
    except Exception as error:  # noqa: BLE001 - what it is, the diary tells
        pen.trouble("reading", error)
    else:
        pen.note("seen", "", ",".join(each["kind"] for each in found))


async def live(store: SqliteStore, pen: Pen, commits: int, pages: int) -> None:
    """Write in ones and threes, and look after each trouble."""

    def set_up(connection: Connection) -> None:
        connection.execute(f"PRAGMA wal_autocheckpoint={pages}")
        pen.note("writer", threading.get_native_id())
        pen.note("journal", connection.execute("PRAGMA journal_mode").fetchone()[0])

    await store.write(set_up)
    for number in range(commits):
        if number % 3:
            fine = await ask(store, pen, f"{number}")
        else:
            # Together in one transaction: neither may suffer from the one that changes its mind.
            kept = await asyncio.gather(
                ask(store, pen, f"{number}a"),
                ask(store, pen, f"{number}b", ChangedMind()),
                ask(store, pen, f"{number}c"),
            )
            fine = kept[0] and kept[2]
        if not fine or number == commits - 1:
            await look(store, pen)


async def main(folder: Path, pen: Pen, commits: int, pages: int, end: str) -> None:
    """Open, write, close; or die instead of closing."""
    try:
        async with open_store(folder / "mesh.db") as store:
            pen.note("opened")
            await live(store, pen, commits, pages)
            if end == "die":
                pen.note("ended")
                os._exit(0)
    except MeshdError as error:
        pen.note("did not open", "", f"{type(error).__name__}: {error.message} ({error.hint})")
    pen.note("ended")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Pen(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
