"""Waiting takes no time in a simulation, and who waits for what will never come is told so."""

import asyncio
import time

import pytest

from tests.simulation.virtual_time import Deadlock, simulate


def test_an_hour_passes_at_once_and_in_order() -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, seconds in (("late", 3600.0), ("early", 0.5), ("middle", 60.0)):
                tasks.create_task(sleeper(name, seconds))

    started = time.perf_counter()
    simulate(main())
    assert time.perf_counter() - started < 5.0
    assert [name for name, _ in seen] == ["early", "middle", "late"]
    assert [round(at, 6) for _, at in seen] == [0.5, 60.0, 3600.0]


def test_a_timeout_follows_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert simulate(main()) == pytest.approx(30.0)


def test_waiting_for_nothing_is_a_deadlock() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        simulate(main())


def test_a_loop_in_which_no_time_passes_is_found() -> None:
    async def main() -> None:
        while True:  # noqa: ASYNC110 - the very mistake that is to be found
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="no end"):
        simulate(main())


def test_what_goes_to_a_thread_runs_at_once() -> None:
    async def main() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 42), asyncio.get_running_loop().time()

    assert simulate(main()) == (42, 0.0)
