"""An immutable view of the devices that could run an attempt, as far as this device knows them now."""

from collections.abc import Mapping
from dataclasses import dataclass

from meshd_protocol.ids import DeviceId


@dataclass(frozen=True, slots=True)
class KindSnapshot:
    """One kind of job on one device."""

    free: int
    """Attempts that it takes now without keeping them waiting, less those on their way."""

    wait_s: float
    """Until an attempt that comes now can start."""

    rate: float | None
    """Units per second, as declared, calibrated or measured there; None: not known."""


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One device."""

    device: DeviceId
    name: str
    is_local: bool
    is_online: bool
    kinds: Mapping[str, KindSnapshot]
    """What it says that it can run."""

    rtt_s: float = 0.0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class MeshSnapshot:
    """All devices; the local one is among them."""

    devices: tuple[DeviceSnapshot, ...]

    @property
    def local(self) -> DeviceSnapshot:
        """This device."""
        return next(device for device in self.devices if device.is_local)

    def find(self, name: str) -> DeviceSnapshot | None:
        """Return the device of this name or id."""
        wanted = name.lower()
        return next((device for device in self.devices if device.device == name or device.name.lower() == wanted), None)
