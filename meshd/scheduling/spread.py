"""Which idle device should take over units of a running job, from whom, and how many.

Guided self-scheduling by stealing: who is idle takes from the one that would be done last, in proportion to their
speeds, so that both would be done at once; who is done is idle again. Nobody waits for the slowest.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from meshd.scheduling.eligibility import unfit, usable
from meshd.scheduling.forecast import seconds, travel_s
from meshd.scheduling.snapshot import DeviceSnapshot, MeshSnapshot
from meshd.scheduling.work import Work
from meshd_protocol.ids import AttemptNumber, DeviceId

MIN_GAIN_S = 0.5
"""Of what is taken over: under half a second of work, asking costs more than it brings."""

LEAST_SHARE = 0.05
"""Neither side is left with less: rates are estimates."""


@dataclass(frozen=True, slots=True)
class Participant:
    """An attempt that computes a job, or a part of one."""

    attempt: AttemptNumber
    device: DeviceId
    left_s: float | None
    """How long it would still take alone; None: not known yet."""


@dataclass(frozen=True, slots=True)
class Steal:
    """Let `thief` take over what `victim` has not begun, but for the share that it keeps."""

    victim: AttemptNumber
    thief: DeviceId
    keep: float
    why: str


def steal(work: Work, mesh: MeshSnapshot, participants: Sequence[Participant]) -> Steal | None:
    """Return who should take over from whom; None when nobody should."""
    thief, victim = _thief(work, mesh, participants), _last(participants)
    start_s = 0.0 if thief is None else _start_s(thief, work)
    chosen = None if thief is None or victim is None else _share(work, mesh, victim, thief, start_s)
    if thief is None or victim is None or chosen is None:
        return None
    keep, gain_s = chosen
    name = next((device.name for device in mesh.devices if device.device == victim.device), "the other device")
    return Steal(victim.attempt, thief.device, keep, f"takes over {seconds(gain_s)} of work from {name}")


def expected_s(work: Work, mesh: MeshSnapshot, device: DeviceId) -> float | None:
    """Return how long a device takes for all of it; None: nobody knows."""
    found = next((each for each in mesh.devices if each.device == device), None)
    rate = None if found is None else _rate(found, work)
    return None if work.cost is None or rate is None else work.cost / rate


def idle(work: Work, mesh: MeshSnapshot, participants: Sequence[Participant]) -> DeviceId | None:
    """Return who should have what was given back by now, however little it is; None: nobody is idle."""
    found = _thief(work, mesh, participants)
    return None if found is None else found.device


def _thief(work: Work, mesh: MeshSnapshot, participants: Sequence[Participant]) -> DeviceSnapshot | None:
    busy = {each.device for each in participants}
    could = [device for device in mesh.devices if device.device not in busy and _could(device, work)]
    return max(could, key=lambda device: (_rate(device, work) or 0.0, device.is_local, device.device), default=None)


def steal_back(work: Work, mesh: MeshSnapshot, parts: Sequence[Participant], thief: DeviceId) -> Steal | None:
    """Return from which part the device that runs the rest, and has done all of its own, should take over."""
    victim, device = _last(parts), next((each for each in mesh.devices if each.device == thief), None)
    chosen = None if victim is None or device is None else _share(work, mesh, victim, device, 0.0)
    return None if victim is None or chosen is None else Steal(victim.attempt, thief, chosen[0], "has done its own")


def _last(participants: Sequence[Participant]) -> Participant | None:
    known = [(each.left_s, each.attempt, each) for each in participants if each.left_s is not None]
    return max(known, key=lambda each: each[:2])[2] if known else None


def _share(
    work: Work, mesh: MeshSnapshot, victim: Participant, thief: DeviceSnapshot, start_s: float
) -> tuple[float, float] | None:
    """Return the share that the victim keeps, and how long it would have taken for the rest."""
    robbed = next((device for device in mesh.devices if device.device == victim.device), None)
    rates = (None if robbed is None else _rate(robbed, work)), _rate(thief, work)
    left_s = victim.left_s or 0.0
    if not left_s > 0.0:
        return None
    given = 0.5 if rates[0] is None or rates[1] is None else rates[1] / (rates[0] + rates[1])
    # A worker that has to start first is to be done at the same time all the same.
    given *= 1 - min(start_s / left_s, 1.0)
    keep = min(max(1 - given, LEAST_SHARE), 1 - LEAST_SHARE)
    gain_s = left_s * (1 - keep)
    return (keep, gain_s) if gain_s >= MIN_GAIN_S + travel_s(thief, work) else None


def _start_s(device: DeviceSnapshot, work: Work) -> float:
    return min((each.start_s for each in usable(device, work)), default=0.0)


def _could(device: DeviceSnapshot, work: Work) -> bool:
    return (
        not unfit(device, work)
        and device.device not in work.avoid
        and any(each.free > 0 for each in usable(device, work))
    )


def _rate(device: DeviceSnapshot, work: Work) -> float | None:
    rates: Collection[float] = [each.rate for each in usable(device, work) if each.rate is not None]
    return max(rates, default=None)
