"""The simulated store keeps the promises of the real one: the same facts, tried on both."""

import asyncio
import contextvars
import sqlite3
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from meshd.errors import Degraded
from meshd.store.database import Connection, Store, open_store
from tests.simulation.disk import Disk, MemoryStore, new_database
from tests.simulation.options import luck
from tests.simulation.virtual_time import simulate

Fact = Callable[[Store], Coroutine[object, object, None]]
Opener = Callable[[], AbstractAsyncContextManager[Store]]


def run(opener: Opener, fact: Fact, *, virtual: bool) -> None:
    async def main() -> None:
        async with opener() as store:
            await fact(store)

    if virtual:
        simulate(main())
    else:
        asyncio.run(main())


@pytest.fixture(params=["real", "simulated"])
def holds(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Fact], None]:
    """Return what tries a fact on a fresh store."""
    if request.param == "real":
        return lambda fact: run(lambda: open_store(tmp_path / "mesh.db"), fact, virtual=False)

    @asynccontextmanager
    async def simulated() -> AsyncGenerator[Store]:
        store = MemoryStore(Disk(new_database(), luck("a disk")))
        yield store
        await store.close()

    return lambda fact: run(simulated, fact, virtual=True)


def add(connection: Connection, kind: str) -> str:
    connection.execute(
        "INSERT INTO rate (kind, source, rate, samples, at) VALUES (?, 'measured', 1.0, 1, 0.0)", (kind,)
    )
    return kind


async def kinds(store: Store) -> list[str]:
    return [row["kind"] for row in await store.fetch("SELECT kind FROM rate ORDER BY kind")]


def test_a_write_returns_what_its_command_returns_once_readers_see_it(holds: Callable[[Fact], None]) -> None:
    async def fact(store: Store) -> None:
        assert await store.write(lambda connection: add(connection, "one")) == "one"
        assert await kinds(store) == ["one"]

    holds(fact)


def test_a_command_that_raises_leaves_no_trace_and_spares_its_neighbours(holds: Callable[[Fact], None]) -> None:
    def half(connection: Connection) -> None:
        add(connection, "half")
        raise ValueError("changed my mind")

    async def fact(store: Store) -> None:
        outcomes = await asyncio.gather(
            store.write(lambda connection: add(connection, "before")),
            store.write(half),
            store.write(lambda connection: add(connection, "later")),
            return_exceptions=True,
        )
        assert outcomes[0] == "before"
        assert isinstance(outcomes[1], ValueError)
        assert outcomes[2] == "later"
        assert await kinds(store) == ["before", "later"]

    holds(fact)


def test_commands_run_in_the_order_in_which_they_were_asked_for(holds: Callable[[Fact], None]) -> None:
    async def fact(store: Store) -> None:
        seen: list[int] = []
        await asyncio.gather(*(store.write(lambda _, n=n: seen.append(n)) for n in range(700)))
        assert seen == list(range(700))

    holds(fact)


def test_callers_hear_in_the_order_in_which_they_asked(holds: Callable[[Fact], None]) -> None:
    async def fact(store: Store) -> None:
        heard: list[int] = []

        async def ask(number: int) -> None:
            await store.write(lambda _: None)
            heard.append(number)

        await asyncio.gather(*(ask(number) for number in range(50)))
        assert heard == list(range(50))

    holds(fact)


def test_a_caller_that_goes_away_does_not_undo_its_write(holds: Callable[[Fact], None]) -> None:
    async def fact(store: Store) -> None:
        asking = asyncio.ensure_future(store.write(lambda connection: add(connection, "orphan")))  # noqa: TID251
        await asyncio.sleep(0)
        asking.cancel()
        await store.write(lambda connection: add(connection, "later"))
        assert await kinds(store) == ["later", "orphan"]

    holds(fact)


def test_readers_cannot_write(holds: Callable[[Fact], None]) -> None:
    async def fact(store: Store) -> None:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await store.fetch("DELETE FROM rate")

    holds(fact)


def test_a_broken_rule_of_the_schema_is_the_commands_own_error(holds: Callable[[Fact], None]) -> None:
    async def fact(store: Store) -> None:
        await store.write(lambda connection: add(connection, "one"))
        with pytest.raises(sqlite3.IntegrityError):
            await store.write(lambda connection: add(connection, "one"))
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            await store.write(lambda connection: connection.execute("INSERT INTO outbound VALUES ('x', 's', 0, 0)"))

    holds(fact)


def test_what_is_queued_is_written_before_the_store_closes(holds: Callable[[Fact], None]) -> None:
    async def fact(store: Store) -> None:
        await store.write(lambda connection: add(connection, "first"))

    holds(fact)


@pytest.mark.parametrize("at_commit", [False, True])
def test_a_full_disk_refuses_what_changes_rows_and_lets_the_rest_pass(at_commit: bool) -> None:
    async def fact() -> None:
        disk = Disk(new_database(), luck("a disk"))
        store = MemoryStore(disk)
        await store.write(lambda connection: add(connection, "before"))
        disk.connection.full, disk.connection.full_at_commit = True, at_commit
        with pytest.raises(Degraded, match="could not be written"):
            await store.write(lambda connection: add(connection, "lost"))
        assert await store.write(lambda connection: len(connection.execute("SELECT * FROM rate").fetchall())) == 1
        disk.connection.full = False
        await store.write(lambda connection: add(connection, "after"))
        assert await kinds(store) == ["after", "before"]

    simulate(fact())


def test_what_follows_from_a_commit_is_its_daemons_doing_whoever_asked_for_it() -> None:
    async def fact() -> None:
        whose = contextvars.ContextVar("whose", default="a caller's")
        context = contextvars.copy_context()
        context.run(whose.set, "the daemon's")
        seen: list[str] = []
        store = MemoryStore(Disk(new_database(), luck("a disk")), context=context)
        await store.write(lambda connection: add(connection, "one"), then=lambda: seen.append(whose.get()))
        assert seen == ["the daemon's"]

    simulate(fact())


def test_a_crash_loses_what_was_not_committed_and_nothing_else() -> None:
    async def fact() -> None:
        disk = Disk(new_database(), luck("a disk"))
        store = MemoryStore(disk)
        await store.write(lambda connection: add(connection, "kept"))
        asking = asyncio.ensure_future(store.write(lambda connection: add(connection, "lost")))  # noqa: TID251
        await asyncio.sleep(0)
        store.die()
        await asyncio.sleep(60.0)
        assert not asking.done()
        assert await kinds(MemoryStore(disk)) == ["kept"]

    simulate(fact())


def test_a_crash_after_the_commit_keeps_the_rows_and_tells_nobody() -> None:
    async def fact() -> None:
        disk = Disk(new_database(), luck("a disk"))
        dying: list[MemoryStore] = []

        def committed() -> bool:
            dying[0].die()
            return False

        dying.append(MemoryStore(disk, committed=committed))
        asking = asyncio.ensure_future(dying[0].write(lambda connection: add(connection, "kept")))  # noqa: TID251
        await asyncio.sleep(60.0)
        assert not asking.done()
        assert await kinds(MemoryStore(disk)) == ["kept"]

    simulate(fact())
