"""What a device can do and how busy it is: told on opening a session and when it changes; newest wins."""

from meshd_protocol.messages.base import Message, Name, Number, Rate, Seconds, Text


class KindStatus(Message, frozen=True):
    """One kind of job on this device: that it runs, how busy it is with it, and how fast it is."""

    kind: Name
    free: Number
    """Attempts that it takes now without keeping them waiting."""

    wait_s: Seconds
    """How long until an attempt that comes now can start, by its own estimates."""

    rate: Rate | None
    """Units of the kind per second; None: not known yet."""

    source: Text
    """`declared` in its configuration, `calibrated` at first start, or `measured` on real jobs."""


class Status(Message, frozen=True, tag="status"):
    """Capability and load of a device, as it tells them itself."""

    name: Name
    version: Text
    platform: Text
    kinds: list[KindStatus]
    slots: Number
    busy: Number
    queued: Number
    paused: bool = False


class Ping(Message, frozen=True, tag="ping"):
    """Answer with a `Pong` of the same number; measures the round trip through the whole stack."""

    number: Number


class Pong(Message, frozen=True, tag="pong"):
    """The answer to `Ping`."""

    number: Number
