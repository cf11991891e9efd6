"""What a device has said of itself, as placement sees it: bounded by what this one knows better."""

from collections import defaultdict
from collections.abc import Callable

from msgspec.structs import replace

from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, is_gpu
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import status as wire

RateOf = Callable[[wire.KindStatus], float | None]
"""How fast a device is to be believed to be, on one line of its status."""


def outlook(
    device: DeviceId,
    name: str,
    status: wire.Status | None,
    *,
    is_local: bool,
    is_online: bool,
    rtt_s: float,
    coming: int,
    rate_of: RateOf,
) -> DeviceSnapshot:
    """Return a device as placement sees it; `coming` attempts are on their way to it, and take the next free slots."""
    if status is None:
        # A peer that has not said yet what it can do cannot be given anything.
        return DeviceSnapshot(device, name, is_local, False, {}, rtt_s)
    lines: dict[str, list[KindSnapshot]] = defaultdict(list)
    for line in status.kinds:
        lines[line.kind].append(_line(line, status, rate_of(line)))
    return DeviceSnapshot(
        device,
        name,
        is_local,
        is_online,
        {kind: _joined(options, coming) for kind, options in lines.items()},
        rtt_s,
        status.paused,
        status.reluctance,
        status.free_bytes,
    )


def _line(line: wire.KindStatus, status: wire.Status, rate: float | None) -> KindSnapshot:
    memories = [gpu.free_bytes for gpu in status.gpus if gpu.name == line.accelerator and gpu.free_bytes is not None]
    return KindSnapshot(
        free=min(line.free, line.slots),
        wait_s=line.wait_s,
        rate=rate,
        accelerator=line.accelerator,
        slots=max(line.slots, 1),
        start_s=line.start_s,
        is_warm=line.warm,
        gpu_free_bytes=max(memories, default=None) if is_gpu(line.accelerator) else None,
        permitted=line.permitted,
    )


def _joined(options: list[KindSnapshot], coming: int) -> KindSnapshot:
    """Return a kind with all of its accelerators, the fastest first."""
    ordered = sorted(options, key=lambda each: (-(each.rate or 0.0), not is_gpu(each.accelerator), each.accelerator))
    left: list[KindSnapshot] = []
    for each in ordered:
        taken = min(each.free, coming)
        coming -= taken
        left.append(replace(each, free=each.free - taken))
    return replace(left[0], also=tuple(left[1:]))
