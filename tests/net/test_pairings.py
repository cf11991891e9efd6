"""Pairing over real TLS between two devices on this machine."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from meshd.errors import BadInput, Conflict, MeshdError, NotFound, PeerRefused, PeerUnreachable
from meshd.net.channel import Channel, ChannelClosed
from meshd.net.dialer import Dialer
from meshd.net.listener import Listener
from meshd.trust.identity import load_or_create_identity
from meshd.trust.refusals import Busy, NoCodeOpen, OwnDevice, WrongCode
from meshd_protocol import codec
from meshd_protocol.limits import CODE_TTL_S
from meshd_protocol.messages.pairing import PairRefused, PairStart
from tests.support.device import Device, open_device, pair


@pytest_asyncio.fixture
async def pc(tmp_path: Path) -> AsyncGenerator[Device, None]:
    async with open_device(tmp_path / "pc", "pc", step_s=0.5) as device:
        yield device


@pytest_asyncio.fixture
async def laptop(tmp_path: Path) -> AsyncGenerator[Device, None]:
    async with open_device(tmp_path / "laptop", "laptop", step_s=0.5) as device:
        yield device


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def strangers(*devices: Device) -> bool:
    return not any(device.book.all() for device in devices)


async def begin(device: Device, shows: Device) -> Channel:
    """Take part in a pairing up to the point where the other side has told its half."""
    channel = (await device.dialer.connect([shows.address], None, path="/pair")).channel
    half = b"A" + b"\x58" + b"\x66" * 31
    start = PairStart(version=1, certificate=device.identity.certificate, name="x", pake=half)
    channel.post(codec.encode(start))
    await channel.receive()
    return channel


@pytest.mark.asyncio
async def test_the_right_code_pairs_both_with_the_same_key_and_each_others_name(pc: Device, laptop: Device) -> None:
    shown = pc.pairings.open_code()

    there = await laptop.pairings.accept(shown.code, pc.address)

    await laptop.online(pc)
    (here,) = pc.book.all()
    assert (there.name, there.device, there.fingerprint) == ("pc", pc.identity.device, pc.identity.fingerprint)
    assert (here.name, here.device, here.fingerprint) == ("laptop", laptop.identity.device, laptop.identity.fingerprint)
    assert here.pair_key == there.pair_key
    assert there.addresses == (pc.address,)
    assert pc.pairings.showing() is None
    assert [notice.code for notice in pc.notices] == [notice.code for notice in laptop.notices] == ["paired"]


@pytest.mark.parametrize("written", ["{0} ", "{0:.3} {1}", "{0:.3}-{1}"])
@pytest.mark.asyncio
async def test_a_code_may_be_written_in_two_halves(pc: Device, laptop: Device, written: str) -> None:
    code = pc.pairings.open_code().code

    await laptop.pairings.accept(written.format(code, code[3:]), pc.address)


@pytest.mark.asyncio
async def test_three_wrong_tries_burn_the_code(pc: Device, laptop: Device) -> None:
    shown = pc.pairings.open_code()
    left = list[int]()
    for _ in range(3):
        with pytest.raises(WrongCode) as refused:
            await laptop.pairings.accept(wrong(shown.code), pc.address)
        left.append(refused.value.tries_left)

    with pytest.raises(NoCodeOpen):
        await laptop.pairings.accept(shown.code, pc.address)

    assert left == [2, 1, 0]
    assert strangers(pc, laptop)
    assert [notice.code for notice in pc.notices] == ["code_failed", "code_failed", "code_burned"]
    assert "127.0.0.1" in pc.notices[0].message


@pytest.mark.asyncio
async def test_after_a_typing_mistake_the_right_code_still_works(pc: Device, laptop: Device) -> None:
    shown = pc.pairings.open_code()
    with pytest.raises(WrongCode, match="2 tries left"):
        await laptop.pairings.accept(wrong(shown.code), pc.address)

    await laptop.pairings.accept(shown.code, pc.address)


@pytest.mark.asyncio
async def test_a_code_that_is_over_pairs_nobody(pc: Device, laptop: Device) -> None:
    with pytest.raises(NoCodeOpen):
        await laptop.pairings.accept("123456", pc.address)

    shown = pc.pairings.open_code()
    pc.clock.advance(CODE_TTL_S)
    with pytest.raises(NoCodeOpen):
        await laptop.pairings.accept(shown.code, pc.address)

    shown = pc.pairings.open_code()
    pc.pairings.close_code()
    with pytest.raises(NoCodeOpen):
        await laptop.pairings.accept(shown.code, pc.address)

    assert strangers(pc, laptop)


@pytest.mark.asyncio
async def test_a_code_works_for_one_device_only(pc: Device, laptop: Device, tmp_path: Path) -> None:
    shown = pc.pairings.open_code()
    await laptop.pairings.accept(shown.code, pc.address)

    async with open_device(tmp_path / "third", "third") as third:
        with pytest.raises(NoCodeOpen):
            await third.pairings.accept(shown.code, pc.address)
        assert strangers(third)


@pytest.mark.asyncio
async def test_breaking_off_is_a_try_like_any_other(pc: Device, laptop: Device) -> None:
    shown = pc.pairings.open_code()
    for _ in range(3):
        channel = await begin(laptop, pc)
        await channel.close()

    with pytest.raises(NoCodeOpen):
        await laptop.pairings.accept(shown.code, pc.address)
    assert strangers(pc, laptop)


@pytest.mark.asyncio
async def test_silence_in_the_middle_is_a_try_and_ends_in_time(pc: Device, laptop: Device) -> None:
    pc.pairings.open_code()
    channel = await begin(laptop, pc)

    with pytest.raises(ChannelClosed):
        await asyncio.wait_for(channel.receive(), 5)

    await pc.until(lambda: pc.notices)
    shown = pc.pairings.showing()
    assert shown is not None
    assert shown.tries_left == 2
    assert [notice.code for notice in pc.notices] == ["code_failed"]


@pytest.mark.asyncio
async def test_guesses_side_by_side_are_all_counted(pc: Device, laptop: Device) -> None:
    shown = pc.pairings.open_code()

    async def guess() -> type[BaseException] | None:
        try:
            await laptop.pairings.accept(wrong(shown.code), pc.address)
        except MeshdError as error:
            return type(error)
        return None

    outcomes = await asyncio.gather(*(guess() for _ in range(20)))

    assert outcomes.count(WrongCode) == 3
    assert set(outcomes) <= {WrongCode, NoCodeOpen, Busy}
    assert strangers(pc, laptop)


@asynccontextmanager
async def middle(folder: Path, target: Device, *, swap: bool) -> AsyncGenerator[str, None]:
    """Stand between two devices with a certificate of one's own, and hand the frames on."""
    identity = await asyncio.to_thread(load_or_create_identity, folder)

    async def pump(source: Channel, sink: Channel, change: Callable[[bytes], bytes]) -> None:
        try:
            while True:
                await sink.send(change(await source.receive()))
        except ChannelClosed:
            await sink.close()

    def change(frame: bytes) -> bytes:
        message = codec.decode(frame)
        if swap and isinstance(message, PairStart):
            own = identity.certificate
            return codec.encode(PairStart(message.version, own, message.name, message.pake))
        return frame

    async def serve(channel: Channel) -> None:
        onward = (await dialer.connect([target.address], None, path="/pair")).channel
        await asyncio.gather(pump(channel, onward, change), pump(onward, channel, lambda frame: frame))

    async def nothing(channel: Channel, authenticated: Callable[[], None]) -> None:
        await channel.close()

    listener = Listener(identity=identity, mesh=nothing, pair=serve)
    async with Dialer() as dialer, listener.open(port=0, host="127.0.0.1"):
        yield f"127.0.0.1:{listener.port}"


@pytest.mark.parametrize("swap", [False, True], ids=["frames as they are", "certificate swapped"])
@pytest.mark.asyncio
async def test_a_machine_in_the_middle_fails_with_the_right_code(
    pc: Device, laptop: Device, tmp_path: Path, *, swap: bool
) -> None:
    shown = pc.pairings.open_code()

    async with middle(tmp_path / "middle", pc, swap=swap) as address:
        with pytest.raises(PeerRefused):
            await laptop.pairings.accept(shown.code, address)

    assert strangers(pc, laptop)
    await laptop.pairings.accept(shown.code, pc.address)


@pytest.mark.asyncio
async def test_a_device_does_not_pair_with_itself(pc: Device) -> None:
    shown = pc.pairings.open_code()

    for target in (pc.address, pc.identity.device):
        with pytest.raises(OwnDevice):
            await pc.pairings.accept(shown.code, target)
    assert pc.pairings.showing() == shown


@pytest.mark.asyncio
async def test_pairing_again_renews_the_key_and_the_session(pc: Device, laptop: Device) -> None:
    await pair(pc, laptop)
    first = await laptop.online(pc)
    (old,) = laptop.book.all()

    await laptop.pairings.accept(pc.pairings.open_code().code, pc.address)

    await laptop.until(lambda: (session := laptop.mesh.session(pc.identity.device)) and session is not first)
    await laptop.online(pc)
    (here,), (there,) = pc.book.all(), laptop.book.all()
    assert here.pair_key == there.pair_key != old.pair_key


@pytest.mark.asyncio
async def test_without_a_target_the_only_device_that_shows_a_code_is_meant(
    pc: Device, laptop: Device, tmp_path: Path
) -> None:
    async with open_device(tmp_path / "third", "third") as third:
        laptop.sees(third)
        laptop.sees(pc, pairing=True)

        peer = await laptop.pairings.accept(pc.pairings.open_code().code)

        assert peer.device == pc.identity.device


@pytest.mark.asyncio
async def test_several_devices_that_show_a_code_are_listed(pc: Device, laptop: Device, tmp_path: Path) -> None:
    async with open_device(tmp_path / "third", "third") as third:
        with pytest.raises(NotFound, match="no device in sight shows a code"):
            await laptop.pairings.accept("123456")
        laptop.sees(third, pairing=True)
        laptop.sees(pc, pairing=True)

        with pytest.raises(Conflict) as several:
            await laptop.pairings.accept("123456")

        assert third.identity.device in str(several.value)
        assert pc.identity.device in str(several.value)
        await laptop.pairings.accept(third.pairings.open_code().code, "THIRD")
        await laptop.pairings.accept(pc.pairings.open_code().code, pc.identity.device)


@pytest.mark.asyncio
async def test_a_device_that_cannot_be_found_or_reached_is_a_clear_error(pc: Device, laptop: Device) -> None:
    laptop.sees(pc)
    with pytest.raises(NotFound, match="in sight: pc"):
        await laptop.pairings.accept("123456", "desktop")
    with pytest.raises(PeerUnreachable, match=r"127\.0\.0\.1:1: "):
        await laptop.pairings.accept("123456", "127.0.0.1:1")
    for address in ("127.0.0.1:0", "127.0.0.1:x", "a.b:c:d.e:f/g"):
        with pytest.raises((BadInput, PeerUnreachable)):
            await laptop.pairings.accept("123456", address)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "\uff11" * 6])
@pytest.mark.asyncio
async def test_what_is_no_code_is_not_sent(pc: Device, laptop: Device, code: str) -> None:
    shown = pc.pairings.open_code()
    with pytest.raises(BadInput, match="6 digits"):
        await laptop.pairings.accept(code, pc.address)
    assert pc.pairings.showing() == shown


async def refused(ask: Callable[[Channel], Awaitable[None]], device: Device, other: Device) -> str:
    """Return with which code `other` answers what `ask` does on a fresh pairing channel."""
    channel = (await device.dialer.connect([other.address], None, path="/pair")).channel
    await ask(channel)
    try:
        answer = codec.decode(await channel.receive())
    except ChannelClosed as closed:
        return str(closed.code)
    assert isinstance(answer, PairRefused)
    return answer.code


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x91" * 2000, bytes(4097)])
@pytest.mark.asyncio
async def test_garbage_costs_no_try(pc: Device, laptop: Device, frame: bytes) -> None:
    async def ask(channel: Channel) -> None:
        channel.post(frame)

    shown = pc.pairings.open_code()

    assert await refused(ask, laptop, pc) in ("bad-message", "None")
    assert pc.pairings.showing() == shown


@pytest.mark.asyncio
async def test_an_older_protocol_is_refused_before_a_try_is_charged(
    pc: Device, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd_protocol.version.OLDEST_SPOKEN", 2)
    shown = pc.pairings.open_code()

    with pytest.raises(MeshdError, match="too old") as mismatch:
        await laptop.pairings.accept(shown.code, pc.address)

    assert mismatch.value.code == "version"
    assert pc.pairings.showing() == shown
