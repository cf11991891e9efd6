"""The local API's requests and answers, as JSON over loopback.

They pass between the daemon and whoever serves its user on the same machine: dashboard, tray, command line, scripts.
Instants are ISO 8601 in UTC, durations seconds, shares 0..1.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, field

JobState = Literal["queued", "running", "retrying", "completed", "failed", "cancelled"]
AttemptState = Literal[
    "offered", "accepted", "running", "succeeded", "failed", "cancelled", "declined", "lost", "superseded"
]
END_STATES: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
"""A job in one of these never changes again."""

EndState = Literal["completed", "failed", "cancelled"]

JobSort = Literal["date", "name", "duration", "priority"]
"""Jobs of the same name, duration or priority come by date."""

NO_DOCUMENT = Raw(b"null")
"""What stands where a job has no such document, or was asked for without documents."""

JobName = Annotated[str, Meta(min_length=1, max_length=64)]


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: fields may be added, never removed or given another meaning."""


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request: a field that nobody knows is an error, because it is most often a typing mistake."""


class Health(_View, frozen=True):
    """The daemon answers: `ok`, or `stopping`."""

    status: str


class ErrorBody(_View, frozen=True):
    """Why a request failed, for programs (`code`) and for people (`message`, and what to try: `hint`)."""

    code: str
    message: str
    hint: str = ""


class ErrorAnswer(_View, frozen=True):
    """The body of every answer that is not a success."""

    error: ErrorBody


MAX_JOBS = 1000
"""In one request: they are stored in one transaction, for which everybody else waits."""


class JobRequest(_Request, frozen=True):
    """`POST /api/v1/jobs`."""

    kind: str
    spec: dict[str, object]
    name: JobName | None = None
    placement: Annotated[str, Meta(min_length=1, max_length=64)] = "auto"
    """`auto`, `local`, `gpu`, or the name or id of a device."""

    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    timeout_s: Annotated[float, Meta(ge=0, le=30 * 86400)] = 0.0
    """0: none."""

    retries: Annotated[int, Meta(ge=0, le=100)] = 0
    offload_timeout_s: Annotated[float, Meta(ge=10, le=120)] | None = None
    """A peer that shows no progress for this long is too slow; None: as configured."""

    spread: bool | None = None
    """Whether several devices may share it; None: if it can be divided and is placed by `auto`."""

    profile: JobName | None = None
    """Settings of this name in the configuration stand in for those that are not given here."""


class JobAccepted(_View, frozen=True):
    """The job is on disk."""

    id: str
    state: JobState


class JobBatch(_Request, frozen=True):
    """`POST /api/v1/jobs/batch`: all of them, or none."""

    jobs: Annotated[list[JobRequest], Meta(min_length=1, max_length=MAX_JOBS)]


class JobsAccepted(_View, frozen=True):
    """All of these jobs are on disk; in the order in which they were asked for."""

    jobs: list[JobAccepted]


class JobError(_View, frozen=True):
    """Why a job failed."""

    kind: str
    message: str
    detail: str = ""
    exit_code: int | None = None
    """Of a command that has ended with another status than 0; 128 and the number of the signal that ended it."""


class AttemptView(_View, frozen=True):
    """One numbered try."""

    number: int
    device: str
    """The device's name, or its id when it is no longer known."""

    state: AttemptState
    reason: str
    started_at: str | None
    ended_at: str | None
    progress: float
    checkpoint_units: int | None = None
    units: int | None = None
    """How many units it computes, if that is a part of the job only."""


class TransitionView(_View, frozen=True):
    """One change of state and its cause."""

    at: str
    state: str
    attempt: int | None
    cause: str


class JobView(_View, frozen=True):
    """A job as lists and details show it; the documents are `NO_DOCUMENT` in lists, the story is None."""

    id: str
    kind: str
    name: str
    state: JobState
    reason: str
    """Why it is in this state, in one line: where it was placed and why, what went wrong, who cancelled it."""

    placement: str
    priority: int
    progress: float
    best: str
    eta_s: float | None
    device: str | None
    """The name of the device of the newest attempt."""

    created_at: str
    started_at: str | None
    ended_at: str | None
    duration_s: float | None
    error: JobError | None
    attempts: list[AttemptView]
    profile: str | None = None
    """The named settings with which it was submitted."""

    rerun_of: str | None = None
    """The id of the job that this one repeats; that one may be deleted by now."""

    story: list[TransitionView] | None = None
    spec: Raw = field(default_factory=lambda: NO_DOCUMENT)
    resolved: Raw = field(default_factory=lambda: NO_DOCUMENT)
    result: Raw = field(default_factory=lambda: NO_DOCUMENT)
    manifest: Raw = field(default_factory=lambda: NO_DOCUMENT)
    """What has computed it, where and when, from which files and with which seed; None until it has ended."""


class BlobView(_View, frozen=True):
    """A file that the daemon has taken, for a job to name as its input."""

    digest: str
    size: int


class ArtifactView(_View, frozen=True):
    """A file that a job has made."""

    name: str
    """Its path in the job's working folder."""

    size: int
    digest: str
    attempt: int
    here: bool
    """Whether it is on this device; otherwise it comes when its device is online."""

    device: str
    """Where it was made."""


class LogLine(_View, frozen=True):
    """A line of a log: its number from 1 among those that are still there, where it begins, and its first 4 KiB."""

    line: int
    offset: int
    text: str


class LogMatches(_View, frozen=True):
    """`GET /api/v1/jobs/{job}/logs/search`; of no attempt, 0, before one has begun."""

    attempt: int
    matches: list[LogLine]
    cursor: str
    """Ask again with it, as `after`, for what follows; also without a match, for an answer looks at 8 MiB at most."""

    done: bool


class JobPage(_View, frozen=True):
    """`GET /api/v1/jobs`: the newest first, unless asked otherwise."""

    jobs: list[JobView]
    cursor: str | None
    """Ask again with it, and with the same filters, for the jobs that follow; None: there are none."""


class JobClear(_Request, frozen=True):
    """`POST /api/v1/jobs/clear`: delete all jobs that ended in one of these states."""

    states: tuple[EndState, ...] = ("completed",)


class JobsDeleted(_View, frozen=True):
    """What a deletion has done."""

    deleted: int


class JobCounts(_View, frozen=True):
    """How many jobs are in each state."""

    queued: int = 0
    running: int = 0
    retrying: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class JobStats(_View, frozen=True):
    """`GET /api/v1/jobs/stats`."""

    states: JobCounts
    kinds: dict[str, int]
    """How many jobs there are of each kind."""

    devices: dict[str, int]
    """How many jobs had their newest attempt on each device, by its name."""

    today: int
    """Submitted since midnight, as this machine's clock has it."""

    last_7_days: int
    mean_duration_s: dict[str, float]
    """From start to end, of the completed jobs of each kind."""


class RateView(_View, frozen=True):
    """How fast a device does a kind of job, in the kind's units per second."""

    kind: str
    rate: float
    source: str
    """`declared` by the device's owner, `calibrated` at its first start, or `measured` on real jobs."""

    accelerator: str = ""
    """On what: one ordinary slot (empty), all processors (`cpu`), or the model of a GPU."""


class GpuView(_View, frozen=True):
    """A GPU of a device."""

    uuid: str
    name: str
    compute: str
    """Its compute capability; empty: not told."""

    memory_bytes: int
    free_bytes: int | None
    """Memory that nobody uses, programs other than meshd's included."""

    busy: float | None
    usable: bool
    """Whether a worker has found that JAX computes on it."""


class MachineView(_View, frozen=True):
    """What a device has, and how busy it is."""

    cores: int
    memory_bytes: int
    free_bytes: int | None
    cpu: float | None
    """The share of its processors that is busy."""

    battery: float | None
    """Its charge; None: it has no battery, or does not tell."""

    plugged: bool
    """Whether it runs on mains."""

    gpus: list[GpuView]
    platforms: list[str]
    """On which JAX computes there."""


class PeerView(_View, frozen=True):
    """A paired device."""

    id: str
    name: str
    state: Literal["online", "busy", "idle", "offline"]
    """`busy`: no slot is free; `idle`: nothing runs there."""

    address: str | None
    latency_ms: float | None
    version: str | None
    platform: str | None
    slots: int | None
    busy: int | None
    queued: int | None
    rates: list[RateView]
    permissions: list[str]
    paired_at: str
    seen_at: str | None
    paused: bool = False
    """Whether its user lets nothing new start there."""

    reluctance: str = ""
    """Why it takes no jobs of others now, in its own words; empty: it does."""

    machine: MachineView | None = None
    """As it last told; None: it has not yet."""


class PeerTest(_View, frozen=True):
    """`POST /api/v1/peers/{device}/test`: what a connection to a peer is worth right now."""

    peer: PeerView
    ok: bool
    reachable: bool
    """Whether it answered a ping through the encrypted session."""

    round_trip_ms: float | None
    """The shortest of a few, there and back through the whole stack of both devices."""

    gpu: str | None
    """The models of the GPUs that it can use, with commas; None: it has none, or has not said."""

    job_s: float | None
    """From submission to result of a job that does nothing; None: none came through."""

    problem: Literal["offline", "silent", "refused", "failed"] | None = None
    """There is no session / no answer in time / it does not take the job / the job went wrong."""

    message: str = ""
    """The problem in one sentence."""

    hint: str = ""


class SightingView(_View, frozen=True):
    """A device that announces itself on this network; nothing about it is proven."""

    id: str
    name: str
    addresses: list[str]
    pairing: bool
    """Whether it says that it shows a code."""

    paired: bool


class PairingView(_View, frozen=True):
    """An open code."""

    code: str
    expires_at: str
    tries_left: int


class PairingState(_View, frozen=True):
    """`GET /api/v1/pairings/current`: the open code, or how the last one ended."""

    open: PairingView | None
    ended: Literal["paired", "expired", "burned", "closed"] | None = None
    paired_with: PeerView | None = None


class PairingRequest(_Request, frozen=True):
    """`POST /api/v1/pairings`."""

    ttl_s: Annotated[float, Meta(ge=5, le=3600)] | None = None


class PairingAccept(_Request, frozen=True):
    """`POST /api/v1/pairings/accept`: enter the code that another device shows."""

    code: str
    device: str | None = None
    """Name or id of a sighting; with neither this nor an address the one device that shows a code."""

    address: str | None = None
    """host or host:port."""


class StatusView(_View, frozen=True):
    """`GET /api/v1/status`."""

    device: str
    name: str
    version: str
    protocol: int
    pid: int
    home: str
    peer_port: int
    api_port: int
    uptime_s: float
    counts: JobCounts
    badge: int
    """Queued, running and retrying jobs: what a tray icon shows."""

    peers: int
    peers_online: int
    slots: int
    busy: int
    rates: list[RateView]
    discovery: str
    """`on`, or why other devices cannot be found by themselves."""

    degraded: str | None = None
    paused_at: str | None = None
    """Since when its user lets nothing new start here; None: it is not paused."""

    reluctance: str = ""
    """Why it takes no jobs of others now; empty: it does."""

    machine: MachineView | None = None
