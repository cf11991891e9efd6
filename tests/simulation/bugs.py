"""Planted bugs: mistakes that a person could make in the code of jobs and streams, each put in by a patch.

The simulation is worth its time only as long as it finds every one of them.
"""
# pyright: reportPrivateUsage=false

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar
from unittest.mock import patch

from meshd.execution.outcome import Outcome, Succeeded
from meshd.jobs import executor as executor_module
from meshd.jobs import lifecycle
from meshd.jobs.executor import AttemptKey, Executor
from meshd.jobs.holdings import Holdings
from meshd.jobs.leases import Happening, Leases
from meshd.jobs.model import Attempt, Job, Traits
from meshd.jobs.origin import Origin
from meshd.kinds.base import PackedPartial
from meshd.net import streams as streams_module
from meshd.net.streams import Streams, Transaction
from meshd.scheduling.placement import Work
from meshd.store import held as held_rows
from meshd.store import jobs as job_rows
from meshd.store import streams as stream_rows
from meshd.store.database import Connection
from meshd_protocol.ids import AttemptNumber, DeviceId, StreamId
from meshd_protocol.limits import HEARTBEAT_S
from meshd_protocol.localapi import AttemptState
from meshd_protocol.machines import delivery, lease
from meshd_protocol.messages import jobs as wire

T = TypeVar("T")
ANYTHING_GOES = Traits(deterministic=True, retry_safe=True)


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake: where it is put, and the level at which it must be found."""

    level: str
    target: object
    name: str
    mistake: object

    @contextmanager
    def planted(self) -> Generator[None]:
        """Have the bug in the code."""
        with patch.object(self.target, self.name, self.mistake):
            yield


# The life of a job

_succeed = lifecycle._succeed
_lose = lifecycle._lose
_place = lifecycle._place


def _succeed_without_fence(job: Job, number: AttemptNumber, now: float, traits: Traits) -> lifecycle.Step:
    reopened = tuple(
        replace(attempt, state="running", ended_at=None) if attempt.number == number else attempt
        for attempt in job.attempts
    )
    return _succeed(replace(job, attempts=reopened), number, now, traits)


def _succeed_late_in_any_kind(job: Job, number: AttemptNumber, now: float, traits: Traits) -> lifecycle.Step:
    return _succeed(job, number, now, ANYTHING_GOES)


def _lose_and_run_again_whatever_it_is(
    job: Job, number: AttemptNumber, state: AttemptState, reason: str, now: float, traits: Traits
) -> lifecycle.Step:
    return _lose(job, number, state, reason, now, ANYTHING_GOES)


def _lose_what_was_accepted(
    job: Job, number: AttemptNumber, state: AttemptState, reason: str, now: float, traits: Traits
) -> lifecycle.Step:
    attempt = job.attempt(number)
    waits = attempt is not None and attempt.state == "accepted"
    return _lose(job, number, state, reason, now, ANYTHING_GOES if waits else traits)


def _place_with_the_same_number(job: Job, device: DeviceId, why: str, now: float) -> lifecycle.Step:
    return _place(replace(job, attempts=job.open_attempts), device, why, now)


def _cancelled_is_not_the_end(self: Job) -> bool:
    return self.ended_at is not None and self.state != "cancelled"


# Leases

_executor_step = lease.executor_step
_holding = Leases.holding
_disconnect = lease.disconnect


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
            del self._watched[key]
    return happened


# Delivery

_receive = delivery.receive


def _apply_again(inbound: delivery.Inbound, seq: int, frame: bytes) -> delivery.Apply | delivery.Again:
    if seq <= inbound.last:
        return delivery.Apply(delivery.Inbound(inbound.stream, seq, delivery.digest(frame)))
    return _receive(inbound, seq, frame)


def _apply_past_a_gap(inbound: delivery.Inbound, seq: int, frame: bytes) -> delivery.Apply | delivery.Again:
    if seq > inbound.last:
        return delivery.Apply(delivery.Inbound(inbound.stream, seq, delivery.digest(frame)))
    return _receive(inbound, seq, frame)


def _resume_at_the_end(
    outbound: delivery.Outbound, *, stream: str, received: int, ours: bytes | None, theirs: bytes
) -> delivery.Continue | delivery.Reopen:
    return delivery.Continue(outbound.last)


# Streams


async def _acknowledge_before_the_commit(
    self: streams_module._Conversation, then: delivery.Inbound, frame: bytes
) -> None:
    self._acknowledge_to_peer(then.last)
    rejected = await self._streams.write(lambda transaction: self._apply_in(transaction, then, frame))
    if rejected is not None:
        self._replies.append(rejected)


async def _effects_whatever_the_disk_says(self: Streams, command: Callable[[Transaction], T]) -> T:
    transactions: list[Transaction] = []

    def run(connection: Connection) -> T:
        transactions.append(Transaction(connection, self._clock.wall(), self.fresh))
        return command(transactions[-1])

    try:
        return await self._store.write(run)
    finally:
        for transaction in transactions:
            self._committed(transaction)


async def _effects_only_if_somebody_waits(self: Streams, command: Callable[[Transaction], T]) -> T:
    transactions: list[Transaction] = []

    def run(connection: Connection) -> T:
        transactions.append(Transaction(connection, self._clock.wall(), self.fresh))
        return command(transactions[-1])

    result = await self._store.write(run)
    self._committed(transactions[-1])
    return result


async def _apply_then_move_the_cursor(self: streams_module._Conversation, then: delivery.Inbound, frame: bytes) -> None:
    def apply(transaction: Transaction) -> object:
        before = stream_rows.inbound(transaction.connection, self._peer)
        rejected = self._apply_in(transaction, then, frame)
        assert before is not None
        stream_rows.save_inbound(transaction.connection, self._peer, before)
        return rejected

    await self._streams.write(apply)
    await self._store.write(lambda connection: stream_rows.save_inbound(connection, self._peer, then))
    self._acknowledge_to_peer(then.last)


def _append_without_a_row(connection: Connection, peer: DeviceId, frame: bytes, *, fresh: StreamId, now: float) -> int:
    seq = stream_rows.outbound(connection, peer, fresh).last + 1
    connection.execute("UPDATE outbound SET last_seq = ? WHERE peer = ?", (seq, peer))
    return seq


# Executors


async def _rate_before_the_outcome(self: Executor, entry: executor_module._Entry, outcome: Outcome) -> None:
    if isinstance(outcome, Succeeded):
        await self._rates.ran(entry.kind.name, entry.assignment.cost, outcome.duration_s)
    await entry.owner.ended(entry.key, outcome)


def _keep_all(connection: Connection, boot: str) -> int:
    return 0


def _pause_a_heartbeat(self: Holdings) -> float:
    return HEARTBEAT_S


def _forbid_nothing(self: Holdings, key: object) -> None:
    pass


def _know_no_key(connection: Connection, idempotency_key: str) -> None:
    return None


def _is_open_for_ever(self: Attempt) -> bool:
    return self.state in {"offered", "accepted", "running", "lost"}


async def _start_only_if_the_disk_takes_it(self: Holdings, key: AttemptKey) -> Sequence[PackedPartial] | None:
    holding = self._held.get(key)
    if holding is None:
        return None
    holding.running = True
    started = await self._streams.write(
        lambda transaction: held_rows.start(transaction.connection, key.origin, key.job, key.number)
    )
    return () if started else None


async def _start_before_it_is_on_disk(self: Origin, key: AttemptKey) -> Sequence[PackedPartial] | None:
    if not self._is_wanted(key):
        return None
    self._soon(key.job, lifecycle.Started(key.number, self._boot))
    return ()


async def _close_and_go_on_starting(self: Executor) -> None:
    await self._tasks.close()


_work = Origin._work


def _avoid_by_the_wall_clock(self: Origin, job: Job) -> Work:
    now = self._clock.wall()
    trouble = {"lost", "declined", "superseded"}
    avoid = {
        attempt.device
        for attempt in job.attempts
        if attempt.state in trouble and attempt.device != self._device and now - (attempt.ended_at or now) < 60.0
    }
    return replace(_work(self, job), avoid=avoid)


BUGS = {
    "a result needs no open attempt": Bug("A", lifecycle, "_succeed", _succeed_without_fence),
    "a late success of any kind is taken": Bug("A", lifecycle, "_succeed", _succeed_late_in_any_kind),
    "a lost attempt may still be changed": Bug("A", Attempt, "is_open", property(_is_open_for_ever)),
    "what has effects is run again": Bug("A", lifecycle, "_lose", _lose_and_run_again_whatever_it_is),
    "an accepted attempt counts as not begun": Bug("B", lifecycle, "_lose", _lose_what_was_accepted),
    "a number is given twice": Bug("A", lifecycle, "_place", _place_with_the_same_number),
    "cancelled is not the end": Bug("A", Job, "has_ended", property(_cancelled_is_not_the_end)),
    "the short grace is for all kinds": Bug("A", lease, "disconnect", _disconnect_with_grace_for_all),
    "an attempt starts without a renewal": Bug("A", lease, "executor_step", _start_without_renewal),
    "the executor's lease counts from the answer": Bug("A", lease, "executor_step", _count_from_the_answer),
    "the executor's lease never lapses": Bug("A", lease, "executor_step", _never_lapse),
    "superseded is ignored": Bug("A", lease, "executor_step", _ignore_superseded),
    "what was given away is renewed": Bug("A", Leases, "holding", _renew_what_was_given_away),
    "a loss is told once": Bug("A", Leases, "check", _tell_a_loss_once),
    "a message is applied again": Bug("A", delivery, "receive", _apply_again),
    "a gap in a stream is no error": Bug("A", delivery, "receive", _apply_past_a_gap),
    "a stream resumes at its end": Bug("A", delivery, "resume", _resume_at_the_end),
    "a message is acknowledged before the commit": Bug(
        "B", streams_module._Conversation, "_apply", _acknowledge_before_the_commit
    ),
    "effects run though the commit failed": Bug("B", Streams, "write", _effects_whatever_the_disk_says),
    "effects run only if somebody waits": Bug("B", Streams, "write", _effects_only_if_somebody_waits),
    "the cursor moves in a transaction of its own": Bug(
        "B", streams_module._Conversation, "_apply", _apply_then_move_the_cursor
    ),
    "a message is sent and not stored": Bug("B", stream_rows, "append", _append_without_a_row),
    "an outcome is lost with its rate": Bug("B", Executor, "_ended", _rate_before_the_outcome),
    "what an earlier run held is kept": Bug("B", held_rows, "drop_unfinished", _keep_all),
    "leases lapse at heartbeats only": Bug("B", Holdings, "_pause_s", _pause_a_heartbeat),
    "a permission outlives its session": Bug("B", Holdings, "_forbid", _forbid_nothing),
    "a start that the disk refuses is forgotten": Bug("B", Holdings, "starting", _start_only_if_the_disk_takes_it),
    "an own attempt runs before that is on disk": Bug("B", Origin, "starting", _start_before_it_is_on_disk),
    "a daemon that closes starts what waits": Bug("B", Executor, "close", _close_and_go_on_starting),
    "a device is avoided by the wall clock": Bug("B", Origin, "_work", _avoid_by_the_wall_clock),
    "a request's key is ignored": Bug("B", job_rows, "id_of_key", _know_no_key),
}
"""Every planted bug, by what it does."""
