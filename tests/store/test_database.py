"""What the store acknowledges is on disk; what it cannot do it says, and loses nothing."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from meshd.errors import Degraded
from meshd.store.database import Connection, connect, open_store
from meshd.store.migrate import scripts


def add(kind: str) -> "Write":
    return Write(kind)


class Write:
    """A command that adds one row."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(self, connection: Connection) -> int:
        connection.execute("INSERT INTO rate VALUES (?, 'measured', 1.0, 1, 0.0)", (self.kind,))
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
async def test_a_caller_that_goes_away_does_not_undo_its_write(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        asking = asyncio.ensure_future(store.write(add("orphan")))  # noqa: TID251
        await asyncio.sleep(0)
        asking.cancel()
        await store.write(add("later"))
        assert len(await store.fetch("SELECT * FROM rate")) == 2


@pytest.mark.asyncio
async def test_readers_cannot_write(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await store.fetch("DELETE FROM rate")


@pytest.mark.asyncio
async def test_a_full_disk_fails_the_write_and_not_the_database(tmp_path: Path) -> None:
    def fill(connection: Connection) -> None:
        connection.execute("INSERT INTO rate VALUES (?, 'measured', 1.0, 1, 0.0)", ("x" * 3_000_000,))

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
