"""What the store acknowledges is on disk; what it cannot do it says, and loses nothing."""
# pyright: reportPrivateUsage=false

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshd.errors import Degraded
from meshd.store.database import Command, Connection, SqliteStore, commit, connect, open_store
from meshd.store.migrate import migrate, scripts


def add(kind: str) -> "Write":
    return Write(kind)


class Write:
    """A command that adds one row."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, connection: Connection) -> int:
        connection.execute(
            "INSERT INTO rate (kind, source, rate, samples, at) VALUES (?, 'measured', 1.0, 1, 0.0)", (self.kind,)
        )
        return 1


@pytest.mark.asyncio
async def test_an_acknowledged_write_is_seen_by_readers_and_survives_a_reopening(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        assert await store.write(add("one")) == 1
        assert len(await store.fetch("SELECT * FROM rate")) == 1
    async with open_store(tmp_path / "mesh.db") as store:
        assert [row["kind"] for row in await store.fetch("SELECT kind FROM rate")] == ["one"]


@pytest.mark.asyncio
async def test_a_failing_command_leaves_no_trace_and_spares_its_neighbours(tmp_path: Path) -> None:
    def half(connection: Connection) -> None:
        add("half")(connection)
        raise ValueError("changed my mind")

    async with open_store(tmp_path / "mesh.db") as store:
        before, failed, later = await asyncio.gather(
            store.write(add("before")), store.write(half), store.write(add("later")), return_exceptions=True
        )
        assert (before, later) == (1, 1)
        assert isinstance(failed, ValueError)
        kinds = [row["kind"] for row in await store.fetch("SELECT kind FROM rate ORDER BY kind")]
        assert kinds == ["before", "later"]


@pytest.mark.asyncio
async def test_writes_take_effect_in_the_order_they_were_asked_for(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        seen: list[int] = []
        await asyncio.gather(*(store.write(lambda _, n=n: seen.append(n)) for n in range(500)))
        assert seen == list(range(500))


@pytest.mark.asyncio
async def test_what_commands_want_at_once_happens_in_their_order_and_a_mistake_in_it_stops_nothing(
    tmp_path: Path,
) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        happened: list[int] = []

        def happen(number: int) -> None:
            happened.append(number)
            if number % 7 == 0:
                raise KeyError("a bug")

        def command(first: int) -> Callable[[Connection], None]:
            def run(connection: Connection) -> None:
                for number in range(first, first + 10):
                    store.soon(lambda number=number: happen(number))

            return run

        await asyncio.gather(*(store.write(command(first)) for first in range(0, 200, 10)))
        assert happened == list(range(200))


@pytest.mark.asyncio
async def test_a_caller_that_goes_away_does_not_undo_its_write(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        asking = asyncio.ensure_future(store.write(add("orphan")))  # noqa: TID251
        await asyncio.sleep(0)
        asking.cancel()
        await store.write(add("later"))
        assert len(await store.fetch("SELECT * FROM rate")) == 2


@pytest.mark.asyncio
async def test_a_read_sees_every_write_acknowledged_before_it_whatever_else_is_read(tmp_path: Path) -> None:
    async def read_on(store: SqliteStore) -> None:
        while True:
            await store.fetch("SELECT * FROM rate")

    async with open_store(tmp_path / "mesh.db") as store, asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(read_on(store)) for _ in range(3)]
        for number in range(100):
            await store.write(add(f"kind {number}"))
            assert len(await store.fetch("SELECT kind FROM rate")) == number + 1
        for reader in readers:
            reader.cancel()


@pytest.mark.asyncio
async def test_a_read_that_the_disk_refuses_is_told_as_the_disks_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
        raise error

    async with open_store(tmp_path / "mesh.db") as store:
        monkeypatch.setattr(store._reader, "fetch_all", refuse)
        with pytest.raises(Degraded, match="could not be read") as caught:
            await store.fetch("SELECT * FROM rate")
    assert "check the disk" in caught.value.hint


@pytest.mark.asyncio
async def test_damage_that_a_command_meets_is_told_as_the_disks_trouble(tmp_path: Path) -> None:
    def stumble(_: Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    async with open_store(tmp_path / "mesh.db") as store:
        with pytest.raises(Degraded, match="malformed"):
            await store.write(stumble)


@pytest.mark.asyncio
async def test_a_disk_that_gives_readers_nothing_stops_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("meshd.store.database.Reader", refuse)
    with pytest.raises(Degraded, match="cannot be read"):
        async with open_store(tmp_path / "mesh.db"):
            pass


def test_a_disk_that_refuses_even_a_rollback_does_not_end_the_writing(tmp_path: Path) -> None:
    class Stubborn(sqlite3.Connection):
        refuses = True

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if self.refuses and sql in {"COMMIT", "ROLLBACK"}:
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(sql, parameters)

    connection = sqlite3.connect(tmp_path / "mesh.db", isolation_level=None, factory=Stubborn)
    migrate(connection)

    loop = asyncio.new_event_loop()

    def written(kind: str) -> bool:
        batch = [Command(add(kind), loop.create_future())]
        commit(connection, batch)
        return batch[0].error is None

    assert not written("one")
    connection.refuses = False
    assert not written("two")  # the first is still to be undone
    assert written("three")
    assert connection.execute("SELECT kind FROM rate").fetchall() == [("three",)]
    connection.close()
    loop.close()


@pytest.mark.asyncio
async def test_readers_cannot_write(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await store.fetch("DELETE FROM rate")


@pytest.mark.asyncio
async def test_a_full_disk_fails_the_write_and_not_the_database(tmp_path: Path) -> None:
    def fill(connection: Connection) -> None:
        connection.execute(
            "INSERT INTO rate (kind, source, rate, samples, at) VALUES (?, 'measured', 1.0, 1, 0.0)", ("x" * 3_000_000,)
        )

    async with open_store(tmp_path / "mesh.db") as store:
        await store.write(add("before"))
        pages = await store.write(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
        await store.write(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 20}").fetchone())
        with pytest.raises(Degraded, match="could not be written"):
            await store.write(fill)
        await store.write(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())
        await store.write(add("after"))
        assert len(await store.fetch("SELECT * FROM rate")) == 2


@pytest.mark.asyncio
async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    async with open_store(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(Degraded, match="version 99") as caught:
        async with open_store(path):
            pass
    assert "upgrade" in caught.value.hint
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (99,)


@pytest.mark.parametrize("damage", [b"this is no database, whatever its name says" * 40, None])
@pytest.mark.asyncio
async def test_a_corrupt_database_is_refused_and_left_alone(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "mesh.db"
    async with open_store(path) as store:
        for number in range(300):
            await store.write(add(f"kind {number}" + "x" * 200))
    content = bytearray(path.read_bytes())
    if damage is None:
        content[4096 * 3 : 4096 * 6] = b"\xff" * 4096 * 3
    broken = bytes(content) if damage is None else damage
    path.write_bytes(broken)
    with pytest.raises(Degraded, match="is damaged") as caught:
        async with open_store(path):
            pass
    assert "has not changed it" in caught.value.hint
    assert path.read_bytes() == broken


@pytest.mark.asyncio
async def test_a_corrupt_database_keeps_its_log_for_whoever_mends_it(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    path = tmp_path / "copy" / "mesh.db"
    log = path.with_name("mesh.db-wal")
    async with open_store(tmp_path / "mesh.db") as store:
        for number in range(100):
            await store.write(add(f"kind {number}" + "x" * 200))
    async with open_store(tmp_path / "mesh.db") as store:
        await store.write(add("last"))
        # As a kill would leave it: with changes that are in the log only.
        shutil.copyfile(tmp_path / "mesh.db", path)
        shutil.copyfile(tmp_path / "mesh.db-wal", log)
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 9] = b"\xff" * 4096 * 7
    path.write_bytes(content)
    before = path.read_bytes(), log.read_bytes()

    with pytest.raises(Degraded, match="is damaged") as caught:
        await asyncio.to_thread(connect, path)

    assert (path.read_bytes(), log.read_bytes()) == before
    assert "mesh.db-wal" in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.asyncio
async def test_an_unreadable_database_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "mesh.db"
    path.mkdir()
    with pytest.raises(Degraded) as caught:
        async with open_store(path):
            pass
    assert "permissions" in caught.value.hint


def test_a_migration_happens_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mesh.db"
    broken = "CREATE TABLE fine (a INTEGER);\nCREATE TABLE oops (;"
    monkeypatch.setattr("meshd.store.migrate.scripts", lambda: [*scripts(), broken])
    with pytest.raises(Degraded):
        connect(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(scripts()),)
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'fine'").fetchone() is None
    connection.close()
