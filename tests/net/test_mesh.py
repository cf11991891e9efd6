"""Sessions between devices on this machine, over real TLS."""

import asyncio
import os
from pathlib import Path

import pytest

from meshd.net import greeting
from meshd.net.channel import Channel, ChannelClosed
from meshd.net.greeting import GreetingError
from meshd.net.session import Session
from meshd.store.peers import TrustedPeer
from meshd_protocol import codec
from meshd_protocol.errors import Code
from meshd_protocol.ids import device_id
from meshd_protocol.machines.pairing import NewPeer
from meshd_protocol.messages.session import Hello, Proof, Refusal
from meshd_protocol.messages.status import Ping
from meshd_protocol.version import PROTOCOL_VERSION
from tests.support.device import WAIT_S, Device, open_device, pair


async def dial(device: Device, other: Device) -> Channel:
    return (await device.dialer.connect([other.address], other.identity.fingerprint)).channel


def trusted(device: Device, other: Device) -> TrustedPeer:
    peer = device.book.get(other.identity.device)
    assert peer is not None
    return peer


@pytest.mark.asyncio
async def test_paired_devices_talk_both_ways(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        here, there = await pc.online(laptop), await laptop.online(pc)
        here.post(Ping(number=1))
        await there.send(Ping(number=2))

        session, message = await asyncio.wait_for(laptop.received.get(), WAIT_S)
        assert (session.peer, message) == (pc.identity.device, Ping(number=1))
        session, message = await asyncio.wait_for(pc.received.get(), WAIT_S)
        assert (session.peer, message) == (laptop.identity.device, Ping(number=2))
        assert here.dialled is not there.dialled


@pytest.mark.asyncio
async def test_a_device_that_restarts_on_another_port_is_found_by_a_sighting(tmp_path: Path) -> None:
    async with open_device(tmp_path / "laptop", "laptop") as laptop:
        async with open_device(tmp_path / "pc", "pc") as pc:
            await pair(pc, laptop)
            before = pc.address
        # Only the laptop can dial: it would not find the new port by itself.
        await laptop.offline(pc)
        async with open_device(tmp_path / "pc", "pc") as pc:
            await pc.mesh.__aexit__(None, None, None)
            await laptop.until(lambda: laptop.mesh.links()[pc.identity.device].trouble)
            assert pc.address != before
        async with open_device(tmp_path / "pc", "pc") as pc:
            laptop.sees(pc)
            await laptop.online(pc)
            await laptop.until(lambda: trusted(laptop, pc).addresses[:2] == (pc.address, before))


@pytest.mark.asyncio
async def test_both_dialling_at_once_leaves_one_session_on_both_sides(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
    for _ in range(5):
        async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
            pc.sees(laptop)
            laptop.sees(pc)
            here, there = await pc.online(laptop), await laptop.online(pc)
            here.post(Ping(number=1))
            there.post(Ping(number=1))
            await asyncio.wait_for(laptop.received.get(), WAIT_S)
            await asyncio.wait_for(pc.received.get(), WAIT_S)

            assert (len(pc.talking), len(laptop.talking)) == (1, 1)
            here, there = await pc.online(laptop), await laptop.online(pc)
            assert here.dialled is not there.dialled


async def open_second(device: Device, other: Device) -> tuple[Session, Channel]:
    """Open one more session from `device` to `other`, beside the one that its mesh keeps."""
    channel = await dial(device, other)
    peer = trusted(device, other)
    opened = await greeting.call(channel, identity=device.identity, peer=peer, token=os.urandom)
    session = Session(
        channel, peer=opened.peer, dialled=True, address=other.address, version=opened.version, opened_at=0.0
    )
    return session, channel


@pytest.mark.asyncio
async def test_of_two_young_sessions_the_one_dialled_by_the_lower_id_stays(tmp_path: Path) -> None:
    async with open_device(tmp_path / "a", "a") as a, open_device(tmp_path / "b", "b") as b:
        low, high = sorted((a, b), key=lambda device: device.identity.device)
        await pair(shows=high, enters=low)  # whoever enters the code dials
        kept = await high.online(low)
        assert not kept.dialled

        second, _ = await open_second(high, low)
        with pytest.raises(ChannelClosed) as closed:
            await second.receive()

        assert closed.value.code is Code.REPLACED
        assert high.mesh.session(low.identity.device) is kept


@pytest.mark.asyncio
async def test_a_peer_that_dials_although_an_old_session_stands_has_lost_that_one(tmp_path: Path) -> None:
    async with open_device(tmp_path / "a", "a") as a, open_device(tmp_path / "b", "b") as b:
        low, high = sorted((a, b), key=lambda device: device.identity.device)
        await pair(shows=high, enters=low)
        stale = await low.online(high)
        low.clock.advance(60)

        second, _ = await open_second(high, low)
        await low.until(lambda: (now := low.mesh.session(high.identity.device)) and now is not stale)

        assert len(low.talking) <= 1
        await second.close()


@pytest.mark.asyncio
async def test_the_newer_of_two_sessions_dialled_by_the_same_side_stays(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        old = await pc.online(laptop)

        second, _ = await open_second(laptop, pc)
        await pc.until(lambda: (now := pc.mesh.session(laptop.identity.device)) and now is not old)

        assert len(pc.talking) <= 1
        await second.close()


@pytest.mark.parametrize("unpairs", ["the one that was dialled", "the one that dialled"])
@pytest.mark.asyncio
async def test_unpairing_cuts_both_sides_at_once_and_the_other_side_forgets_too(tmp_path: Path, unpairs: str) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        one, other = (pc, laptop) if unpairs == "the one that was dialled" else (laptop, pc)
        started = asyncio.get_running_loop().time()
        await one.mesh.unpair(other.identity.device)
        await other.until(lambda: not other.book.all() and not other.mesh.links() and len(other.notices) == 2)
        took = asyncio.get_running_loop().time() - started

        assert (one.talking, other.talking) == ([], [])
        assert one.mesh.links() == other.mesh.links() == {}
        assert [notice.code for notice in other.notices] == ["paired", "unpaired_by_peer"]
        assert [notice.code for notice in one.notices] == ["paired"]
        assert took < 1.0


@pytest.mark.asyncio
async def test_a_peer_that_was_away_learns_that_it_was_unpaired_when_it_is_back(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc:
        async with open_device(tmp_path / "laptop", "laptop") as laptop:
            await pair(pc, laptop)
        await pc.offline(laptop)
        await pc.mesh.unpair(laptop.identity.device)
        async with open_device(tmp_path / "laptop", "laptop") as laptop:
            await laptop.until(lambda: not laptop.book.all() and laptop.notices)

            assert [notice.code for notice in laptop.notices] == ["unpaired_by_peer"]


@pytest.mark.asyncio
async def test_a_peer_that_can_only_be_dialled_is_told_that_it_was_unpaired(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        # Dialled again only after a pause, and the pc does not know where to dial.
        await (await laptop.online(pc)).close()
        await laptop.offline(pc)
        await laptop.mesh.unpair(pc.identity.device)

        await pc.until(lambda: not pc.book.all())


@pytest.mark.asyncio
async def test_a_farewell_that_comes_late_does_not_undo_a_new_pairing(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        old_session = await pc.online(laptop)
        await laptop.online(pc)
        old = trusted(laptop, pc)
        await laptop.book.keep(NewPeer(old.device, old.name, old.certificate, os.urandom(32), PROTOCOL_VERSION), [])

        await old_session.close(Code.UNPAIRED)

        await laptop.until(lambda: laptop.mesh.links()[pc.identity.device].trouble)
        assert trusted(laptop, pc).pair_key != old.pair_key


async def ask(device: Device, other: Device, *, claim: str, mac: bytes) -> list[bytes]:
    """Return every frame that `other` answers to a proof of this claim."""
    channel = await dial(device, other)
    frames = list[bytes]()
    hello = codec.decode(await channel.receive())
    assert isinstance(hello, Hello)
    signature = device.identity.sign(b"?")
    channel.post(codec.encode(Proof(version=1, device=claim, nonce=bytes(32), mac=mac, signature=signature)))
    try:
        while True:
            frames.append(await channel.receive())
    except ChannelClosed as closed:
        return [*frames, str(closed).encode()]


@pytest.mark.asyncio
async def test_nobody_learns_who_is_paired_with_whom(tmp_path: Path) -> None:
    async with (
        open_device(tmp_path / "pc", "pc") as pc,
        open_device(tmp_path / "laptop", "laptop") as laptop,
        open_device(tmp_path / "third", "third") as third,
    ):
        await pair(pc, laptop)
        await pair(pc, third)
        await pc.mesh.unpair(third.identity.device)

        answers = [
            await ask(third, pc, claim=claim, mac=bytes(32))
            for claim in (laptop.identity.device, third.identity.device, device_id(b"nobody"), pc.identity.device)
        ]

    assert answers == [[codec.encode(Refusal(code="refused")), b"refused"]] * 4


@pytest.mark.asyncio
async def test_a_session_is_not_opened_to_a_server_with_another_certificate(tmp_path: Path) -> None:
    async with open_device(tmp_path / "laptop", "laptop") as laptop:
        async with open_device(tmp_path / "pc", "pc") as pc:
            await pair(pc, laptop)
            port = pc.listener.port
        await laptop.offline(pc)
        async with open_device(tmp_path / "impostor", "pc", port=port):
            laptop.mesh.wake()
            await laptop.until(lambda: "another device" in laptop.mesh.links()[pc.identity.device].trouble)


@pytest.mark.asyncio
async def test_a_peer_that_lost_its_memory_says_so_and_is_not_forgotten(tmp_path: Path) -> None:
    async with open_device(tmp_path / "laptop", "laptop") as laptop:
        async with open_device(tmp_path / "pc", "pc") as pc:
            await pair(pc, laptop)
        await laptop.offline(pc)
        (tmp_path / "pc" / "mesh.db").unlink()
        async with open_device(tmp_path / "pc", "pc") as pc:
            laptop.sees(pc)
            await laptop.until(lambda: "pair again" in laptop.mesh.links()[pc.identity.device].trouble)
            assert [peer.device for peer in laptop.book.all()] == [pc.identity.device]


@pytest.mark.asyncio
async def test_a_silent_caller_is_dropped(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc", step_s=0.2) as pc:
        channel = await dial(pc, pc)
        await channel.receive()

        with pytest.raises(ChannelClosed):
            await asyncio.wait_for(channel.receive(), WAIT_S)


@pytest.mark.asyncio
async def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        channel = (await laptop.dialer.connect([pc.address], pc.identity.fingerprint, path="/pair")).channel

        peer = trusted(laptop, pc)
        with pytest.raises(GreetingError, match=r"no answer within 0\.1 s"):
            await greeting.call(channel, identity=laptop.identity, peer=peer, token=os.urandom, step_s=0.1)


@pytest.mark.asyncio
async def test_garbage_in_a_session_ends_it_with_the_reason(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        session, channel = await open_second(laptop, pc)
        channel.post(b"\xc1")

        with pytest.raises(ChannelClosed) as closed:
            await session.receive()
        assert closed.value.code is Code.BAD_MESSAGE


@pytest.mark.asyncio
async def test_a_session_comes_back_after_it_was_cut(tmp_path: Path) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        first = await laptop.online(pc)
        await first.close(Code.LEAVING)
        await laptop.until(lambda: (now := laptop.mesh.session(pc.identity.device)) and now is not first)

        await pc.online(laptop)


@pytest.mark.asyncio
async def test_three_devices_hold_a_session_each_with_each(tmp_path: Path) -> None:
    async with (
        open_device(tmp_path / "pc", "pc") as pc,
        open_device(tmp_path / "laptop", "laptop") as laptop,
        open_device(tmp_path / "third", "third") as third,
    ):
        await pair(pc, laptop)
        await pair(pc, third)
        await pair(laptop, third)

        assert [len(device.mesh.sessions()) for device in (pc, laptop, third)] == [2, 2, 2]


@pytest.mark.asyncio
async def test_a_peer_that_calls_while_this_device_starts_or_stops_is_not_told_that_it_was_unpaired(
    tmp_path: Path,
) -> None:
    async with open_device(tmp_path / "pc", "pc") as pc, open_device(tmp_path / "laptop", "laptop") as laptop:
        await pair(pc, laptop)
        # The peer port is open, and nobody keeps sessions up: as before the start and after the end of a mesh.
        await pc.mesh.__aexit__(None, None, None)
        await laptop.offline(pc)
        second, _ = await open_second(laptop, pc)

        with pytest.raises(ChannelClosed) as closed:
            await second.receive()

        assert closed.value.code is Code.LEAVING
        assert [peer.device for peer in laptop.book.all()] == [pc.identity.device]
