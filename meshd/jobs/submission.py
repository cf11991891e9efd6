"""What a user submits, made into a job."""

import logging
import shlex
from collections.abc import Callable, Mapping
from typing import ParamSpec, Protocol, TypeVar

from msgspec import Struct

from meshd.errors import BadInput, MeshdError, NotFound, PeerRefused
from meshd.execution.wording import words_of
from meshd.jobs.model import Job
from meshd.jobs.views import Names
from meshd.kinds.base import Kind
from meshd.kinds.traits import inputs_of, may_run_again, shows_progress
from meshd.kinds.workshop import InputFile
from meshd.scheduling.work import AUTO
from meshd_protocol import codec
from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.localapi import JobRequest

P = ParamSpec("P")
T = TypeVar("T")

SMALL_FIELDS = 16
SMALL_TEXT = 512
"""Characters: a salary file has a hundred thousand, and is read as a table."""

log = logging.getLogger(__name__)


class Prepared(Struct, frozen=True):
    """A job that is not on disk yet."""

    job: Job
    documents: tuple[bytes, bytes]
    """Its spec and its resolved spec."""

    inputs: tuple[InputFile, ...]


def prepare(
    request: JobRequest, kind: Kind, *, job: JobId, now: float, offload_timeout_s: float, rerun_of: JobId | None
) -> Prepared:
    """Return the job with what comes with it. For a thread: a spec may be large.

    Raises:
        BadInput: the kind refuses the spec, or it is too large.
    """
    try:
        resolved = kind.validate(request.spec)
    except MeshdError:
        raise
    except Exception as error:
        # The code of another package.
        log.exception("the kind %s breaks over a spec", request.kind)
        raise BadInput(f"the kind {request.kind} breaks over this spec: {words_of(error)}") from error
    try:
        documents = codec.encode_document(request.spec), codec.encode_document(resolved)
    except BadMessage as error:
        raise BadInput(f"the spec is too large: {error}") from error
    prepared = Job(
        id=job,
        kind=request.kind,
        name=request.name or kind.default_name(resolved)[:64],
        state="queued",
        placement=request.placement,
        priority=request.priority,
        timeout_s=request.timeout_s,
        retries=request.retries,
        offload_timeout_s=(request.offload_timeout_s or offload_timeout_s) if shows_progress(kind) else 0.0,
        cost=kind.cost(resolved),
        created_at=now,
        spread=kind.divisible and (request.placement == AUTO if request.spread is None else request.spread),
        retry_safe=may_run_again(kind, resolved),
        profile=request.profile,
        rerun_of=rerun_of,
    )
    return Prepared(prepared, documents, inputs_of(kind, resolved))


class Devices(Protocol):
    """Where jobs can run, as this module needs it."""

    def find(self, name: str) -> DeviceId | None:
        """Return the device that a person means, None when there is none; raise `Conflict` when it can be several."""
        ...

    def forbids(self, peer: DeviceId, kind: str) -> bool:
        """Return whether a peer that is online runs jobs of this kind, and not those of this device."""
        ...

    def names(self) -> list[str]:
        """Return what the devices are called, in order."""
        ...


def check_placement(request: JobRequest, devices: Devices, names: Names, own: DeviceId) -> None:
    """Return when a device may have the job that its user placed there.

    Raises:
        NotFound: there is no such device.
        Conflict: it can be any of several.
        PeerRefused: it does not allow such jobs.
    """
    placed = devices.find(request.placement)
    if placed is None:
        known = ", ".join(devices.names())
        raise NotFound(f"no device is called {request.placement!r}", hint=f"auto, local, gpu, or one of: {known}")
    if devices.forbids(placed, request.kind):
        name = names(placed)
        raise PeerRefused(
            f"{name} does not let this device run {request.kind} jobs",
            hint=f"on {name}: meshd allow {shlex.quote(names(own))} {request.kind}",
        )


def is_small(spec: Mapping[str, object]) -> bool:
    """Return whether a spec is so small that any kind has checked it within a millisecond."""
    return len(spec) <= SMALL_FIELDS and all(
        isinstance(value, int | float | None) or (isinstance(value, str) and len(value) <= SMALL_TEXT)
        for value in spec.values()
    )


async def at_once(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what needs no thread as if it were called in one."""
    return call(*args, **kwargs)
