"""The lease of one attempt: the origin's time-limited permission to run it, as both sides see it.

The executor's deadline counts from the moment it asked, the origin's from the moment it answered plus a
margin, both on clocks that count sleep: the executor always gives up first. All times are boot-time seconds
of the device that holds the state; they never travel.
"""

from dataclasses import dataclass
from typing import TypeAlias

from meshd_protocol.limits import LEASE_MARGIN, LEASE_S, SESSION_GRACE_S

# The executor's view


@dataclass(frozen=True, slots=True)
class Waiting:
    """Offered, but not renewed in the session that is open: the offer may be arbitrarily old, so it must not start."""


@dataclass(frozen=True, slots=True)
class Held:
    """The attempt may start and run."""

    until: float


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The origin has been silent for too long; it may have given the job to somebody else."""


@dataclass(frozen=True, slots=True)
class Over:
    """The origin wants no more of it."""


ExecutorLease: TypeAlias = Waiting | Held | Lapsed | Over


@dataclass(frozen=True, slots=True)
class Renewed:
    """The origin answered a `Holding` that was sent at `asked_at`."""

    asked_at: float


@dataclass(frozen=True, slots=True)
class Superseded:
    """The origin answered that this attempt is over."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session with the origin ended."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


ExecutorEvent: TypeAlias = Renewed | Superseded | Disconnected | Tick


@dataclass(frozen=True, slots=True)
class Permit:
    """The attempt may start, if it has not."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Stop the attempt unless its kind goes on without an origin."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop the attempt and forget it."""


ExecutorEffect: TypeAlias = Permit | GiveUp | Kill


def executor_step(state: ExecutorLease, event: ExecutorEvent, now: float) -> tuple[ExecutorLease, list[ExecutorEffect]]:
    """Return the executor's lease after `event`, and what its driver must do."""
    match state, event:
        case Over(), _:
            return state, []
        case _, Superseded():
            return Over(), [Kill()]
        case ((Waiting() | Held()), Renewed(asked_at)):
            until = asked_at + LEASE_S
            # An answer that took longer than a lease to come proves nothing about now.
            return (Held(until), [Permit()]) if now < until else (state, [])
        case Lapsed(), Renewed(asked_at):
            # The origin knows the attempt and still wants it: it has not been given away.
            until = asked_at + LEASE_S
            return (Held(until), [Permit()]) if now < until else (state, [])
        case Held(until), Tick():
            return (Lapsed(), [GiveUp()]) if now >= until else (state, [])
        case ((Waiting() | Lapsed()), (Tick() | Disconnected())):
            return state, []
        case Held(), Disconnected():
            return state, []


# The origin's view


@dataclass(frozen=True, slots=True)
class Granted:
    """The attempt is the executor's until `until`."""

    until: float


@dataclass(frozen=True, slots=True)
class Expired:
    """The attempt is lost: it may be given to another device under a new number."""


OriginLease: TypeAlias = Granted | Expired


def grant(now: float) -> Granted:
    """Return a lease that begins now: when the attempt is offered, and again after the origin's own restart."""
    return Granted(now + LEASE_S * LEASE_MARGIN)


def renew(state: OriginLease, now: float) -> OriginLease:
    """Return the lease after a `Holding` that names the attempt; an expired one stays expired."""
    match state:
        case Granted():
            return grant(now)
        case Expired():
            # The attempt may be running elsewhere by now.
            return state


def disconnect(state: OriginLease, now: float, *, deterministic: bool) -> OriginLease:
    """Return the lease after the session was lost.

    A deterministic attempt may run twice without harm, so it waits only a short grace.
    """
    match state:
        case Granted(until) if deterministic:
            return Granted(min(until, now + SESSION_GRACE_S))
        case Granted() | Expired():
            return state


def check(state: OriginLease, now: float) -> OriginLease:
    """Return the lease as it is at `now`."""
    match state:
        case Granted(until) if now >= until:
            return Expired()
        case Granted() | Expired():
            return state
