"""When a device would have finished: wait for a slot + way there and back + cold start + cost / rate."""

from dataclasses import dataclass

from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot
from meshd.scheduling.work import Work

ROUND_TRIPS = 3
"""Offer, lease, result: so often an attempt on a peer waits for the way there and back."""

BYTES_PER_S = 12.5e6
"""How fast bytes travel where nobody has measured it: 100 Mbit/s, a Wi-Fi that is neither good nor bad."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """In how many seconds a device is expected to have finished, on the best of its accelerators."""

    device: DeviceSnapshot
    where: KindSnapshot
    finish_s: float


def forecast(device: DeviceSnapshot, where: KindSnapshot, work: Work) -> Forecast | None:
    """Return the forecast for `work` on one accelerator; None when its cost or the rate there is not known."""
    if work.cost is None or where.rate is None:
        return None
    compute_s = where.start_s + work.cost / where.rate
    return Forecast(device, where, where.wait_s + travel_s(device, work) + compute_s)


def travel_s(device: DeviceSnapshot, work: Work) -> float:
    """Return how long what an attempt needs and gives is on its way."""
    if device.is_local:
        return 0.0
    return ROUND_TRIPS * device.rtt_s + work.input_bytes / (device.bytes_per_s or BYTES_PER_S)


def seconds(value: float) -> str:
    """Return a time span as reasons show it."""
    return f"{value:.1f} s" if value < 100 else f"{value / 60:.0f} min"
