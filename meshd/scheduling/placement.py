"""Where the next attempt of a job should run: a decision from a snapshot, with its reason.

Expected finish on a device = wait for a slot + round trip + cost / rate. A GPU is never chosen because it is one.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from meshd.scheduling.snapshot import DeviceSnapshot, MeshSnapshot
from meshd_protocol.ids import DeviceId

LOCAL = "local"
AUTO = "auto"
POLICIES = (AUTO, LOCAL)

WIN_SHARE = 0.10
WIN_S = 0.5
"""A peer must finish this much earlier than this device: moving work costs a person's trust when it gains nothing."""


@dataclass(frozen=True, slots=True)
class Work:
    """What placement needs to know of a job."""

    kind: str
    placement: str
    cost: float | None
    may_fall_back: bool
    """Whether a job that was to run on one device may run elsewhere, because it has lost that device after a start."""

    avoid: Collection[DeviceId] = ()
    """Devices that lost or declined it lately."""


@dataclass(frozen=True, slots=True)
class Run:
    """Offer the attempt to this device."""

    device: DeviceId
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody can take it now."""

    why: str


Decision: TypeAlias = Run | Wait


def decide(work: Work, mesh: MeshSnapshot) -> Decision:
    """Return where to run an attempt of `work`, or why it has to wait."""
    if work.placement == LOCAL:
        return _on(mesh.local, work, "placed here by its user")
    if work.placement != AUTO:
        named = mesh.find(work.placement)
        if named is not None and named.device not in work.avoid:
            return _on(named, work, f"placed on {named.name} by its user")
        if work.may_fall_back:
            return _auto(work, mesh)
        return Wait(
            f"{work.placement} is not paired with this device" if named is None else f"waiting for {named.name}"
        )
    return _auto(work, mesh)


def _on(device: DeviceSnapshot, work: Work, why: str) -> Decision:
    obstacle = unfit(device, work)
    if obstacle:
        return Wait(obstacle)
    if device.kinds[work.kind].free <= 0:
        return Wait(f"waiting for a free slot on {device.name}")
    return Run(device.device, why)


def unfit(device: DeviceSnapshot, work: Work) -> str:
    """Return why `device` cannot run `work` at all at the moment; empty when it can."""
    if not device.is_online:
        return f"{device.name} is offline"
    if device.paused:
        return f"{device.name} is paused"
    if work.kind not in device.kinds:
        return f"{device.name} does not run {work.kind} jobs"
    return ""


def _auto(work: Work, mesh: MeshSnapshot) -> Decision:
    fit = [device for device in mesh.devices if not unfit(device, work) and device.device not in work.avoid]
    if not fit:
        # Better where it was lost once than nowhere.
        obstacle = unfit(mesh.local, work)
        if obstacle:
            return Wait(obstacle)
        fit = [mesh.local]
    forecasts = [forecast for device in fit if (forecast := Forecast.of(device, work)) is not None]
    if len(forecasts) < len(fit):
        return _by_free_slots(work, fit)
    best = min(forecasts, key=lambda each: (each.finish_s, not each.device.is_local, each.device.device))
    local = next((forecast for forecast in forecasts if forecast.device.is_local), None)
    if local is not None and not _wins(best.finish_s, local.finish_s):
        best = local
    why = _explain(best, forecasts)
    if best.device.kinds[work.kind].free > 0:
        return Run(best.device.device, why)
    return Wait(f"waiting for a free slot on {best.device.name}: {why}")


@dataclass(frozen=True, slots=True)
class Forecast:
    """In how many seconds a device is expected to have finished."""

    device: DeviceSnapshot
    finish_s: float

    @classmethod
    def of(cls, device: DeviceSnapshot, work: Work) -> "Forecast | None":
        """Return the forecast for `work` on `device`; None when its cost or the device's rate is not known."""
        kind = device.kinds[work.kind]
        if work.cost is None or kind.rate is None:
            return None
        return cls(device, kind.wait_s + device.rtt_s + work.cost / kind.rate)


def _wins(peer_s: float, local_s: float) -> bool:
    return local_s - peer_s > max(WIN_S, WIN_SHARE * local_s)


def _by_free_slots(work: Work, fit: list[DeviceSnapshot]) -> Decision:
    free = [device for device in fit if device.kinds[work.kind].free > 0]
    if not free:
        return Wait("every device that could run it is busy")
    best = max(free, key=lambda device: (device.is_local, device.kinds[work.kind].free, device.device))
    return Run(best.device, f"{best.name} has a free slot, and how long it would take is not known everywhere")


def _explain(best: Forecast, forecasts: list[Forecast]) -> str:
    text = f"earliest finish on {best.device.name} ({_seconds(best.finish_s)})"
    others = [f"{other.device.name} {_seconds(other.finish_s)}" for other in forecasts if other is not best]
    return f"{text}; {', '.join(others[:3])}" if others else text


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 100 else f"{value / 60:.0f} min"
