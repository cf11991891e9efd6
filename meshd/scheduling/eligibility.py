"""Which devices could take an attempt at all, and why the others cannot: in words for a person."""

from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, is_gpu
from meshd.scheduling.work import Work


def unfit(device: DeviceSnapshot, work: Work, *, on_gpu: bool = False) -> str:
    """Return why `device` cannot run `work` at all at the moment, or not on a GPU; empty when it can.

    A device that is reluctant refuses the jobs of others, not its own.
    """
    if not device.is_online:
        return f"{device.name} is offline"
    if device.paused:
        return f"{device.name} is paused"
    if device.reluctance and not device.is_local:
        return f"{device.name} takes no jobs of others now: {device.reluctance}"
    found = [each for each in device.options(work.kind) if not on_gpu or is_gpu(each.accelerator)]
    if not found:
        return f"{device.name} does not run {work.kind} jobs" + (" on a GPU" if on_gpu else "")
    if not any(each.permitted for each in found):
        return f"{device.name} does not let this device run {work.kind} jobs"
    missing = [_too_small(device, each, work) for each in found]
    return missing[0] if all(missing) else ""


def usable(device: DeviceSnapshot, work: Work) -> list[KindSnapshot]:
    """Return the accelerators of `device` that have what `work` needs, busy or not."""
    return [each for each in device.options(work.kind) if each.permitted and not _too_small(device, each, work)]


def shortage(need_bytes: int, free_bytes: int | None, what: str) -> str:
    """Return what is missing of a memory; empty when there is enough, or nobody knows how much."""
    if free_bytes is None or free_bytes >= need_bytes:
        return ""
    return f"{free_bytes / 1e9:.1f} GB of {what} are free, {need_bytes / 1e9:.1f} GB are needed"


def _too_small(device: DeviceSnapshot, where: KindSnapshot, work: Work) -> str:
    if where.is_warm:
        # Its worker holds its memory already.
        return ""
    missing = shortage(work.memory_bytes, device.free_bytes, "memory")
    if not missing and is_gpu(where.accelerator):
        missing = shortage(work.gpu_memory_bytes, where.gpu_free_bytes, f"{where.accelerator}'s memory")
    return f"{device.name}: {missing}" if missing else ""
