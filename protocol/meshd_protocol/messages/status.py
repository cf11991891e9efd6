"""What a device can do and how busy it is: told on opening a session and when it changes; newest wins."""

from typing import Annotated

from msgspec import Meta

from meshd_protocol.limits import MAX_GPUS, MAX_KIND_LINES, MAX_NAME, MAX_PLATFORMS, MAX_REASON, MAX_SLOTS
from meshd_protocol.messages.base import Message, Name, Number, Rate, Seconds, Share, Text

Slots = Annotated[int, Meta(ge=0, le=MAX_SLOTS)]
Accelerator = Annotated[str, Meta(max_length=MAX_NAME)]
"""Empty: the ordinary slots of a device. `cpu`: all of its processors for one attempt. Any other: a model of GPU."""

Reason = Annotated[str, Meta(max_length=MAX_REASON)]


class KindStatus(Message, frozen=True):
    """One kind of job on one accelerator of this device: that it runs there, how busy that is, and how fast.

    A kind that can use several accelerators has a line for each; kinds that name the same one share its slots.
    """

    kind: Name
    free: Slots
    """Attempts that it takes now without keeping them waiting."""

    wait_s: Seconds
    """How long until an attempt that comes now can start, by its own estimates."""

    rate: Rate | None
    """Units of the kind per second; None: not known yet."""

    source: Text
    """`declared` in its configuration, `calibrated` at first start, or `measured` on real jobs."""

    accelerator: Accelerator = ""
    slots: Slots = 1
    """Attempts that run there at once."""

    start_s: Seconds = 0.0
    """What an attempt takes before it computes: a worker that has to start first."""

    warm: bool = False
    """Whether a worker waits there, which holds its memory already."""

    permitted: bool = True
    """Whether whoever this is told may have such jobs done here."""


class GpuStatus(Message, frozen=True):
    """One GPU of this device."""

    uuid: Name
    name: Name
    compute: Annotated[str, Meta(max_length=16)] = ""
    """Its compute capability."""

    memory_bytes: Number = 0
    free_bytes: Number | None = None
    """Memory that nobody uses; None: not known."""

    busy: Share | None = None
    usable: bool = False
    """Whether a worker here has found that JAX computes on it."""


class Status(Message, frozen=True, tag="status"):
    """Capability and load of a device, as it tells them itself."""

    name: Name
    version: Text
    platform: Text
    kinds: Annotated[list[KindStatus], Meta(max_length=MAX_KIND_LINES)]
    slots: Slots
    busy: Number
    queued: Number
    paused: bool = False
    """Its user lets nothing new start."""

    reluctance: Reason = ""
    """Why it takes no jobs of others now; empty: it does."""

    cores: Number = 0
    memory_bytes: Number = 0
    free_bytes: Number | None = None
    cpu: Share | None = None
    """The share of its processors that is busy."""

    battery: Share | None = None
    """Its charge; None: it has no battery, or does not tell."""

    plugged: bool = True
    """Whether it runs on mains."""

    gpus: Annotated[tuple[GpuStatus, ...], Meta(max_length=MAX_GPUS)] = ()
    platforms: Annotated[tuple[Name, ...], Meta(max_length=MAX_PLATFORMS)] = ()
    """On which JAX computes there, as its workers have seen it: `cpu`, `gpu`."""


class Ping(Message, frozen=True, tag="ping"):
    """Answer with a `Pong` of the same number; measures the round trip through the whole stack."""

    number: Number


class Pong(Message, frozen=True, tag="pong"):
    """The answer to `Ping`."""

    number: Number
