"""An immutable view of the devices that could run an attempt, as far as this device knows them now."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from meshd.trust.names import meant
from meshd_protocol.ids import DeviceId

SLOTS = ""
"""In place of an accelerator: the ordinary slots of a device, one attempt each."""

CPU = "cpu"
"""All processors together, for attempts that take every core. Any other accelerator is a GPU, by its model's name."""


def is_gpu(accelerator: str) -> bool:
    """Return whether an accelerator is a GPU."""
    return accelerator != SLOTS and accelerator != CPU


class KindSnapshot(Struct, frozen=True):
    """One kind of job on one accelerator of a device. Kinds that use the same accelerator there share its slots."""

    free: int
    """Attempts that it takes now without keeping them waiting, less those on their way."""

    wait_s: float
    """Until an attempt that comes now can start."""

    rate: float | None
    """Units per second, as far as that can be believed; None: not known."""

    accelerator: str = SLOTS
    slots: int = 1
    """Attempts that it runs at once."""

    start_s: float = 0.0
    """What an attempt takes before it computes: a worker that has to start first."""

    is_warm: bool = False
    """Whether a worker waits, which holds its memory already."""

    gpu_free_bytes: int | None = None
    """Memory that nobody uses on the GPU, where it is one and tells."""

    permitted: bool = True
    """Whether this device may have such jobs done there."""

    also: "tuple[KindSnapshot, ...]" = ()
    """The same kind on the device's other accelerators, none faster than this one."""

    @property
    def options(self) -> "tuple[KindSnapshot, ...]":
        """Return the kind on each accelerator of the device, the fastest first."""
        return (self, *self.also)


class DeviceSnapshot(Struct, frozen=True):
    """One device."""

    device: DeviceId
    name: str
    is_local: bool
    is_online: bool
    kinds: Mapping[str, KindSnapshot]
    """What it says that it can run, and on which of its accelerators."""

    rtt_s: float = 0.0
    paused: bool = False
    """Its user lets nothing new start there."""

    reluctance: str = ""
    """Why it takes no jobs of others now, in its own words; empty: it does."""

    free_bytes: int | None = None
    """Memory that nobody uses; None: it does not tell."""

    bytes_per_s: float | None = None
    """How fast bytes travel there; None: not measured yet."""

    def options(self, kind: str) -> tuple[KindSnapshot, ...]:
        """Return the accelerators on which it runs a kind of job; none when it does not."""
        found = self.kinds.get(kind)
        return () if found is None else found.options


class MeshSnapshot(Struct, frozen=True):
    """All devices; the local one is among them."""

    devices: tuple[DeviceSnapshot, ...]

    @property
    def local(self) -> DeviceSnapshot:
        """This device."""
        return next(device for device in self.devices if device.is_local)

    def called(self, text: str) -> Sequence[DeviceSnapshot]:
        """Return the devices that a person can mean by this name or id."""
        return meant(text, self.devices)
