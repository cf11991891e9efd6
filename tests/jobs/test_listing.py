"""A list of jobs is complete, in order, and found fast."""

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.errors import BadInput
from meshd.jobs.query import JobQuery
from meshd.jobs.retention import DAY_S
from meshd.store import listing
from meshd_protocol.localapi import JobRequest, JobSort, JobState
from tests.support.archive import PC, open_archive
from tests.support.desk import open_desk

STATES: tuple[JobState, ...] = get_args(JobState)
SORTS: tuple[JobSort, ...] = get_args(JobSort)
LAPTOP = PC


# Pages

moves = st.lists(st.tuples(st.sampled_from(["add", "delete"]), st.integers(0, 1000)), max_size=6)
jobs_of_any_sort = st.lists(
    st.fixed_dictionaries(
        {
            "state": st.sampled_from(["completed", "failed", "cancelled", "queued"]),
            "name": st.sampled_from(["a", "A", "b", "Ångström", "day 1"]),
            "priority": st.integers(-1, 1),
            "ran": st.sampled_from([0.0, 0.5, 3.0]),
        }
    ),
    max_size=25,
)


@settings(max_examples=30)
@given(
    jobs=jobs_of_any_sort,
    sort=st.sampled_from(SORTS),
    is_descending=st.booleans(),
    states=st.sampled_from([(), ("completed",), ("completed", "queued"), ("queued", "failed", "cancelled")]),
    text=st.sampled_from([None, "day", "a"]),
    limit=st.integers(1, 7),
    moves=moves,
)
def test_pages_show_every_job_that_stays_once_while_others_come_and_go(
    tmp_path_factory: pytest.TempPathFactory,
    jobs: list[dict[str, object]],
    sort: JobSort,
    is_descending: bool,
    states: tuple[JobState, ...],
    text: str | None,
    limit: int,
    moves: list[tuple[str, int]],
) -> None:
    async def follow() -> None:
        async with open_archive(tmp_path_factory.mktemp("pages")) as archive:
            now = archive.clock.wall()
            rows = [
                {
                    "state": job["state"],
                    "name": job["name"],
                    "priority": job["priority"],
                    "started_at": None if job["state"] == "queued" else now - 5.0,
                    "ended_at": None if job["state"] == "queued" else now - 5.0 + float(str(job["ran"])),
                }
                for job in jobs
            ]
            if rows:
                await archive.put_all(rows)
            query = JobQuery(states=states, text=text, sort=sort, is_descending=is_descending)
            expected = await archive.pages(query, limit=500)
            there = set(archive.ids)
            shown: list[str] = []
            cursor: str | None = None
            waiting = iter(moves)
            while True:
                page = await archive.history.jobs(query, limit=limit, cursor=cursor)
                new = [job.id for job in page.jobs]
                assert not set(new) & set(shown)
                shown += new
                cursor = page.cursor
                if cursor is None:
                    break
                for move, which in islice(waiting, 1):
                    archive.clock.advance(1.0)
                    if move == "add":
                        await archive.put(name="a day")
                    else:
                        victim = sorted(there)[which % len(there)]
                        if (await archive.history.job(victim)).state != "queued":
                            await archive.history.delete(victim)
                            there.discard(victim)
            old = [job for job in shown if job in set(expected)]
            assert [job for job in old if job in there] == [job for job in expected if job in there]

    asyncio.run(follow())


@pytest.mark.asyncio
async def test_the_last_page_says_that_it_is_the_last(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        await archive.put_all([{}] * 4)
        first = await archive.history.jobs(JobQuery(), limit=2, cursor=None)
        second = await archive.history.jobs(JobQuery(), limit=2, cursor=first.cursor)

        assert [len(first.jobs), len(second.jobs), second.cursor] == [2, 2, None]
        with pytest.raises(BadInput):
            await archive.history.jobs(JobQuery(sort="name"), limit=2, cursor=first.cursor)


@pytest.mark.asyncio
async def test_a_number_is_never_given_twice_so_that_a_cursor_keeps_its_place(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        query = JobQuery(is_descending=False)
        await archive.put_all([{}] * 3)
        first = await archive.history.jobs(query, limit=2, cursor=None)
        await archive.history.delete(archive.ids[2])
        new = await archive.put()
        second = await archive.history.jobs(query, limit=2, cursor=first.cursor)

        assert [job.id for job in second.jobs] == [new]
        numbers = [row["number"] for row in await archive.store.fetch("SELECT number FROM job ORDER BY number")]
        assert numbers == [1, 2, 4]


@pytest.mark.asyncio
async def test_each_order_sorts_by_what_it_says(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        now = archive.clock.wall()
        names = {
            await archive.put(name="beta", priority=5, started_at=now - 30, ended_at=now - 20): "10 s",
            await archive.put("queued", name="Alpha"): "not started",
            await archive.put("running", name="gamma", priority=-5, started_at=now - 15): "15 s so far",
            await archive.put("failed", name="alpha", priority=5, started_at=now - 3, ended_at=now - 1): "2 s",
        }

        async def order(sort: JobSort, is_descending: bool = True) -> list[str]:
            return [
                names[job] for job in await archive.pages(JobQuery(sort=sort, is_descending=is_descending), limit=1)
            ]

        assert await order("date") == ["2 s", "15 s so far", "not started", "10 s"]
        assert await order("duration") == ["15 s so far", "10 s", "2 s", "not started"]
        assert await order("priority") == ["2 s", "10 s", "not started", "15 s so far"]
        assert await order("name", is_descending=False) == ["not started", "2 s", "10 s", "15 s so far"]


@pytest.mark.asyncio
async def test_a_clock_that_is_set_back_does_not_change_the_order(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        await archive.put()
        archive.clock.set_wall(1000.0)
        await archive.put()

        assert await archive.pages(JobQuery()) == archive.ids[::-1]


@pytest.mark.asyncio
async def test_a_job_that_ends_between_two_pages_keeps_its_place_by_duration(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        now = archive.clock.wall()
        await archive.put("running", started_at=now - 10)
        await archive.put_all([{"started_at": now - 100.0, "ended_at": now - 80.0 + i} for i in range(2)])
        first = await archive.history.jobs(JobQuery(sort="duration"), limit=2, cursor=None)
        archive.clock.advance(1000.0)
        await archive.store.write(
            lambda c: c.execute(
                "UPDATE job SET state = 'failed', ended_at = ? WHERE id = ?", (now + 999, archive.ids[0])
            )
        )
        second = await archive.history.jobs(JobQuery(sort="duration"), limit=2, cursor=first.cursor)

        assert [job.id for job in (*first.jobs, *second.jobs)] == [archive.ids[2], archive.ids[1], archive.ids[0]]


@pytest.mark.asyncio
async def test_filters_leave_the_jobs_that_they_name(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        old = await archive.put("failed", kind="echo", device=PC)
        archive.clock.advance(100.0)
        new = await archive.put("running", device=PC)
        here = await archive.put("completed")
        queued = await archive.put("queued", device=None)
        now = archive.clock.wall()

        assert await archive.pages(JobQuery(kind="echo")) == [old]
        assert await archive.pages(JobQuery(states=("failed", "running"))) == [new, old]
        assert await archive.pages(JobQuery(device="pc")) == [new, old]
        assert await archive.pages(JobQuery(device=PC, states=("running",))) == [new]
        assert await archive.pages(JobQuery(device="local")) == [here]
        assert await archive.pages(JobQuery(device="nobody")) == []
        assert await archive.pages(JobQuery(since=now)) == [queued, here, new]
        assert await archive.pages(JobQuery(until=now)) == [old]
        assert await archive.pages(JobQuery(states=STATES)) == [queued, here, new, old]


# Search


@pytest.mark.asyncio
async def test_search_finds_words_and_their_beginnings_in_name_config_and_id(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        race = await archive.put(
            name="Daytona 500", spec={"slate_csv": "Name,Position\nLarson,D\r\nSuárez\tJr,D", "seed": 7}
        )
        path = await archive.put(name="training (re-run)", spec={"command": ["C:\\new\\train.exe", "--fast"]})

        for text in ("daytona", "DAY", "day 500", "larson", "suarez", "Suár", "name", "slate_csv", "seed 7", race[:11]):
            assert race in await archive.search(text), text
        for text in ("training", "re-run", "(re-run)", "new", "train.exe", "fast", "--fast", "TRAIN new"):
            assert await archive.search(text) == [path], text
        assert await archive.search(path) == [path]
        for text in ("aytona", "daytona larsen", "ndlarson", "ew", '"', "…", "*", "   ", "AND", "NOT x"):
            assert await archive.search(text) == [], text


@settings(max_examples=30)
@given(text=st.text(max_size=30))
def test_whatever_is_searched_for_is_no_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    async def search() -> None:
        async with open_archive(tmp_path_factory.mktemp("search")) as archive:
            await archive.search(text)

    asyncio.run(search())


@pytest.mark.asyncio
async def test_a_deleted_job_is_found_no_more_and_the_others_still_are(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        one, two = await archive.put(name="sunday one"), await archive.put(name="sunday two", spec={"a": "one\n"})
        await archive.history.delete(one)

        assert await archive.search("sunday") == [two]
        assert await archive.search("one") == [two]
        await archive.history.delete(two)
        left = await archive.store.fetch("SELECT count(*) AS n FROM job_text WHERE job_text MATCH 'sunday OR one'")
        assert left[0]["n"] == 0


# Figures


@pytest.mark.asyncio
async def test_figures_are_about_all_jobs(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        noon = time.mktime((2026, 2, 15, 12, 0, 0, 0, 0, -1))
        archive.clock.set_wall(noon - 8 * DAY_S)
        await archive.put(kind="echo", started_at=noon, ended_at=noon + 2, device=PC)
        archive.clock.set_wall(noon - 13 * 3600)
        await archive.put(kind="echo", started_at=noon, ended_at=noon + 4)
        archive.clock.set_wall(noon)
        await archive.put("failed", kind="echo", started_at=noon, ended_at=noon + 100)
        await archive.put("queued", device=None)
        stats = await archive.history.stats()

        assert (stats.states.completed, stats.states.failed, stats.states.queued) == (2, 1, 1)
        assert stats.kinds == {"echo": 3, "plain": 1}
        assert stats.devices == {"Pc": 1, "here": 2}
        assert (stats.today, stats.last_7_days) == (2, 3)
        assert stats.mean_duration_s == {"echo": 3.0}


# Speed: what is asserted is how it is done, the clock is only told


@pytest.mark.asyncio
@pytest.mark.parametrize("is_descending", [True, False])
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "INTEGER PRIMARY KEY"),
        ({"states": ["completed"]}, "INDEX job_by_state (state=?"),
        ({"states": ["queued", "running", "retrying"]}, "COVERING INDEX job_by_state (state=?"),
        ({"devices": [PC]}, "INDEX job_by_device (device=?"),
        ({"sort": "name"}, "INDEX job_by_name"),
        ({"words": ["day"]}, "VIRTUAL TABLE INDEX"),
    ],
)
async def test_the_pages_of_usual_lists_are_found_by_an_index_and_not_sorted(
    tmp_path: Path, wanted: dict[str, object], index: str, is_descending: bool
) -> None:
    async with open_archive(tmp_path) as archive:
        usual = listing.Listing(**wanted, is_descending=is_descending)  # pyright: ignore[reportArgumentType]
        after = listing.Place("n" if usual.sort == "name" else 50, 50)
        for place in (None, after):
            text, values = listing.query(usual, place, 51)
            steps = [row["detail"] for row in await archive.store.fetch(f"EXPLAIN QUERY PLAN {text}", values)]
            first_page_by_number = place is None and index == "INTEGER PRIMARY KEY"
            assert first_page_by_number or any(index in step for step in steps), steps
            # A merge of a page for each state sorts what it has merged, which is a few pages.
            assert "states" in wanted or not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.slow
@pytest.mark.asyncio
async def test_ten_thousand_jobs_are_submitted_listed_and_searched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = 10_000

    async def took_ms(what: Callable[[], object]) -> float:
        began = time.perf_counter()
        for _ in range(20):
            await what()  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        return (time.perf_counter() - began) / 20 * 1000

    async with open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as desk:
        began = time.perf_counter()
        # On a device that is away, so that they queue.
        for _ in range(many // 100):
            requests = [
                JobRequest(kind="plain", spec={"seed": n, "note": f"race {n}"}, name=f"job {n}", placement="pc")
                for n in range(100)
            ]
            await asyncio.gather(*(desk.history.submit(each, idempotency_key=None) for each in requests))
        told = {"submit, all": (time.perf_counter() - began) * 1000}
        queries = {
            "list": JobQuery(),
            "list, 3 states": JobQuery(states=("queued", "running", "retrying")),
            "list by name": JobQuery(sort="name"),
            "list by duration": JobQuery(sort="duration"),
            "search, rare": JobQuery(text="race 77"),
            "search, in all": JobQuery(text="r"),
        }
        for name, query in queries.items():
            page = await desk.history.jobs(query, limit=50, cursor=None)
            assert len(page.jobs) == 50
            told[name] = await took_ms(lambda query=query: desk.history.jobs(query, limit=50, cursor=None))
        told["stats"] = await took_ms(desk.history.stats)
        assert (await desk.history.counts()).queued == many
    with capsys.disabled():
        print("\n" + "\n".join(f"{name:>18}: {value:9.2f} ms" for name, value in told.items()))
