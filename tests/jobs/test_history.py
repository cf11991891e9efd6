"""History stays as it was, and goes only when its user wants it to."""

import asyncio
import sqlite3
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from meshd.errors import Conflict, NotFound
from meshd.jobs.retention import BATCH, DAY_S, Retention
from meshd.store.database import Connection
from meshd_protocol.ids import JobId
from meshd_protocol.localapi import NO_DOCUMENT, JobRequest, JobState
from tests.support.archive import PC, Archive, open_archive
from tests.support.desk import Desk, PlainKind, is_running, open_desk
from tests.support.eventually import eventually

STATES: tuple[JobState, ...] = get_args(JobState)
LAPTOP = PC


# Running again


@pytest.mark.asyncio
async def test_a_job_run_again_is_a_new_one_with_the_same_spec(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        request = JobRequest(
            kind="plain", spec={"a": 1}, name="Sunday", placement="local", priority=3, timeout_s=9, retries=2
        )
        first = (await desk.history.submit(request, idempotency_key=None)).id
        second = (await desk.history.rerun(first, idempotency_key="again")).id
        third = (await desk.history.rerun(second, idempotency_key=None)).id
        views = [await desk.history.job(job) for job in (first, second, third)]

        assert len({first, second, third}) == 3
        assert [view.name for view in views] == ["Sunday", "Sunday (re-run)", "Sunday (re-run)"]
        assert [view.rerun_of for view in views] == [None, first, second]
        assert {bytes(view.spec) for view in views} == {b'{"a":1}'}
        assert {(view.placement, view.priority) for view in views} == {("local", 3)}
        rows = await desk.store.fetch("SELECT DISTINCT timeout_s, retries, offload_timeout_s FROM job")
        assert [tuple(row) for row in rows] == [(9.0, 2, 30.0)]
        assert (await desk.history.rerun(first, idempotency_key="again")).id == second


@pytest.mark.asyncio
async def test_a_job_run_again_has_todays_defaults(tmp_path: Path) -> None:
    class Yesterday(PlainKind):
        def validate(self, spec: object) -> dict[str, object]:
            return {"scenarios": 1000}

    class Today(PlainKind):
        def validate(self, spec: object) -> dict[str, object]:
            return {"scenarios": 2000}

    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=Yesterday()) as desk:
        job = await desk.submit()
    async with open_desk(tmp_path / "laptop", LAPTOP, {}, kind=Today()) as desk:
        again = await desk.history.rerun(job, idempotency_key=None)
        assert (await desk.history.job(again.id)).resolved == msgspec.Raw(b'{"scenarios":2000}')
        assert (await desk.history.job(job)).resolved == msgspec.Raw(b'{"scenarios":1000}')


@pytest.mark.asyncio
async def test_a_long_name_stays_a_name_when_the_job_runs_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        job = (await desk.history.submit(JobRequest(kind="plain", spec={}, name="x" * 64), idempotency_key=None)).id
        again = await desk.history.job((await desk.history.rerun(job, idempotency_key=None)).id)
        assert len(again.name) == 64
        assert again.name.endswith("x (re-run)")


# Many at once


@pytest.mark.asyncio
async def test_of_a_batch_all_jobs_are_stored_and_run_or_none(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        good = [JobRequest(kind="plain", spec={"number": number}) for number in range(3)]
        with pytest.raises(NotFound):
            await desk.history.submit_batch([*good, JobRequest(kind="plain", spec={}, placement="nobody")])
        assert await desk.store.fetch("SELECT * FROM job") == []

        accepted = await desk.history.submit_batch(good)
        assert [(await desk.history.job(each.id)).spec for each in accepted] == [
            msgspec.Raw(b'{"number":%d}' % number) for number in range(3)
        ]
        await eventually(lambda: len(desk.pool.runs) > 0)


# Deleting


@pytest.mark.asyncio
async def test_a_job_is_deleted_with_all_that_hangs_on_it_but_not_before_its_end(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as desk:
        job = await desk.submit()
        await eventually(lambda: len(desk.pool.runs) == 1)
        with pytest.raises(Conflict) as refused:
            await desk.history.delete(job)
        assert refused.value.hint == f"end it first: meshd cancel {job}"
        await eventually(lambda: is_running(desk, job))

        desk.pool.runs[0].succeed()
        await eventually(lambda: is_completed(desk, job))
        await desk.history.delete(job)
        for table in ("job", "document", "attempt", "transition", "partial"):
            assert await desk.store.fetch(f"SELECT * FROM {table}") == []  # noqa: S608
        with pytest.raises(NotFound):
            await desk.history.delete(job)


async def is_completed(desk: Desk, job: JobId) -> bool:
    return await desk.state(job) == "completed"


@pytest.mark.asyncio
@pytest.mark.parametrize("state", ["queued", "running", "retrying"])
async def test_the_database_itself_refuses_to_delete_a_job_that_has_not_ended(tmp_path: Path, state: str) -> None:
    async with open_archive(tmp_path) as archive:
        await archive.put(state)
        with pytest.raises(sqlite3.IntegrityError, match="has not ended"):
            await archive.store.write(lambda connection: connection.execute("DELETE FROM job"))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE job SET name = 'other'",
        "UPDATE job SET kind = 'other'",
        "UPDATE job SET created_at = 0.0",
        "UPDATE job SET state = 'failed'",
        "UPDATE document SET spec = x'7b7d'",
        "UPDATE document SET resolved = x'7b7d'",
        "UPDATE document SET result = x'7b7d'",
        "INSERT INTO job SELECT 99, 'x', kind, name, 'queued', placement, priority, timeout_s, retries,"
        " offload_timeout_s, cost, losses, failures, device, reason, progress, best, created_at, started_at, NULL,"
        " NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, NULL FROM job;"
        " UPDATE job SET state = 'completed', ended_at = 1.0 WHERE number = 99",
    ],
)
async def test_history_is_immutable(tmp_path: Path, change: str) -> None:
    def apply(connection: Connection) -> None:
        for statement in change.split("; "):
            connection.execute(statement)

    async with open_archive(tmp_path) as archive:
        job = await archive.put(spec={"a": 1})
        before = await archive.history.job(job)
        with pytest.raises(sqlite3.IntegrityError):
            await archive.store.write(apply)
        assert await archive.history.job(job) == before


@pytest.mark.asyncio
async def test_clearing_takes_the_jobs_that_ended_so_and_no_others(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        ids = dict(zip(STATES, await archive.put_all([{"state": state} for state in STATES]), strict=True))

        assert await archive.history.clear(["completed"]) == 1
        assert await archive.left() == [job for state, job in ids.items() if state != "completed"]
        assert await archive.history.clear(["completed"]) == 0
        assert await archive.history.clear(["failed", "cancelled"]) == 2
        assert await archive.left() == [ids["queued"], ids["running"], ids["retrying"]]
        assert await archive.history.clear([]) == 0


@pytest.mark.asyncio
async def test_more_jobs_than_a_batch_are_cleared_and_others_write_meanwhile(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        await archive.put_all([{}] * (2 * BATCH + 50))
        deleted, new = await asyncio.gather(archive.history.clear(["completed"]), archive.put("queued"))

        assert deleted == 2 * BATCH + 50
        assert await archive.left() == [new]


def retention(archive: Archive, *, keep_days: float = 0.0, keep_jobs: int = 0) -> Retention:
    return Retention(
        store=archive.store, clock=archive.clock, keep_days=keep_days, keep_jobs=keep_jobs, forget=lambda gone: None
    )


@pytest.mark.asyncio
async def test_jobs_that_ended_too_long_ago_go_and_those_that_have_not_ended_stay(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        old = [await archive.put(state) for state in STATES]
        archive.clock.advance(29 * DAY_S)
        new = await archive.put()
        archive.clock.advance(1 * DAY_S + 2.0)

        assert await retention(archive, keep_days=30).apply() == 3
        assert await archive.left() == [*old[:3], new]
        assert await retention(archive, keep_days=30).apply() == 0


@pytest.mark.asyncio
async def test_of_ended_jobs_the_newest_are_kept_and_those_that_have_not_ended_do_not_count(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        running = await archive.put("running")
        ended = await archive.put_all([{"state": "failed"}] * (BATCH + 3))
        queued = await archive.put("queued")

        assert await retention(archive, keep_jobs=2).apply() == BATCH + 1
        assert await archive.left() == [running, *ended[-2:], queued]
        assert await retention(archive, keep_jobs=2).apply() == 0


@pytest.mark.asyncio
async def test_without_a_setting_nothing_is_ever_deleted(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        await archive.put()
        archive.clock.advance(1000 * DAY_S)
        # It returns, instead of waiting for tomorrow.
        await retention(archive).run()
        assert await retention(archive).apply() == 0
        assert await archive.left() == archive.ids


@pytest.mark.asyncio
async def test_retention_is_applied_at_the_start(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        await archive.put_all([{}] * 3)

        async def is_done() -> bool:
            return len(await archive.left()) == 1

        async with asyncio.TaskGroup() as group:
            running = group.create_task(retention(archive, keep_jobs=1).run())
            await eventually(is_done)
            assert not running.done()
            running.cancel()


# Exporting


@pytest.mark.asyncio
async def test_an_export_has_every_job_whole_in_the_order_of_submission(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        await archive.put_all(
            [{"state": state, "spec": {"n": n}} for n in range(10) for state in ("completed", "queued")]
        )
        views = [view async for view in archive.history.every()]

        assert [view.id for view in views] == archive.ids
        assert [bytes(view.spec) for view in views[:4:2]] == [b'{"n":0}', b'{"n":1}']
        assert [view.result for view in views[:2]] == [msgspec.Raw(b'{"answer":42}'), NO_DOCUMENT]
        assert views[0] == await archive.history.job(archive.ids[0])


FINISHED = msgspec.json.encode(
    {"lineups": [{"ids": list("123456"), "names": ["=A"] * 6}], "sport": "nascar", "site": "draftkings"}
)


@pytest.mark.asyncio
async def test_only_finished_lineups_are_a_table(tmp_path: Path) -> None:
    async with open_archive(tmp_path) as archive:
        plain = await archive.put()
        failed = await archive.put("failed", kind="lineups")
        done = await archive.put(kind="lineups", result=FINISHED)

        assert await archive.history.csv(done) == "D,D,D,D,D,D\r\n'=A (1),'=A (2),'=A (3),'=A (4),'=A (5),'=A (6)\r\n"
        with pytest.raises(Conflict, match="another kind: plain"):
            await archive.history.csv(plain)
        with pytest.raises(Conflict, match="it is failed"):
            await archive.history.csv(failed)
