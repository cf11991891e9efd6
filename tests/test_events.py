"""Whoever listens hears what he wants to hear about, and nothing is made that nobody hears."""

import asyncio

import pytest

from meshd.events import MAX_WAITING, Bus

pytestmark = pytest.mark.asyncio


async def test_a_reader_hears_of_all_or_of_one_thing_only() -> None:
    bus: Bus[str] = Bus()
    async with bus.listen() as every, bus.listen("a") as about_a:
        for about in "bab":
            bus.publish(f"{about} happened", about)
        assert [await anext(every) for _ in range(3)] == ["b happened", "a happened", "b happened"]
        assert await anext(about_a) == "a happened"
        bus.close()
        assert await anext(about_a, None) is None


async def test_it_is_known_about_what_anybody_would_hear() -> None:
    bus: Bus[str] = Bus()
    assert not bus.is_heard("a")
    async with bus.listen("a"):
        assert bus.is_heard("a")
        assert not bus.is_heard("b")
        async with bus.listen():
            assert bus.is_heard("b")
        assert not bus.is_heard("b")
    assert not bus.is_heard("a")


async def test_a_reader_that_is_too_slow_is_cut_off_and_no_other() -> None:
    bus: Bus[int] = Bus()
    async with bus.listen("a") as slow, bus.listen("b") as other:
        for number in range(MAX_WAITING + 1):
            bus.publish(number, "a")
        bus.publish(7, "b")
        assert [number async for number in slow] == list(range(MAX_WAITING))
        assert not bus.is_heard("a")
        assert await asyncio.wait_for(anext(other), 5) == 7
