"""A device knows how fast it is, on each accelerator and each power; of its peers it believes what it has seen."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from meshd.jobs.experience import Experience
from meshd.jobs.model import Attempt, Job
from meshd.jobs.ratebook import RateBook
from meshd.scheduling.rates import KindRate
from meshd.scheduling.snapshot import KindSnapshot
from meshd.store import rates as rows
from meshd.store.database import Connection, SqliteStore, open_store
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from tests.support.eventually import eventually
from tests.support.manual_clock import ManualClock

PC, BOX = DeviceId("pcpcpcpcpcpcpcpc"), DeviceId("boxboxboxboxboxb")
pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncGenerator[SqliteStore]:
    async with open_store(tmp_path / "mesh.db") as opened:
        yield opened


class Power:
    on_battery = False

    def __call__(self) -> bool:
        return self.on_battery


async def book(store: SqliteStore, power: Power | None = None, **declared: float) -> RateBook:
    opened = RateBook(store=store, clock=ManualClock(), declared=declared, on_battery=power or Power())
    await opened.load()
    return opened


async def test_each_accelerator_has_a_rate_of_its_own_and_all_outlive_the_daemon(store: SqliteStore) -> None:
    rates = await book(store)
    await rates.calibrated("lineups", 1e9, "cpu")
    await rates.calibrated("lineups", 1e12, "GPU A")
    await rates.ran("lineups", 20e12, 10.0, "GPU A")
    assert rates.get("lineups", "cpu") == KindRate(1e9, "calibrated")
    again = await book(store)
    assert again.get("lineups", "cpu") == KindRate(1e9, "calibrated")
    assert again.get("lineups", "GPU A") == KindRate(1.5e12, "measured", 1)
    assert again.get("lineups", "GPU B") is None
    assert again.get("lineups") is None


async def test_a_calibration_does_not_replace_what_real_runs_have_shown(store: SqliteStore) -> None:
    rates = await book(store)
    await rates.ran("lineups", 10e9, 10.0, "cpu")
    await rates.calibrated("lineups", 5e9, "cpu")
    assert rates.get("lineups", "cpu") == KindRate(1e9, "measured", 1)


async def test_on_battery_a_device_is_as_fast_as_on_mains_until_it_shows_otherwise(store: SqliteStore) -> None:
    power = Power()
    rates = await book(store, power)
    for _ in range(20):
        await rates.ran("lineups", 10e9, 10.0, "cpu")
    power.on_battery = True
    assert rates.get("lineups", "cpu") == KindRate(pytest.approx(1e9), "calibrated", 0)  # pyright: ignore[reportArgumentType]
    for _ in range(5):
        await rates.ran("lineups", 10e9, 40.0, "cpu")
    slow = rates.get("lineups", "cpu")
    assert slow is not None
    assert slow.rate < 0.4e9
    power.on_battery = False
    fast = rates.get("lineups", "cpu")
    assert fast is not None
    assert fast.rate == pytest.approx(1e9)
    power.on_battery = True
    again = await book(store, power)
    assert again.get("lineups", "cpu") == slow


async def test_a_declared_rate_holds_for_what_it_names(store: SqliteStore) -> None:
    rates = await book(store, None, **{"lineups/gpu": 7e12, "lineups/cpu": 2e9, "function": 3.0})
    await rates.ran("lineups", 10e9, 1.0, "cpu")
    assert rates.get("lineups", "GPU A") == KindRate(7e12, "declared")
    assert rates.get("lineups", "cpu") == KindRate(2e9, "declared")
    assert rates.get("function", "cpu") == rates.get("function", "GPU A") == KindRate(3.0, "declared")
    assert rates.get("lineups") is None


async def test_who_waits_for_a_rate_hears_of_it(store: SqliteStore) -> None:
    rates, heard = await book(store), list[str]()
    rates.watch(lambda: heard.append("changed"))
    await rates.ran("lineups", 10e9, 0.01, "cpu")
    assert heard == []
    await rates.ran("lineups", 10e9, 10.0, "cpu")
    assert heard == ["changed"]


# Peers


async def experience(store: SqliteStore) -> Experience:
    opened = Experience(store=store, clock=ManualClock())
    await opened.load()
    return opened


def a_job(cost: float | None = 10e9, **changes: object) -> tuple[Job, Attempt]:
    fields: dict[str, object] = {"state": "succeeded", "started_at": 100.0, "ended_at": 110.0} | changes
    attempt = Attempt(AttemptNumber(1), PC, offered_at=99.0, **fields)  # pyright: ignore[reportArgumentType]
    job = Job(
        JobId("j"),
        "lineups",
        "a job",
        "completed",
        "auto",
        0,
        0.0,
        0,
        30.0,
        cost,
        99.0,
        ended_at=110.0,
        attempts=(attempt,),
    )
    return job, attempt


WHERE = KindSnapshot(1, 0.0, 1e9, "cpu")


async def test_what_a_job_took_on_a_peer_is_remembered_of_that_peer(store: SqliteStore) -> None:
    seen = await experience(store)
    seen.saw(*a_job(), WHERE, on_battery=False)
    await eventually(lambda: seen.get(PC, "lineups", "cpu", on_battery=False) is not None)
    assert seen.get(PC, "lineups", "cpu", on_battery=False) == KindRate(1e9, "measured", 1)
    assert seen.get(BOX, "lineups", "cpu", on_battery=False) is None
    assert seen.get(PC, "lineups", "cpu", on_battery=True) is None
    assert (await experience(store)).get(PC, "lineups", "cpu", on_battery=False) == KindRate(1e9, "measured", 1)
    assert (await book(store)).get("lineups", "cpu") is None


async def test_a_cold_start_that_a_peer_told_of_counts_for_half_of_the_time_at_most(store: SqliteStore) -> None:
    seen = await experience(store)
    seen.saw(*a_job(), KindSnapshot(1, 0.0, 1e9, "cpu", start_s=2.0), on_battery=False)
    seen.saw(*a_job(), KindSnapshot(1, 0.0, 1e9, "GPU A", start_s=1e9), on_battery=False)
    await eventually(lambda: seen.get(PC, "lineups", "GPU A", on_battery=False) is not None)
    assert seen.get(PC, "lineups", "cpu", on_battery=False) == KindRate(10e9 / 8, "measured", 1)
    assert seen.get(PC, "lineups", "GPU A", on_battery=False) == KindRate(10e9 / 5, "measured", 1)


@pytest.mark.parametrize(
    ("cost", "changes"),
    [(None, {}), (10e9, {"state": "failed"}), (10e9, {"started_at": None}), (10e9, {"ended_at": None})],
)
async def test_what_says_nothing_about_speed_teaches_nothing(
    store: SqliteStore, cost: float | None, changes: dict[str, object]
) -> None:
    seen = await experience(store)
    seen.saw(*a_job(cost, **changes), WHERE, on_battery=False)
    seen.saw(*a_job(), KindSnapshot(1, 0.0, 1e9, "GPU A"), on_battery=False)
    await eventually(lambda: seen.get(PC, "lineups", "GPU A", on_battery=False) is not None)
    assert [row["accelerator"] for row in await store.fetch("SELECT * FROM rate")] == ["GPU A"]


async def test_a_peer_that_is_no_longer_paired_is_forgotten_on_disk_too(store: SqliteStore) -> None:
    def pair(connection: Connection) -> None:
        connection.execute(
            "INSERT INTO peer (device, name, certificate, pair_key, permissions, paired_at)"
            " VALUES (?, 'pc', x'', x'', '[]', 0.0)",
            (PC,),
        )

    await store.write(pair)
    seen = await experience(store)
    for peer in (PC, BOX):
        await seen.ran(peer, "lineups", "cpu", on_battery=False, cost=10e9, duration_s=10.0)
    await store.write(lambda connection: connection.execute("DELETE FROM peer WHERE device = ?", (PC,)).rowcount)
    seen.forget(PC)
    assert seen.get(PC, "lineups", "cpu", on_battery=False) is None
    assert [row["device"] for row in await store.fetch("SELECT device FROM rate")] == [BOX]


async def test_a_peer_that_renames_its_gpus_all_day_fills_no_disk(store: SqliteStore) -> None:
    for number in range(rows.MAX_OF_PEER + 20):
        rate = rows.StoredRate("lineups", "measured", 1.0, 1, PC, f"GPU {number}")
        own = rows.StoredRate(f"kind {number}", "measured", 1.0, 1)
        await store.write(lambda connection, rate=rate, at=number: rows.save(connection, rate, float(at)))
        await store.write(lambda connection, own=own, at=number: rows.save(connection, own, float(at)))
    kept = [row["accelerator"] for row in await store.fetch("SELECT * FROM rate WHERE device = ? ORDER BY at", (PC,))]
    assert len(kept) == rows.MAX_OF_PEER
    assert kept[-1] == f"GPU {rows.MAX_OF_PEER + 19}"
    assert len(await store.fetch("SELECT * FROM rate WHERE device = ''")) == rows.MAX_OF_PEER + 20
