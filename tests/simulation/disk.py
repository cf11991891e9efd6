"""A device's disk: a real SQLite database in memory that outlives its daemon, and that fills, slows and dies on demand.

Commands run through the same `commit` as in production: one transaction for all that queued, a savepoint each.
"""
# pyright: reportPrivateUsage=false

import asyncio
import contextlib
import functools
import random
import sqlite3
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from meshd.errors import Degraded
from meshd.store.database import MAX_BATCH, Command, Connection, Query, Row, Value, commit
from meshd.store.migrate import migrate
from tests.simulation.ledger import LEDGER
from tests.simulation.virtual_time import no_running_loop

T = TypeVar("T")

REHEARSED = 4
"""Of so many transactions one is made twice, some time apart, where anything follows from it before it is on disk."""


class DiskConnection(sqlite3.Connection):
    """A connection whose disk can be full: then nothing that changes rows succeeds, and what only reads does."""

    full = False
    full_at_commit = False
    _changes = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if self.full:
            if sql.startswith("BEGIN"):
                self._changes = self.total_changes
            elif self.full_at_commit:
                if sql == "COMMIT" and self.total_changes != self._changes:
                    raise sqlite3.OperationalError("disk I/O error")
            elif sql.startswith(("INSERT", "UPDATE", "DELETE")):
                raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, parameters)


@functools.cache
def _template() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    connection.executescript(LEDGER)
    return connection


def new_database() -> DiskConnection:
    """Return an empty database of the current schema, in memory."""
    with no_running_loop():
        connection = sqlite3.connect(":memory:", isolation_level=None, factory=DiskConnection)
        _template().backup(connection)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys=ON")
    return connection


@dataclass(slots=True)
class Disk:
    """What a database lies on, and how it fares."""

    connection: DiskConnection
    rng: random.Random
    slow_s: float = 0.0
    """The longest that a commit takes beyond the usual."""

    def latency_s(self) -> float:
        """Return how long the next commit takes."""
        return self.rng.uniform(0.001, 0.006) + (self.rng.uniform(0.0, self.slow_s) if self.slow_s else 0.0)

    async def wait(self) -> None:
        """Wait as long as a write takes."""
        await asyncio.sleep(self.latency_s())


class MemoryStore:
    """See `meshd.store.database.Store`; it belongs to one run of a daemon, its disk to the device.

    What follows from a commit happens in `context`, whoever asked for it: a daemon that dies takes it along.
    `due` is called when commands are about to be written, `committed` when they are on disk and nobody has been told
    yet; either returns False when the daemon dies at that very moment.
    """

    def __init__(
        self,
        disk: Disk,
        *,
        due: Callable[[], bool] = lambda: True,
        committed: Callable[[], bool] = lambda: True,
        context: Context | None = None,
    ) -> None:
        self._disk = disk
        self._context = copy_context() if context is None else context
        self._due = due
        self._committed = committed
        self._queue: list[Command] = []
        self._armed = False
        self._dead = False
        self._batches = 0
        self._rehearsed: list[Command] = []
        """What has been tried, with all that follows from it at once, and is to be committed."""

        self._early: list[Callable[[], None]] = []

    def soon(self, effect: Callable[[], None]) -> None:
        """See `Store.soon`."""
        self._early.append(effect)

    async def write(
        self,
        command: Callable[[Connection], T],
        *,
        then: Callable[[], None] | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> T:
        """See `Store.write`."""
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if not self._dead:
            self._queue.append(Command(command, future, then, otherwise))
            self._arm()
        return cast("T", await future)

    async def fetch(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """See `Store.fetch`."""
        with no_running_loop():
            if not query.lstrip().upper().startswith(("SELECT", "WITH")):
                raise sqlite3.OperationalError("attempt to write a readonly database")
            return self._disk.connection.execute(query, parameters).fetchall()

    async def fetch_all(self, queries: Sequence[Query]) -> list[list[Row]]:
        """See `Store.fetch_all`."""
        return [await self.fetch(query, parameters) for query, parameters in queries]

    async def close(self) -> None:
        """Write what is queued."""
        while self._queue and not self._dead:
            with contextlib.suppress(Degraded):
                await self.write(lambda _: None)
        self._dead = True

    def die(self) -> None:
        """Forget what is not on disk yet, and tell nobody."""
        self._dead = True
        self._queue.clear()
        self._rehearsed.clear()

    def _arm(self) -> None:
        if not self._armed and (self._queue or self._rehearsed):
            self._armed = True
            asyncio.get_running_loop().call_later(self._disk.latency_s(), self._drain, context=self._context)

    def _drain(self) -> None:
        self._armed = False
        if self._dead or not self._due():
            return
        batch, self._rehearsed = self._rehearsed, []
        if not batch:
            batch, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
            self._batches += 1
            if self._batches % REHEARSED == 0 and self._rehearse(batch):
                self._rehearsed = batch
                self._arm()
                return
        with no_running_loop():
            commit(self._disk.connection, batch)
            lives = self._committed()
        self._tell_early()
        if lives:
            asyncio.get_running_loop().call_soon(self._settle, batch)
        self._arm()

    def _rehearse(self, batch: list[Command]) -> bool:
        """Let what follows at once happen while the transaction is still to be committed; False: nothing follows so."""
        connection = self._disk.connection
        with no_running_loop():
            connection.execute("BEGIN IMMEDIATE")
            for command in batch:
                if connection.in_transaction:
                    command.execute(connection)
                command.result = command.error = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        is_early = bool(self._early)
        self._tell_early()
        return is_early

    def _tell_early(self) -> None:
        early, self._early = self._early, []
        for effect in early:
            asyncio.get_running_loop().call_soon(self._do_early, effect)

    def _do_early(self, effect: Callable[[], None]) -> None:
        if not self._dead:
            effect()

    def _settle(self, batch: list[Command]) -> None:
        if not self._dead:
            for command in batch:
                command.settle()
