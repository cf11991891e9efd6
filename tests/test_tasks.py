"""A part of the daemon that fails comes back, and one that always fails does not fill the log."""

import asyncio

import pytest

from meshd.tasks import RESTART_MAX_S, supervise


@pytest.mark.asyncio
async def test_a_part_that_always_fails_is_started_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    loop = asyncio.get_running_loop()
    now = loop.time()

    async def sleep(pause: float) -> None:
        nonlocal now
        pauses.append(pause)
        now += pause + 0.1

    # What matters is the pauses that it asks for, not to wait them out.
    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(loop, "time", lambda: now)
    calls = 0

    async def service() -> None:
        nonlocal calls
        calls += 1
        if calls < 12:
            raise ValueError("broken")

    await supervise("a part", service)
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == RESTART_MAX_S
