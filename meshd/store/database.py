"""The database file: opened, checked, written by one thread, read by others.

A write is a function of the connection. The writer drains what queued during the last fsync into one
transaction, a SAVEPOINT a command, and answers all of them after COMMIT: durable writes by the thousand a
second, though each waits for the disk (`synchronous=FULL`: NORMAL lost acknowledged rows in 6 of 60 emulated
power cuts, FULL in none).
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, TypeVar, cast

import aiosqlite

from meshd.errors import Degraded
from meshd.store.migrate import migrate

log = logging.getLogger(__name__)

T = TypeVar("T")
Connection: TypeAlias = sqlite3.Connection
Row: TypeAlias = sqlite3.Row
StoreError = sqlite3.Error
"""What the database itself may raise inside a command."""

Value: TypeAlias = str | bytes | int | float | None
Query: TypeAlias = tuple[str, Sequence[Value]]
"""A SELECT, and its parameters."""

CHECK_BELOW_BYTES = 32 << 20
"""Files up to this size are checked whole at every start (about 0.1 s); larger ones would delay it."""

CACHE_KIB = 8192
"""What the writer keeps of the file: the inner pages of all indices over 100,000 jobs, and what jobs touch that run."""

LOG_PAGES = 4096
"""Of the write-ahead log, 16 MiB, before they move into the file: short jobs write the same pages over and over, and
with SQLite's 1,000 each would be moved, and waited for, twenty times a second."""

MAX_BATCH = 512
"""Commands in one transaction: bounds how long the first of them waits."""


class Store(Protocol):
    """What the rest of meshd sees of the database."""

    async def write(
        self,
        command: Callable[[Connection], T],
        *,
        then: Callable[[], None] | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> T:
        """Run `command` in a transaction and return its result once that is on disk, and `then` was called.

        A command that raises leaves no trace and its error reaches only its caller, after `otherwise` was called. A
        caller that is cancelled changes nothing: the command runs all the same, and so does what follows.

        Raises:
            Degraded: the disk did not take the transaction, and nobody sees any of it. Only when the daemon is killed
                before the disk takes another may the next start find it after all.
        """
        ...

    def soon(self, effect: Callable[[], None]) -> None:
        """Call `effect` in the event loop, at once; for commands, whose transaction may still fail."""
        ...

    async def fetch(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Return the rows that a SELECT finds among what is committed: every write that was acknowledged before.

        Raises:
            Degraded: the disk did not give them.
        """
        ...

    async def fetch_all(self, queries: Sequence[Query]) -> list[list[Row]]:
        """Return what each of several SELECTs finds, one after the other, in hardly more time than one takes.

        Raises:
            Degraded: as `fetch`.
        """
        ...


@dataclass(slots=True)
class Command:
    """A queued write, whoever waits for it, and what became of it."""

    run: Callable[[Connection], object]
    future: asyncio.Future[object]
    then: Callable[[], None] | None = None
    otherwise: Callable[[], None] | None = None
    result: object = None
    error: BaseException | None = None

    def execute(self, connection: Connection) -> None:
        """Run inside a savepoint, so that an error undoes this command and no other."""
        connection.execute("SAVEPOINT command")
        try:
            self.result = self.run(connection)
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
            # An operational error is the disk's, not the command's: full, gone, or broken.
            is_trouble = isinstance(error, sqlite3.OperationalError) or _is_trouble(error)
            self.error = _degraded(error) if is_trouble else error
            if connection.in_transaction:
                connection.execute("ROLLBACK TO command")
        if connection.in_transaction:
            connection.execute("RELEASE command")

    def settle(self) -> None:
        """Let what follows happen, and hand the outcome to the caller, unless it has gone."""
        follows = self.then if self.error is None else self.otherwise
        if follows is not None:
            try:
                follows()
            except Exception as error:
                log.exception("what follows from a write went wrong")
                self.error = self.error or error
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Reader(aiosqlite.Connection):
    """A connection that reads, in a thread of its own."""

    async def fetch_all(self, queries: Sequence[Query]) -> list[list[Row]]:
        """Return what each of these finds; the thread is woken once."""

        def fetch_each() -> list[list[Row]]:
            # In one go: a statement that is left open in between holds its view of the database, and every other
            # statement of this connection would see that old one, too.
            return [self._conn.execute(query, parameters).fetchall() for query, parameters in queries]

        found = await self._execute(fetch_each)  # pyright: ignore[reportUnknownMemberType] - it has no types
        return cast("list[list[Row]]", found)


class SqliteStore:
    """The real store: one file, one writing thread, one read-only connection."""

    def __init__(self, connection: Connection, reader: Reader) -> None:
        self._connection = connection
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._effects: deque[Callable[[], None]] = deque()
        """What the writer's thread wants to happen in the event loop at once."""

        self._thread = threading.Thread(target=self._drain, name="store-writer", daemon=True)
        self._thread.start()

    async def write(
        self,
        command: Callable[[Connection], T],
        *,
        then: Callable[[], None] | None = None,
        otherwise: Callable[[], None] | None = None,
    ) -> T:
        """See `Store.write`."""
        future: asyncio.Future[object] = self._loop.create_future()
        self._queue.put(Command(command, future, then, otherwise))
        return cast("T", await future)

    def soon(self, effect: Callable[[], None]) -> None:
        """See `Store.soon`."""
        self._effects.append(effect)
        if len(self._effects) == 1:
            # Whatever comes before the loop has got to it shares this call, and the wake-up.
            self._loop.call_soon_threadsafe(self._let_happen)

    def _let_happen(self) -> None:
        while self._effects:
            try:
                self._effects.popleft()()
            except Exception:
                log.exception("what follows from a write went wrong")

    async def fetch(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """See `Store.fetch`."""
        (found,) = await self.fetch_all([(query, parameters)])
        return found

    async def fetch_all(self, queries: Sequence[Query]) -> list[list[Row]]:
        """See `Store.fetch_all`."""
        try:
            return await self._reader.fetch_all(queries)
        except sqlite3.Error as error:
            if _is_trouble(error):
                raise _degraded(error, "read") from error
            raise

    async def close(self) -> None:
        """Write what is queued and close the file."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await self._reader.close()
        self._connection.close()

    def _drain(self) -> None:
        """Take commands until told to stop; the only place where the file is written."""
        while (first := self._queue.get()) is not None:
            batch = [first]
            stop = False
            while len(batch) < MAX_BATCH:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stop = True
                    break
                batch.append(following)
            commit(self._connection, batch)
            self._loop.call_soon_threadsafe(_settle, batch)
            if stop:
                return


def _settle(batch: list[Command]) -> None:
    for command in batch:
        command.settle()


def commit(connection: Connection, batch: Sequence[Command]) -> None:
    """Run the commands in one transaction; when that fails as a whole, every one of them has failed."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for command in batch:
            command.execute(connection)
            if not connection.in_transaction:
                # SQLite itself rolled the whole transaction back: disk full, I/O error, out of memory.
                raise sqlite3.OperationalError(str(command.error or "the transaction was rolled back"))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if connection.in_transaction:
            # Should the disk refuse even this, then the next BEGIN does not succeed, and comes here again.
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        failure = _degraded(error)
        for command in batch:
            command.error = failure


_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""What SQLite says of a file or a disk, not of a statement."""


def _is_trouble(error: BaseException) -> bool:
    """Return whether the disk is to blame."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _TROUBLE


def _degraded(error: BaseException, deed: Literal["written", "read"] = "written") -> Degraded:
    is_full = "full" in str(error)
    failure = Degraded(
        f"the database could not be {deed}: {error}",
        hint="free some disk space, then try again" if is_full else "check the disk, then try again",
    )
    failure.__cause__ = error
    return failure


def connect(path: Path) -> Connection:
    """Return the writing connection, its file checked and brought to the current schema.

    Raises:
        Degraded: the file cannot be read, is damaged, or comes from a later version of meshd. It is left as it was.
    """
    try:
        # The pair keys are in it: nobody else may read it, in whatever folder it lies.
        path.touch(mode=0o600)
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    except (OSError, sqlite3.Error) as error:
        raise Degraded(f"{path} cannot be opened: {error}", hint="check the permissions of the folder") from error
    try:
        connection.row_factory = sqlite3.Row
        # Answers with the mode that it is, and raises nothing where the disk did not let it change.
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError("the disk does not let it keep a write-ahead log")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # What a statement would need to undo itself: of a trigger's, otherwise a file for each row.
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        if path.stat().st_size <= CHECK_BELOW_BYTES:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                # Its last line says what is wrong, those before in which part.
                raise sqlite3.DatabaseError(str(verdict).splitlines()[-1])
        migrate(connection)
    except sqlite3.DatabaseError as error:
        _leave(connection, path)
        if isinstance(error, sqlite3.OperationalError):
            raise Degraded(f"{path} cannot be used: {error}", hint="check its permissions and the disk") from error
        raise Degraded(
            f"{path} is damaged: {error}",
            hint=f"move it away together with {path.name}-wal (keep both) and start again, or restore a backup;"
            " meshd has not changed it",
        ) from error
    except Degraded:
        _leave(connection, path)
        raise
    return connection


def _leave(connection: Connection, path: Path) -> None:
    """Close the connection, and leave the files as they are: the last one to close moves the log into the database."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as other:
        # The log is opened with the first look; what cannot be looked at has none that could be moved.
        other.execute("PRAGMA schema_version").fetchone()
        connection.close()
    connection.close()


@asynccontextmanager
async def open_store(path: Path) -> AsyncGenerator[SqliteStore, None]:
    """Open the store in `path`, which must be absolute; leaving the block writes what is queued.

    Raises:
        Degraded: as `connect`.
    """
    connection = await asyncio.to_thread(connect, path)
    try:
        reader = Reader(lambda: sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True), iter_chunk_size=64)
        await reader
    except sqlite3.Error as error:
        connection.close()
        raise Degraded(f"{path} cannot be read: {error}", hint="check its permissions and the disk") from error
    reader.row_factory = aiosqlite.Row
    store = SqliteStore(connection, reader)
    try:
        yield store
    finally:
        await store.close()
