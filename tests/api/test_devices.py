"""The local API shows devices as they told of themselves, and lets this one's user pause it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from meshd.api.devices import Devices
from meshd.api.overview import Overview
from meshd.api.trial import Trial
from meshd.clock import SystemClock
from meshd.net.discovery import Sighting
from meshd.net.mesh import Mesh
from meshd.store.peers import TrustedPeer
from meshd.trust.book import PeerBook
from meshd_protocol.ids import DeviceId
from meshd_protocol.localapi import PeerView
from tests.support.desk import Desk, PlainKind, joined, open_desk
from tests.support.eventually import eventually
from tests.support.manual_machine import GIB, ManualMachine, a_gpu, a_machine

LAPTOP, PC = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc")
pytestmark = pytest.mark.asyncio
TRUSTED = TrustedPeer(PC, "pc", b"", b"", (), (), 0.0, None)


def no_sightings() -> Sequence[Sighting]:
    return ()


def views(laptop: Desk, *, online: bool = True) -> Callable[[], PeerView]:
    """Return what shows the pc as the laptop knows it."""
    links = {PC: SimpleNamespace(state="online" if online else "offline", address="192.0.2.7:1", trouble="")}
    devices = Devices(
        book=cast("PeerBook", SimpleNamespace()),
        mesh=cast("Mesh", SimpleNamespace(links=lambda: links)),
        roster=laptop.roster,
        sightings=no_sightings,
        trial=cast("Trial", SimpleNamespace()),
        check_kind=lambda kind: None,
    )
    return lambda: devices.view(TRUSTED)


async def test_a_peer_is_shown_with_its_machine_its_state_and_its_rates(tmp_path: Path) -> None:
    kind, machine = PlainKind(accelerated=True), ManualMachine(a_machine(a_gpu(), charge=0.3))
    async with (
        open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}, kind=kind) as laptop,
        open_desk(
            tmp_path / "pc", PC, {LAPTOP: "laptop"}, kind=kind, machine=machine, declared={"plain/gpu": 1e12}
        ) as pc,
    ):
        view = views(laptop)
        assert (view().state, view().machine, view().slots) == ("online", None, None)
        async with joined(laptop, pc):
            await pc.gauge.look()
            await eventually(lambda: len(pc.accelerators.gpus()) == 1)
            await eventually(lambda: (told := view().machine) is not None and told.platforms == ["cpu", "gpu"])
            shown = view()
            assert (shown.state, shown.paused, shown.reluctance) == ("idle", False, "on battery at 30%")
            assert [(rate.kind, rate.rate, rate.accelerator) for rate in shown.rates] == [("plain", 1e12, "GPU A")]
            assert shown.machine is not None
            assert (shown.machine.cores, shown.machine.memory_bytes, shown.machine.battery) == (4, 16 * GIB, 0.3)
            (gpu,) = shown.machine.gpus
            assert (gpu.name, gpu.memory_bytes, gpu.usable) == ("GPU A", 24 * GIB, True)
            await pc.readiness.pause()
            await eventually(lambda: view().paused)
        assert views(laptop, online=False)().state == "offline"


async def test_a_peer_is_busy_when_it_has_no_slot_left(tmp_path: Path) -> None:
    async with (
        open_desk(tmp_path / "laptop", LAPTOP, {PC: "pc"}) as laptop,
        open_desk(tmp_path / "pc", PC, {LAPTOP: "laptop"}) as pc,
        joined(laptop, pc),
    ):
        view = views(laptop)
        await eventually(lambda: view().state == "idle")
        await pc.submit("local")
        await eventually(lambda: view().state == "online")
        await pc.submit("local")
        await eventually(lambda: view().state == "busy")
        assert (view().busy, view().slots) == (2, 2)


async def test_the_status_of_this_device_tells_its_machine_and_its_pause(tmp_path: Path) -> None:
    async with open_desk(tmp_path / "laptop", LAPTOP, {}) as laptop:
        overview = Overview(
            device=LAPTOP,
            home=tmp_path,
            clock=SystemClock(),
            history=laptop.history,
            roster=laptop.roster,
            book=cast("PeerBook", SimpleNamespace(listed=list[TrustedPeer])),
            mesh=cast("Mesh", SimpleNamespace(sessions=list[object])),
            readiness=laptop.readiness,
            peer_port=1,
            discovery=lambda: "on",
            stop=lambda: None,
        )
        await laptop.gauge.look()
        paused = await overview.pause()
        assert paused.paused_at is not None
        assert paused.paused_at.endswith("Z")
        assert paused.machine is not None
        assert paused.machine.cores == 4
        assert (await overview.status()).paused_at == paused.paused_at
        assert (await overview.resume()).paused_at is None
