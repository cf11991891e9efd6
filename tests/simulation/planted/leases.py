"""Mistakes in the leases, on either side."""
# pyright: reportPrivateUsage=false

from meshd.jobs.holdings import Holdings
from meshd.jobs.leases import Happening, Leases
from meshd.jobs.roll import Roll
from meshd_protocol.ids import DeviceId
from meshd_protocol.limits import HEARTBEAT_S
from meshd_protocol.machines import lease
from meshd_protocol.messages import jobs as wire
from tests.simulation.planted.bug import Bug

_executor_step = lease.executor_step
_holding = Leases.holding
_disconnect = lease.disconnect
_look = Leases._look


def _disconnect_with_grace_for_all(state: lease.OriginLease, now: float, *, deterministic: bool) -> lease.OriginLease:
    return _disconnect(state, now, deterministic=True)


def _start_without_renewal(
    state: lease.ExecutorLease, event: lease.ExecutorEvent, now: float
) -> tuple[lease.ExecutorLease, list[lease.ExecutorEffect]]:
    if isinstance(state, lease.Waiting) and isinstance(event, lease.Tick):
        return lease.Held(now + 30.0), [lease.Permit()]
    return _executor_step(state, event, now)


def _count_from_the_answer(
    state: lease.ExecutorLease, event: lease.ExecutorEvent, now: float
) -> tuple[lease.ExecutorLease, list[lease.ExecutorEffect]]:
    if isinstance(event, lease.Renewed):
        event = lease.Renewed(now)
    return _executor_step(state, event, now)


def _never_lapse(
    state: lease.ExecutorLease, event: lease.ExecutorEvent, now: float
) -> tuple[lease.ExecutorLease, list[lease.ExecutorEffect]]:
    return (state, []) if isinstance(event, lease.Tick) else _executor_step(state, event, now)


def _ignore_superseded(
    state: lease.ExecutorLease, event: lease.ExecutorEvent, now: float
) -> tuple[lease.ExecutorLease, list[lease.ExecutorEffect]]:
    return (state, []) if isinstance(event, lease.Superseded) else _executor_step(state, event, now)


def _renew_what_was_given_away(
    self: Leases, peer: DeviceId, message: wire.Holding
) -> tuple[wire.Renewed, list[Happening]]:
    answer, happened = _holding(self, peer, message)
    every = [*answer.renewed, *answer.superseded]
    return wire.Renewed(number=answer.number, renewed=every, superseded=[]), happened


_check = Leases.check


def _tell_a_loss_once(self: Leases, is_open: set[DeviceId]) -> list[Happening]:
    happened = _check(self, is_open)
    for key, watch in list(self._watched.items()):
        if isinstance(watch.lease, lease.Expired):
            job, number = key
            del self._watched[key]
            self._numbers[job].discard(number)
    return happened


def _asked_now(self: Roll, origin: DeviceId, number: int) -> float:
    return self._clock.boot()


def _asked_in_any_session(self: Roll, origin: DeviceId, number: int) -> float | None:
    asked = self._asked[origin].get(number)
    return None if asked is None else asked[0]


def _pause_a_heartbeat(self: Holdings) -> float:
    return HEARTBEAT_S


def _forbid_nothing(self: Holdings, key: object) -> None:
    pass


def _look_at_the_clock_only(self: Leases) -> float:
    self._looked_at = self._clock.boot()
    return self._looked_at


def _look_at_leases_only(self: Leases) -> float:
    moved = {key: watch.moved_at for key, watch in self._watched.items()}
    now = _look(self)
    for key, watch in self._watched.items():
        watch.moved_at = moved[key]
    return now


def _blame_the_peer_for_our_sleep(self: Leases, peer: DeviceId) -> None:
    now = self._look()
    for watch in self._watched.values():
        if watch.attempt.device == peer:
            watch.lease = lease.disconnect(watch.lease, now, deterministic=watch.deterministic)


BUGS = {
    "the short grace is for all kinds": Bug("A", lease, "disconnect", _disconnect_with_grace_for_all),
    "an attempt starts without a renewal": Bug("A", lease, "executor_step", _start_without_renewal),
    "the executor's lease counts from the answer": Bug("A", lease, "executor_step", _count_from_the_answer),
    "the executor's lease never lapses": Bug("A", lease, "executor_step", _never_lapse),
    "superseded is ignored": Bug("A", lease, "executor_step", _ignore_superseded),
    "what was given away is renewed": Bug("A", Leases, "holding", _renew_what_was_given_away),
    "a loss is told once": Bug("A", Leases, "check", _tell_a_loss_once),
    "leases are not re-armed at wake": Bug("A", Leases, "_look", _look_at_the_clock_only),
    "sleep counts as time without progress": Bug("A", Leases, "_look", _look_at_leases_only),
    "a session found dead at wake costs the peer its lease": Bug("A", Leases, "closed", _blame_the_peer_for_our_sleep),
    "leases lapse at heartbeats only": Bug("B", Holdings, "_pause_s", _pause_a_heartbeat),
    "any offer is leased": Bug("B", Roll, "asked_at", _asked_now),
    "a lease outlives the session in which it was asked for": Bug("B", Roll, "asked_at", _asked_in_any_session),
    "a permission outlives its session": Bug("B", Holdings, "_forbid", _forbid_nothing),
}
