"""Real mDNS on this machine's own interfaces: two nodes on one machine find each other."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from meshd.net.discovery import Discovery
from meshd.net.sighting import Sighting
from meshd.trust.notice import Notice
from meshd_protocol.ids import DeviceId, device_id
from tests.support.manual_clock import ManualClock

PC = device_id(b"pc")
LAPTOP = device_id(b"laptop")

WAIT_S = 10.0


class Watched:
    """A discovery and its changes."""

    def __init__(self, discovery: Discovery, changed: asyncio.Event, rename: Callable[[str], None]) -> None:
        self.discovery = discovery
        self.rename = rename
        self._changed = changed

    async def until(self, holds: Callable[[list[Sighting]], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds(list(self.discovery.sightings())):
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def service() -> str:
    """Return a service type of this test alone, so that runs side by side do not see each other."""
    return f"_m{secrets.token_hex(4)}._tcp.local."


@asynccontextmanager
async def watch(
    device: DeviceId, name: str, port: int, service: str, *, host: str = ""
) -> AsyncGenerator[Watched, None]:
    changed = asyncio.Event()
    names = [name]
    notices = list[Notice]()

    def on_change(device: DeviceId | None) -> None:
        changed.set()

    async with Discovery(
        device=device,
        name=lambda: names[-1],
        port=port,
        clock=ManualClock(),
        on_change=on_change,
        notify=notices.append,
        host=host,
        service=service,
    ) as discovery:
        yield Watched(discovery, changed, names.append)
    assert notices == []


@pytest.mark.asyncio
async def test_two_devices_find_each_other_within_three_seconds(service: str) -> None:
    started = asyncio.get_running_loop().time()

    async with watch(PC, "pc", 1001, service) as pc, watch(LAPTOP, "laptop", 1002, service) as laptop:
        await pc.until(lambda seen: seen)
        await laptop.until(lambda seen: seen)
        took = asyncio.get_running_loop().time() - started

        assert [(one.device, one.name) for one in pc.discovery.sightings()] == [(LAPTOP, "laptop")]
        assert [(one.device, one.name) for one in laptop.discovery.sightings()] == [(PC, "pc")]
        assert all(address.endswith(":1002") for address in pc.discovery.addresses_of(LAPTOP))
    assert took < 3.0


@pytest.mark.asyncio
async def test_an_open_code_and_its_end_are_seen_by_others(service: str) -> None:
    async with watch(PC, "pc", 1001, service) as pc, watch(LAPTOP, "laptop", 1002, service) as laptop:
        await laptop.until(lambda seen: seen and not seen[0].pairing)
        pc.discovery.announce(pairing=True)
        await laptop.until(lambda seen: seen and seen[0].pairing)
        pc.discovery.announce(pairing=False)
        await laptop.until(lambda seen: seen and not seen[0].pairing)


@pytest.mark.asyncio
async def test_a_new_name_replaces_the_old_one(service: str) -> None:
    async with watch(PC, "pc", 1001, service) as pc, watch(LAPTOP, "laptop", 1002, service) as laptop:
        await laptop.until(lambda seen: seen)
        pc.rename("Anna's v2.0 box")
        pc.discovery.announce(pairing=False)

        await laptop.until(lambda seen: [one.name for one in seen] == ["Anna's v2.0 box"])


@pytest.mark.asyncio
async def test_a_device_that_leaves_says_goodbye(service: str) -> None:
    async with watch(LAPTOP, "laptop", 1002, service) as laptop:
        async with watch(PC, "pc", 1001, service):
            await laptop.until(lambda seen: seen)
        await laptop.until(lambda seen: not seen)


@pytest.mark.asyncio
async def test_a_device_that_comes_back_on_another_port_is_seen_there(service: str) -> None:
    async with watch(LAPTOP, "laptop", 1002, service) as laptop:
        async with watch(PC, "pc", 1001, service):
            await laptop.until(lambda seen: seen)
        async with watch(PC, "pc", 1003, service):
            await laptop.until(lambda seen: seen and seen[0].addresses[0].endswith(":1003"))


@pytest.mark.asyncio
async def test_a_port_that_is_open_only_on_loopback_is_announced_there(service: str) -> None:
    async with (
        watch(PC, "pc", 1001, service, host="127.0.0.1"),
        watch(LAPTOP, "laptop", 1002, service) as laptop,
    ):
        await laptop.until(lambda seen: seen)

        assert laptop.discovery.addresses_of(PC) == ("127.0.0.1:1001",)


@pytest.mark.asyncio
async def test_a_device_does_not_see_itself(service: str) -> None:
    async with watch(PC, "pc", 1001, service) as pc, watch(LAPTOP, "laptop", 1002, service):
        await pc.until(lambda seen: seen)

        assert [one.device for one in pc.discovery.sightings()] == [LAPTOP]
