"""Things that happen between devices and that a person should hear about without having asked."""

from dataclasses import dataclass

from meshd_protocol.ids import DeviceId


@dataclass(frozen=True, slots=True)
class Notice:
    """One such thing. `code` is stable and for programs; `message` is one sentence for a person."""

    code: str
    message: str
    device: DeviceId | None = None
