"""What one look at the machine has shown."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of this machine."""

    uuid: str
    """As the driver and CUDA_VISIBLE_DEVICES have it: the same after a restart, in whatever order GPUs are listed."""

    name: str
    """The model."""

    compute: str = ""
    """Its compute capability, such as 9.0; empty: not told."""

    memory_bytes: int = 0
    free_bytes: int | None = None
    """Memory that nobody uses, the programs of others included; None: the driver does not tell."""

    busy: float | None = None
    """The share of the last moments in which it computed."""


@dataclass(frozen=True, slots=True)
class Battery:
    """The charge of a machine that has a battery."""

    share: float
    plugged: bool
    """Whether it runs on mains."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment. As it begins, nothing is known of it."""

    cores: int = 0
    memory_bytes: int = 0
    free_bytes: int | None = None
    cpu: float | None = None
    """The share of all cores that was busy since the last look."""

    gpus: tuple[Gpu, ...] = ()
    battery: Battery | None = None
    """None: it has none, or does not tell."""

    @property
    def on_battery(self) -> bool:
        """Whether the machine lives on its battery now."""
        return self.battery is not None and not self.battery.plugged

    def gpu(self, uuid: str) -> Gpu | None:
        """Return the GPU of this id."""
        return next((gpu for gpu in self.gpus if gpu.uuid == uuid), None)


class Probe(Protocol):
    """Looks at a machine. May block, so nobody calls it in the event loop; raises nothing."""

    def look(self) -> Reading:
        """Return how the machine is now."""
        ...


NEWS_SHARE = 0.05
"""Of a memory, or of a charge: smaller changes decide nothing, and each piece of news is a message to every peer."""

NEWS_BUSY = 0.10
"""Of what computes, likewise: an idle desktop moves by a few percent all the time."""


def is_news(before: Reading, now: Reading) -> bool:
    """Return whether `now` tells something that matters to whoever places jobs, or looks at a screen."""
    if (before.cores, before.memory_bytes, before.on_battery) != (now.cores, now.memory_bytes, now.on_battery):
        return True
    if [gpu.uuid for gpu in before.gpus] != [gpu.uuid for gpu in now.gpus]:
        return True
    memories = [(before.free_bytes, now.free_bytes, now.memory_bytes)]
    memories += [
        (old.free_bytes, gpu.free_bytes, gpu.memory_bytes) for old, gpu in zip(before.gpus, now.gpus, strict=True)
    ]
    shares = [(before.cpu, now.cpu, NEWS_BUSY), (_charge(before), _charge(now), NEWS_SHARE)]
    shares += [(old.busy, gpu.busy, NEWS_BUSY) for old, gpu in zip(before.gpus, now.gpus, strict=True)]
    return any(_differ(old, new, NEWS_SHARE * total) for old, new, total in memories) or any(
        _differ(old, new, least) for old, new, least in shares
    )


def _charge(reading: Reading) -> float | None:
    return None if reading.battery is None else reading.battery.share


def _differ(old: float | None, new: float | None, least: float) -> bool:
    if old is None or new is None:
        return old is not new
    return abs(new - old) >= max(least, 1e-9)
