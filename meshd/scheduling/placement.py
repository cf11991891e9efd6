"""Where the next attempt of a job should run: a decision from a snapshot, with its reason.

A GPU is never chosen because it is one: half a second of work stays here. The reason also says why not elsewhere.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from meshd.scheduling.eligibility import unfit, usable
from meshd.scheduling.forecast import Forecast, forecast, seconds
from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, MeshSnapshot, is_gpu
from meshd.scheduling.work import AUTO, GPU, LOCAL, Work
from meshd.trust.names import listed
from meshd_protocol.ids import DeviceId

WIN_SHARE = 0.10
WIN_S = 0.5
"""A peer must finish this much earlier than this device: moving work costs a person's trust when it gains nothing."""

AHEAD_S = 0.5
"""A peer is sent its next attempt so long before a slot is free there: it tells of a free slot up to 0.2 s late, and
would idle for that and for the way."""

TOLD = 3
"""Other devices that a reason names, of those that lost and of those that could not: a line for a person."""


@dataclass(frozen=True, slots=True)
class Run:
    """Offer the attempt to this device."""

    device: DeviceId
    why: str
    where: KindSnapshot | None = field(default=None, compare=False)
    """The accelerator that was counted on."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody should take it now."""

    why: str
    device: DeviceId | None = field(default=None, compare=False)
    """For whom it waits, although others may be free."""

    where: KindSnapshot | None = field(default=None, compare=False)


Decision: TypeAlias = Run | Wait


def decide(work: Work, mesh: MeshSnapshot) -> Decision:
    """Return where to run an attempt of `work`, or why it has to wait."""
    if work.placement == LOCAL:
        return _on(mesh.local, work, "placed here by its user")
    if work.placement == GPU:
        return _on_gpu(work, mesh)
    if work.placement == AUTO:
        return _auto(work, mesh)
    return _named(work.placement, work, mesh)


def _named(name: str, work: Work, mesh: MeshSnapshot) -> Decision:
    found = mesh.called(name)
    if len(found) == 1 and found[0].device not in work.avoid:
        return _on(found[0], work, f"placed on {found[0].name} by its user")
    if work.may_fall_back:
        return _auto(work, mesh)
    match found:
        case [named]:
            return Wait(f"waiting for {named.name}")
        case []:
            return Wait(f"{name} is not paired with this device")
        case _:
            return Wait(f"{name!r} can be any of {listed(found)}: submit it again with the id")


def _on(device: DeviceSnapshot, work: Work, why: str) -> Decision:
    obstacle = unfit(device, work)
    if obstacle:
        return Wait(obstacle)
    options = usable(device, work)
    known = [found for each in options if (found := forecast(device, each, work)) is not None]
    if len(known) == len(options):
        return _start(min(known, key=_rank), why, waiting="")
    return _start_free(device, options, why)


def _on_gpu(work: Work, mesh: MeshSnapshot) -> Decision:
    """Choose among GPUs alone; without any that can be had, say so and choose among all devices."""
    having = [device for device in mesh.devices if any(is_gpu(each.accelerator) for each in device.options(work.kind))]
    options = [
        (device, each)
        for device in having
        if not _obstacle(work, device, on_gpu=True)
        for each in usable(device, work)
        if is_gpu(each.accelerator)
    ]
    others = _told((device, _obstacle(work, device, on_gpu=True)) for device in having)
    if not options:
        decision = _auto(work, mesh)
        why = f"no GPU for {work.kind} jobs can be had" + (f" ({'; '.join(others)})" if others else "")
        return replace(decision, why=f"{why}; {decision.why}")
    known = [found for device, each in options if (found := forecast(device, each, work)) is not None]
    if known:
        best = min(known, key=_rank)
        why = f"fastest GPU: {best.where.accelerator} on {best.device.name} ({seconds(best.finish_s)})"
        return _start(best, _with_others(why, best, known, others))
    # Nobody knows how long it takes: a free one first, then the fastest, then the one with most memory.
    device, best_gpu = max(
        options, key=lambda each: (each[1].free > 0, each[1].rate or 0.0, each[1].gpu_free_bytes or 0, each[0].device)
    )
    why = f"{best_gpu.accelerator} on {device.name}; how long it takes is not known"
    return _start_free(device, [best_gpu], why)


def _auto(work: Work, mesh: MeshSnapshot) -> Decision:
    found = [(device, _obstacle(work, device)) for device in mesh.devices]
    fit = [device for device, obstacle in found if not obstacle]
    if not fit:
        # Better where it was lost once than nowhere.
        obstacle = unfit(mesh.local, work)
        if obstacle:
            return Wait("; ".join([obstacle, *_told(each for each in found if not each[0].is_local)]))
        fit = [mesh.local]
    if len(fit) > 1 and mesh.local.reluctance:
        # On battery, say: its own jobs run elsewhere if they can.
        fit = [device for device in fit if not device.is_local]
        found = [
            (device, f"{device.name} is {device.reluctance}" if device.is_local else obstacle)
            for device, obstacle in found
        ]
    known = _best_of_each(work, fit)
    having = {each.device.device for each in known}
    unknown = [device for device in fit if device.device not in having]
    others = _told(found)
    if not known or any(device.is_local for device in unknown):
        # Without its own figure this device cannot say that another one wins.
        decision = _most_free(work, fit, others)
        if isinstance(decision, Run) or not known:
            return decision
    best = min(known, key=_rank)
    local = next((each for each in known if each.device.is_local), None)
    if local is not None and not _wins(best.finish_s, local.finish_s):
        best = local
    why = f"earliest finish on {best.device.name} ({seconds(best.finish_s)})"
    decision = _start(best, _with_others(why, best, known, others))
    if isinstance(decision, Wait) and unknown:
        # Rather than wait, learn how fast the new one is.
        trial = _most_free(work, unknown, others)
        return trial if isinstance(trial, Run) else decision
    return decision


def _best_of_each(work: Work, fit: Iterable[DeviceSnapshot]) -> list[Forecast]:
    """Return the forecast of every device of which there is one."""
    best: list[Forecast] = []
    for device in fit:
        known = [found for each in usable(device, work) if (found := forecast(device, each, work)) is not None]
        if known:
            best.append(min(known, key=_rank))
    return best


def _rank(each: Forecast) -> tuple[float, bool, DeviceId, str]:
    return each.finish_s, not each.device.is_local, each.device.device, each.where.accelerator


def takes_more(device: DeviceSnapshot, where: KindSnapshot) -> bool:
    """Return whether an attempt should be sent there now: a slot is free, or will be by the time that it arrives."""
    # Without a wait, it does not say when the next slot is free.
    return where.free > 0 or (not device.is_local and 0.0 < where.wait_s <= AHEAD_S)


def _wins(peer_s: float, local_s: float) -> bool:
    return local_s - peer_s > max(WIN_S, WIN_SHARE * local_s)


def _most_free(work: Work, fit: Sequence[DeviceSnapshot], others: Sequence[str]) -> Decision:
    """Take a free slot here first, then the peer that has most of them."""
    free = [
        (device, each, sum(option.free for option in usable(device, work)))
        for device in fit
        for each in usable(device, work)
        if each.free > 0
    ]
    if not free:
        return Wait("; ".join(["every device that could run it is busy", *others]))
    device, where, _ = max(
        free, key=lambda each: (each[0].is_local, each[2], each[0].device, is_gpu(each[1].accelerator))
    )
    why = f"{device.name} has a free slot, and how long it would take is not known everywhere"
    return Run(device.device, "; ".join([why, *others]), where)


def _start(best: Forecast, why: str, *, waiting: str = ": ") -> Decision:
    if takes_more(best.device, best.where):
        return Run(best.device.device, why, best.where)
    told = f"waiting for a free slot on {best.device.name}" + (f"{waiting}{why}" if waiting else "")
    return Wait(told, best.device.device, best.where)


def _start_free(device: DeviceSnapshot, options: Sequence[KindSnapshot], why: str) -> Decision:
    best = max(options, key=lambda each: (each.free > 0, is_gpu(each.accelerator), each.rate or 0.0))
    if best.free > 0:
        return Run(device.device, why, best)
    return Wait(f"waiting for a free slot on {device.name}", device.device, best)


def _obstacle(work: Work, device: DeviceSnapshot, *, on_gpu: bool = False) -> str:
    obstacle = unfit(device, work, on_gpu=on_gpu)
    if not obstacle and device.device in work.avoid:
        return f"{device.name} could not do it a moment ago"
    return obstacle


def _told(found: Iterable[tuple[DeviceSnapshot, str]]) -> list[str]:
    """Return why devices cannot take it, as many as a person reads; those that are away come last."""
    obstacles = sorted((not device.is_online, obstacle) for device, obstacle in found if obstacle)
    return [obstacle for _, obstacle in obstacles[:TOLD]]


def _with_others(why: str, best: Forecast, known: Iterable[Forecast], obstacles: Iterable[str]) -> str:
    losing = sorted((each for each in known if each is not best), key=_rank)
    others = [f"{each.device.name} {seconds(each.finish_s)}" for each in losing if each.device is not best.device]
    return "; ".join(filter(None, [why, ", ".join(others[:TOLD]), *obstacles]))
