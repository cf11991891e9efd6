"""Names that devices give themselves: made safe to show, and what a person means by one."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from meshd.errors import Conflict
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import MAX_NAME

MIN_PREFIX = 4
"""Characters of a device id that are enough to mean it: 20 bits among a handful of devices."""

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Control, format (the bidirectional overrides among them), surrogate, private and unassigned characters."""


def safe_name(text: str, fallback: str) -> str:
    """Return `text` without characters that hide, reorder or break a line, or `fallback`."""
    visible = "".join(char for char in text if unicodedata.category(char) not in _HIDDEN)
    return " ".join(visible.split())[:MAX_NAME].strip() or fallback


class Named(Protocol):
    """A device, as people speak of it."""

    @property
    def device(self) -> DeviceId:
        """Return its id."""
        ...

    @property
    def name(self) -> str:
        """Return what it is called; others may be called the same."""
        ...


N = TypeVar("N", bound=Named)


def meant(text: str, devices: Iterable[N]) -> Sequence[N]:
    """Return the devices that a person can mean by an id, a name, or the start of an id: in this order."""
    devices = list(devices)
    wanted = text.casefold()
    return (
        [each for each in devices if each.device == text]
        or [each for each in devices if each.name.casefold() == wanted]
        or [each for each in devices if len(text) >= MIN_PREFIX and each.device.startswith(wanted)]
    )


def only(text: str, found: Sequence[N]) -> N | None:
    """Return the one device that was found, None where there is none.

    Raises:
        Conflict: there are several.
    """
    if len(found) > 1:
        raise Conflict(f"{text!r} can be any of {listed(found)}", hint="use the id")
    return found[0] if found else None


def listed(devices: Iterable[Named]) -> str:
    """Return devices for a sentence, each with its id: their names may be the same."""
    return ", ".join(f"{each.name} ({each.device})" for each in devices)
