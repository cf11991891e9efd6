"""Devices and work, described by what a test is about."""

from meshd.scheduling.snapshot import CPU, SLOTS, DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd.scheduling.work import Work
from meshd_protocol.ids import DeviceId

LAPTOP, PC, BOX = DeviceId("laptoplaptoplapt"), DeviceId("pcpcpcpcpcpcpcpc"), DeviceId("boxboxboxboxboxb")


def a_device(
    device: DeviceId,
    name: str,
    *,
    rate: float | None = 1e9,
    free: int = 1,
    slots: int = 1,
    wait_s: float = 0.0,
    start_s: float = 0.0,
    is_warm: bool = False,
    permitted: bool = True,
    online: bool = True,
    paused: bool = False,
    kind: str = "lineups",
) -> DeviceSnapshot:
    """Return a device with one accelerator; the one called laptop is this device."""
    kinds = {
        kind: KindSnapshot(
            free,
            wait_s,
            rate,
            SLOTS,
            slots=max(free, slots),
            start_s=start_s,
            is_warm=is_warm,
            permitted=permitted,
        )
    }
    return DeviceSnapshot(device, name, device == LAPTOP, online, kinds, rtt_s=0.001, paused=paused)


def a_gpu_device(
    device: DeviceId,
    name: str,
    *,
    rate: float | None = 1e12,
    cpu_rate: float | None = 1e9,
    gpu_free: int = 1,
    gpu_wait_s: float = 0.0,
    gpu_free_bytes: int | None = None,
    model: str = "GPU A",
) -> DeviceSnapshot:
    """Return a device that has a GPU besides its processors."""
    gpu = KindSnapshot(
        gpu_free, gpu_wait_s, rate, model, also=(KindSnapshot(1, 0.0, cpu_rate, CPU),), gpu_free_bytes=gpu_free_bytes
    )
    return DeviceSnapshot(device, name, device == LAPTOP, True, {"lineups": gpu}, rtt_s=0.001)


def mesh(*devices: DeviceSnapshot) -> MeshSnapshot:
    return MeshSnapshot(devices)


def work(
    cost: float | None = 20e9,
    placement: str = "auto",
    *,
    kind: str = "lineups",
    fall_back: bool = False,
    avoid: tuple[DeviceId, ...] = (),
    memory_bytes: int = 0,
    gpu_memory_bytes: int = 0,
    input_bytes: int = 0,
) -> Work:
    return Work(kind, placement, cost, fall_back, avoid, memory_bytes, gpu_memory_bytes, input_bytes)
