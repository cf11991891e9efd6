"""Unauthenticated claims that a device is somewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshd.trust.names import safe_name
from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import DeviceId, parse_device_id

MAX_SIGHTINGS = 256
"""Announcements remembered at once: more devices than a household has, however many names somebody makes up."""

MAX_ADDRESSES = 8
"""Addresses dialled of one device: a few networks and both families."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What somebody on the network says about a device. A hint for dialling and for the eye, never proof."""

    device: DeviceId
    name: str
    """Safe to show."""

    addresses: tuple[str, ...]
    """host:port, best first."""

    version: int
    pairing: bool
    """Whether it says that it shows a code."""

    seen_at: float
    """Wall clock."""


def parse_sighting(properties: Mapping[str, str | None], addresses: Sequence[str], now: float) -> Sighting | None:
    """Return what an announcement's TXT record and addresses say, or None if it is not one of a device."""
    try:
        device = parse_device_id(properties.get("id") or "")
        version = int(properties.get("v") or "")
    except (BadMessage, ValueError):
        return None
    if not 0 < version < 1 << 31 or not addresses:
        return None
    return Sighting(
        device=device,
        name=safe_name(properties.get("n") or "", device),
        addresses=tuple(addresses[:MAX_ADDRESSES]),
        version=version,
        pairing=properties.get("p") == "1",
        seen_at=now,
    )


class SightingTable:
    """The latest announcement under each mDNS name; several names may claim the same device."""

    def __init__(self) -> None:
        self._by_name: dict[str, Sighting] = {}

    def put(self, name: str, sighting: Sighting) -> bool:
        """Take in an announcement; return whether it says anything new. The oldest makes room."""
        old = self._by_name.pop(name, None)
        while len(self._by_name) >= MAX_SIGHTINGS:
            del self._by_name[next(iter(self._by_name))]
        self._by_name[name] = sighting
        return old is None or _said(old) != _said(sighting)

    def remove(self, name: str) -> DeviceId | None:
        """Drop what was announced under this name, and return the device that it was about."""
        gone = self._by_name.pop(name, None)
        return None if gone is None else gone.device

    def clear(self) -> None:
        """Forget everything: the network is another one."""
        self._by_name.clear()

    def all(self) -> list[Sighting]:
        """Return one sighting a device, in order of names.

        Claims about one device are joined, the newest first: a forged one may add addresses, where the forger
        fails to prove itself, but cannot take away the right ones.
        """
        joined: dict[DeviceId, Sighting] = {}
        for sighting in sorted(self._by_name.values(), key=lambda one: -one.seen_at):
            newer = joined.get(sighting.device)
            if newer is None:
                joined[sighting.device] = sighting
            else:
                joined[sighting.device] = Sighting(
                    device=newer.device,
                    name=newer.name,
                    addresses=tuple(dict.fromkeys([*newer.addresses, *sighting.addresses])),
                    version=newer.version,
                    pairing=newer.pairing or sighting.pairing,
                    seen_at=newer.seen_at,
                )
        return sorted(joined.values(), key=lambda one: (one.name.casefold(), one.device))


def _said(sighting: Sighting) -> tuple[object, ...]:
    return sighting.device, sighting.name, sighting.addresses, sighting.version, sighting.pairing
