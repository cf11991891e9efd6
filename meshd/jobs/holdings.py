"""The attempts that this device holds for its peers: offered, leased, run, and their ends told.

An attempt starts only under a lease that was renewed in the session that is open. Its end is stored together
with the message that tells it, so that the origin hears it however often either side restarts.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence

from meshd.clock import Clock
from meshd.errors import BadInput, MeshdError, NotFound
from meshd.execution.outcome import Cancelled, Failed, Outcome, ProgressReport, Succeeded
from meshd.execution.wording import words_of
from meshd.jobs.checkpoints import Checkpoints, blob_of
from meshd.jobs.deliveries import Deliveries
from meshd.jobs.ends import REFUSED, told
from meshd.jobs.executor import Assignment, AttemptKey, Executor, KindFinder
from meshd.jobs.holding import KEPT, Holding
from meshd.jobs.news import NEWS_S
from meshd.jobs.outputs import Outputs
from meshd.jobs.parts import cost_of, from_wire
from meshd.jobs.pins import Pins
from meshd.jobs.results import set_apart
from meshd.jobs.resumption import Exchange
from meshd.jobs.roll import Roll
from meshd.jobs.sharing import Sharing
from meshd.jobs.tails import Printers
from meshd.kinds.base import PackedPartial, Part
from meshd.kinds.traits import inputs_of, may_run_again
from meshd.net.streams import Streams, Transaction
from meshd.store import held as rows
from meshd.store.blobs import BlobRef
from meshd.tasks import TaskSet
from meshd_protocol import codec
from meshd_protocol.errors import BadMessage
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId
from meshd_protocol.limits import HEARTBEAT_S, MAX_HELD, MAX_TEXT
from meshd_protocol.machines import lease
from meshd_protocol.messages import jobs as wire

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often leases are looked at: they may lapse while this machine sleeps, and its timers stand still meanwhile."""

FETCH_AGAIN_S = 1.0
"""Between two tries to get the checkpoint of an attempt that waits for it."""


class Holdings:
    """Keeps the leases of peers' attempts, and owns those attempts towards the executor."""

    def __init__(
        self,
        *,
        boot: str,
        executor: Executor,
        find_kind: KindFinder,
        checkpoints: Checkpoints,
        pins: Pins,
        exchange: Exchange,
        streams: Streams,
        may: Callable[[DeviceId, str], bool],
        outputs: Outputs,
        grant: Callable[[DeviceId, str], str],
        clock: Clock,
    ) -> None:
        """`grant` tells the command that permits a kind of job to a device."""
        self._boot = boot
        self._executor = executor
        self._find_kind = find_kind
        self._checkpoints = checkpoints
        self._exchange = exchange
        self._streams = streams
        self._may = may
        self._pins = pins
        self._grant = grant
        self._clock = clock
        self._held: dict[AttemptKey, Holding] = {}
        self._roll = Roll(boot=boot, streams=streams, clock=clock)
        self._arrived = asyncio.Event()
        """Set when an attempt is taken: while there is one, leases are looked at more often."""

        self._taken: set[DeviceId] = set()
        """Origins that are about to be told what was taken of theirs."""

        self._begun: set[AttemptKey] = set()
        """What runs, and is not on disk as running yet."""

        self._untold: set[AttemptKey] = set()
        """What has come with its lease, or runs, and its origin was not told."""

        self._tasks = TaskSet()
        self.sharing = Sharing(
            executor=executor,
            streams=streams,
            checkpoints=checkpoints,
            exchange=exchange,
            tasks=self._tasks,
            holds=self._held.__contains__,
        )
        self.deliveries = Deliveries(streams=streams, pins=pins)
        self._printers = Printers(streams=streams, folder_of=outputs.of, runs=self._runs)

    async def load(self) -> None:
        """Take up what an earlier run of this daemon has left: ends that their origins have not heard.

        Attempts that had not begun are declined: they can run elsewhere, even if they have effects.
        """

        def read(transaction: Transaction) -> list[tuple[AttemptKey, int]]:
            for held in rows.waiting(transaction.connection, self._boot):
                reason = "meshd was restarted there before the attempt began"
                message = wire.Declined(job=held.job, attempt=held.attempt, code="restarted", reason=reason)
                seq = transaction.post(held.origin, message)
                rows.finish(transaction.connection, held.origin, held.job, held.attempt, seq)
            # Their workers died with that run. The origin may not even have heard that the offer arrived, so it
            # cannot tell from what is held here that the attempt is lost: say so, durably.
            for origin, job, number in rows.drop_unfinished(transaction.connection, self._boot):
                lost = told(_key(origin, job, number), Failed("lost", "meshd was restarted there"))
                transaction.post(origin, lost)
            finished = rows.finished(transaction.connection)
            return [(_key(held.origin, held.job, held.attempt), seq) for held, seq in finished]

        for key, seq in await self._streams.write(read):
            self._roll.ended(key, seq)
        await self.deliveries.load()

    async def run(self) -> None:
        """Renew leases, for ever."""
        told_at = look_at = self._clock.boot()
        while True:
            if self._clock.boot() >= look_at:
                for key in tuple(self._held):
                    self._step(key, lease.Tick())
                if self._clock.boot() - told_at >= HEARTBEAT_S:
                    told_at = self._clock.boot()
                    for origin in sorted({key.origin for key in self._held}):
                        self._tell(origin)
                look_at = self._clock.boot() + self._pause_s()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, look_at - self._clock.boot())):
                    await self._arrived.wait()
                # Its lease is new, so that it need not be looked at before the others.
                look_at = min(look_at, self._clock.boot() + LOOK_S)
            self._arrived.clear()

    def _pause_s(self) -> float:
        """Return how long until a lease may have lapsed: its origin waits hardly any longer."""
        now = self._clock.boot()
        lapses = [held.lease.until - now for held in self._held.values() if isinstance(held.lease, lease.Held)]
        return max(0.01, min([LOOK_S, *lapses])) if self._held else HEARTBEAT_S

    async def close(self) -> None:
        """Stop what is under way here; the attempts end with the executor."""
        await self._printers.close()
        await self._tasks.close()

    # What origins say

    def offered(self, transaction: Transaction, origin: DeviceId, offer: wire.Offer, answered: int) -> None:
        """Take an offer, or decline it with a reason, in the transaction that moves the stream's cursor.

        Its origin wrote it after it had answered the roll call of the number `answered`; 0: nobody knows.
        """
        key = _key(origin, offer.job, offer.attempt)
        try:
            assignment = self._checked(transaction, key, offer)
        except (BadInput, BadMessage) as error:
            log.info("declined an offer", extra={"peer": origin, "job": key.job, "why": str(error)})
            transaction.post(
                origin,
                wire.Declined(job=key.job, attempt=key.number, code="refused", reason=str(error)[:MAX_TEXT]),
            )
            return
        held = rows.HeldRow(
            origin=origin,
            job=key.job,
            attempt=key.number,
            kind=offer.kind,
            name=offer.name,
            resolved=offer.resolved,
            priority=offer.priority,
            timeout_s=offer.timeout_s,
            state="waiting",
            boot=self._boot,
            at=transaction.now,
        )
        if not rows.insert(transaction.connection, held):
            return
        if assignment.kind.deterministic or may_run_again(assignment.kind, assignment.resolved):
            # It may begin while this goes to disk: should the disk refuse, it comes again, and may run again.
            transaction.at_once(lambda: self._take(assignment, offer.partials, answered))
        else:
            # Its origin must know on whose word it begins: it asks first.
            transaction.after(lambda: self._take(assignment, offer.partials, 0))

    def _checked(self, transaction: Transaction, key: AttemptKey, offer: wire.Offer) -> Assignment:
        if not self._may(key.origin, offer.kind):
            raise BadInput(
                f"{offer.kind} jobs of this device are not allowed there; to allow them, there:"
                f" {self._grant(key.origin, offer.kind)}"
            )
        if rows.count(transaction.connection, key.origin) >= MAX_HELD:
            raise BadInput(f"{MAX_HELD} attempts of this device are held there already")
        kind = self._find_kind(offer.kind)
        try:
            resolved = kind.validate(codec.decode_document(offer.resolved))
        except (MeshdError, BadMessage):
            raise
        except Exception as error:
            # The code of another package: its bug is a reason to decline, and no reason to be silent.
            log.exception("the kind %s breaks over an offer", offer.kind)
            raise BadInput(f"the kind {offer.kind} breaks over this job there: {words_of(error)}") from error
        cost = kind.cost(resolved)
        part = None if offer.part is None else from_wire(offer.part)
        if part is not None:
            cost = cost_of(part, cost)
        return Assignment(key, kind, resolved, cost, offer.priority, offer.timeout_s, part)

    def cancelled(self, transaction: Transaction, origin: DeviceId, cancel: wire.Cancel) -> None:
        """Stop an attempt whose origin wants no more of it."""
        key = _key(origin, cancel.job, cancel.attempt)
        rows.remove(transaction.connection, key.origin, key.job, key.number)
        transaction.after(lambda: self._let_go(key))

    def acknowledged(self, transaction: Transaction, origin: DeviceId, seq: int) -> None:
        """Forget the attempts whose end the origin has on its disk."""
        if self._roll.has_ends(origin):
            rows.acknowledged(transaction.connection, origin, seq)
            transaction.after(lambda: self._roll.acknowledged(origin, seq))

    def reopened(self, transaction: Transaction, origin: DeviceId, renumbered: dict[int, int]) -> None:
        """Follow the messages that tell ends into their new numbers; forget the ends that nobody will hear of."""
        rows.renumber(transaction.connection, origin, renumbered)
        transaction.after(lambda: self._roll.reopened(origin, renumbered))

    def heard(self, origin: DeviceId, message: wire.Shrink | wire.Extend | wire.Joined) -> None:
        """Take what an origin says about the units of one of its attempts."""
        self.sharing.hear(_key(origin, message.job, message.attempt), message)

    def log_wanted(self, origin: DeviceId, message: wire.LogWanted) -> None:
        """Tell an origin what one of its attempts prints."""
        key = _key(origin, message.job, message.attempt)
        if key in self._held:
            self._printers.wanted(key, message)

    def _runs(self, key: AttemptKey) -> bool:
        holding = self._held.get(key)
        return holding is not None and not isinstance(holding.lease, lease.Over)

    def renewed(self, origin: DeviceId, answer: wire.Renewed) -> None:
        """Take the origin's answer to what this device holds."""
        asked_at = self._roll.asked_at(origin, answer.number)
        if asked_at is None:
            return
        for line in answer.renewed:
            self._step(_key(origin, line.job, line.attempt), lease.Renewed(asked_at))
        for line in answer.superseded:
            self._step(_key(origin, line.job, line.attempt), lease.Superseded())

    def opened(self, origin: DeviceId) -> None:
        """Tell a peer, whose session has opened, which of its attempts are held here."""
        self._tell(origin)
        for key, holding in self._held.items():
            if key.origin == origin:
                for refs in holding.kept.values():
                    self._tell_kept(key, refs[-1])

    def closed(self, origin: DeviceId) -> None:
        """Note that the session with a peer is over."""
        for key in tuple(self._held):
            if key.origin == origin:
                self._forbid(key)
                self._step(key, lease.Disconnected())

    def forget(self, origin: DeviceId) -> None:
        """Stop everything of a device that is no longer paired."""
        for key in tuple(self._held):
            if key.origin == origin:
                self._let_go(key)
        self._roll.forget(origin)
        self.deliveries.forget(origin)

    def permissions_changed(self) -> None:
        """Stop every attempt that its origin may no longer have done here, and say so."""
        for key, holding in tuple(self._held.items()):
            if holding.refused or self._may(key.origin, holding.kind.name):
                continue
            holding.refused = True
            self._executor.stop(key)
            if not holding.running:
                self.returned(key, _no_longer_allowed(holding))

    # Leases

    def _take(self, assignment: Assignment, refs: Sequence[wire.PartialRef], answered: int) -> None:
        key = assignment.key
        if key in self._held:
            # The disk refused it when it came first.
            return
        kind, resolved = assignment.kind, assignment.resolved
        inputs = [BlobRef(each.digest, each.size) for each in inputs_of(kind, resolved)]
        self._held[key] = Holding(
            kind,
            lease.Waiting(),
            refs,
            inputs=[blob.digest for blob in inputs],
            retry_safe=may_run_again(kind, resolved),
            is_part=assignment.part is not None,
        )
        self._arrived.set()
        leased_at = self._roll.asked_at(key.origin, answered)
        if leased_at is not None:
            self._step(key, lease.Renewed(leased_at))
        if leased_at is not None and self._clock.boot() - leased_at < HEARTBEAT_S:
            self._tell_soon(key)
        else:
            if not self._taken:
                asyncio.get_running_loop().call_soon(self._tell_what_came)
            self._taken.add(key.origin)
        self._pins.pin(blob.digest for blob in inputs)
        if refs or inputs:
            self._checkpoints.pin(refs)
            self._tasks.start(f"fetch what {key.job} needs", self._fetch(assignment, refs, inputs))
        else:
            self._executor.take(assignment, self, may_start=self._held[key].permitted)

    def _tell_what_came(self) -> None:
        """Tell each origin once of all that one transaction has brought."""
        origins, self._taken = sorted(self._taken), set()
        for origin in origins:
            self._tell(origin)

    async def _fetch(self, assignment: Assignment, refs: Sequence[wire.PartialRef], inputs: Sequence[BlobRef]) -> None:
        """Get the inputs and the checkpoint, then let the attempt wait for a slot."""
        key = assignment.key
        wanted = self._held.get(key)
        for blob in inputs:
            if not await self._fetched(key, blob):
                # Nobody has it any more, and without it nothing can be computed.
                self.returned(key, "the device that submitted it no longer has one of its inputs")
                # It is held until that is on disk: what has come goes then.
                return
        for ref in refs:
            # A checkpoint that nobody has any more: its work is done again.
            await self._fetched(key, blob_of(ref))
        holding = self._held.get(key)
        if holding is None or holding is not wanted:
            # Released while it was on its way, and maybe offered anew: what has come since must go, too.
            self._pins.refresh([*(blob.digest for blob in inputs), *(ref.digest for ref in refs)])
            return
        self._executor.take(assignment, self, may_start=holding.permitted)

    async def _fetched(self, key: AttemptKey, blob: BlobRef) -> bool:
        """Return once a blob of an attempt is here, or the attempt is no longer held; False: the blob is nowhere."""
        while key in self._held:
            try:
                await self._exchange.fetch(key.origin, blob)
            except (NotFound, BadInput) as error:
                log.warning("a blob is gone: %s", error.message, extra={"peer": key.origin, "job": key.job})
                return False
            except MeshdError as error:
                log.info("waiting for a blob: %s", error.message, extra={"peer": key.origin, "job": key.job})
                await asyncio.sleep(FETCH_AGAIN_S)
            else:
                break
        return True

    def _tell(self, origin: DeviceId) -> None:
        held = self._held.items()
        self._roll.call(origin, [(key, holding.running) for key, holding in held if key.origin == origin])

    def _step(self, key: AttemptKey, event: lease.ExecutorEvent) -> None:
        holding = self._held.get(key)
        if holding is None:
            return
        holding.lease, effects = lease.executor_step(holding.lease, event, self._clock.boot())
        for effect in effects:
            match effect:
                case lease.Permit():
                    holding.permitted = True
                    self._executor.permit(key)
                case lease.GiveUp():
                    log.info("lease lapsed", extra={"peer": key.origin, "job": key.job, "attempt": key.number})
                    self._forbid(key)
                    # A deterministic result stays welcome; what has effects may by now run elsewhere too. Of a part
                    # there is no result, and its units are computed elsewhere.
                    if holding.is_part or (holding.retry_safe and not holding.kind.deterministic):
                        self._abandon(key)
                case lease.Kill():
                    self._abandon(key)

    def _forbid(self, key: AttemptKey) -> None:
        """Do not let an attempt start before its next renewal, if it has not started."""
        holding = self._held.get(key)
        if holding is not None:
            holding.permitted = False
            self._executor.withdraw(key)

    def _abandon(self, key: AttemptKey) -> None:
        self._let_go(key)

        def remove(transaction: Transaction) -> None:
            rows.remove(transaction.connection, key.origin, key.job, key.number)

        self._tasks.start(f"abandon {key.job}/{key.number}", self._streams.insist(remove))

    def _let_go(self, key: AttemptKey) -> None:
        holding = self._held.get(key)
        if holding is not None:
            holding.lease = lease.Over()
            if not holding.running or holding.is_done:
                self._forget(key)
        self._executor.stop(key)

    # What the executor reports: see `executor.Owner`

    async def starting(self, key: AttemptKey) -> Sequence[PackedPartial] | None:
        """Mark the attempt as running on disk; return its checkpoint, or None when it is no longer held."""
        holding = self._held.get(key)
        if holding is None:
            return None
        holding.running = True
        started = True
        if holding.kind.deterministic or holding.retry_safe:
            # Should this daemon die meanwhile, it may run again, whatever is known of this time.
            self._note_start(key)
        else:
            started = await self._streams.insist(
                lambda transaction: rows.start(transaction.connection, key.origin, key.job, key.number)
            )
        partials = await self._checkpoints.read(holding.refs) if started else ()
        # Its origin may have taken it back while the disk was slow.
        if not started or isinstance(holding.lease, lease.Over):
            self._forget(key)
            return None
        if holding.refused:
            await self.ended(key, Cancelled())
            return None
        return partials

    def _note_start(self, key: AttemptKey) -> None:
        self._begun.add(key)
        if len(self._begun) == 1:
            self._tasks.start("note what runs", self._store_starts())

    async def _store_starts(self) -> None:
        await asyncio.sleep(NEWS_S)
        begun = [key for key in sorted(self._begun, key=_order) if key in self._held]
        self._begun.clear()

        def start(transaction: Transaction) -> None:
            for key in begun:
                rows.start(transaction.connection, key.origin, key.job, key.number)

        if begun:
            await self._streams.insist(start)

    def started(self, key: AttemptKey) -> None:
        """Tell the origin that the attempt runs, if it still does when a person could see it."""
        self._tell_soon(key)

    def _tell_soon(self, key: AttemptKey) -> None:
        if not self._untold:
            self._tasks.start("tell what is held", self._tell_what_is_held())
        self._untold.add(key)

    async def _tell_what_is_held(self) -> None:
        await asyncio.sleep(NEWS_S)
        origins = {key.origin for key in self._untold if key in self._held}
        self._untold.clear()
        for origin in sorted(origins):
            self._tell(origin)

    def progressed(self, key: AttemptKey, report: ProgressReport) -> None:
        """Tell the origin how far the attempt is."""
        self._streams.tell(
            key.origin,
            wire.Progress(
                job=key.job,
                attempt=key.number,
                share=report.share,
                eta_s=report.eta_s,
                best=report.best[:MAX_TEXT],
                note=report.note[:MAX_TEXT],
            ),
            key=f"progress {key.job} {key.number}",
        )

    async def ended(self, key: AttemptKey, outcome: Outcome) -> None:
        """Store how the attempt ended, and the message that tells its origin, in one transaction."""
        outcome = await set_apart(self._pins, outcome)
        holding = self._held.get(key)
        files = outcome.files
        if holding is not None and holding.is_part and isinstance(outcome, Succeeded):
            holding.is_done = True
            # Its units are its checkpoints: nobody hears of this end, nor of what it has left besides.
            self.deliveries.release(files)
            if isinstance(holding.lease, lease.Over):
                self._forget(key)
            return
        if holding is not None and holding.refused and isinstance(outcome, Cancelled):
            outcome = Failed(REFUSED, _no_longer_allowed(holding))
        message = told(key, outcome, files)

        def finish(transaction: Transaction) -> None:
            # Cancelled and superseded attempts have no row any more: nobody waits for their end, but their user may
            # want to see what they had printed.
            is_held = rows.is_held(transaction.connection, key.origin, key.job, key.number)
            if is_held or (files and message.state == "cancelled" and transaction.is_paired(key.origin)):
                seq = transaction.post(key.origin, message)
                self.deliveries.keep(transaction, (key.origin, key.job, key.number), files)
            else:
                transaction.after(lambda: self.deliveries.release(files))
                return
            if is_held:
                rows.finish(transaction.connection, key.origin, key.job, key.number, seq)
                transaction.after(lambda: self._roll.ended(key, seq))

        try:
            await self._streams.insist(finish)
        finally:
            self._forget(key)

    def returned(self, key: AttemptKey, reason: str) -> None:
        """Decline an attempt after all: its origin can let it run elsewhere."""

        def decline(transaction: Transaction) -> None:
            if rows.is_waiting(transaction.connection, key.origin, key.job, key.number):
                message = wire.Declined(job=key.job, attempt=key.number, code="refused", reason=reason)
                seq = transaction.post(key.origin, message)
                rows.finish(transaction.connection, key.origin, key.job, key.number, seq)
                transaction.after(lambda: self._roll.ended(key, seq))
            transaction.after(lambda: self._forget(key))

        self._tasks.start(f"hand back {key.job}/{key.number}", self._streams.insist(decline))

    def shrunk(self, key: AttemptKey, part: Part | None) -> None:
        """Tell the origin which units are its again."""
        self.sharing.shrunk(key, part)

    def waiting(self, key: AttemptKey, phase: int, units: int, missing: Sequence[tuple[int, int]]) -> None:
        """Tell the origin which units the attempt waits for."""
        self.sharing.waiting(key, phase, units, missing)

    def kept(self, key: AttemptKey, partial: PackedPartial) -> None:
        """Store a checkpoint and tell the origin that it can be fetched."""
        self._tasks.start(f"keep {key.job}/{key.number}", self._keep(key, partial))

    async def _keep(self, key: AttemptKey, partial: PackedPartial) -> None:
        try:
            ref = await self._checkpoints.write(partial)
        except MeshdError as error:
            # The next one comes in a few seconds, and holds this one's work as well.
            log.warning("a checkpoint was not kept: %s", error.message, extra={"job": key.job})
            return
        holding = self._held.get(key)
        if holding is None:
            self._checkpoints.release([ref])
            return
        refs = holding.kept.setdefault((ref.phase, ref.start), deque())
        refs.append(ref)
        if len(refs) > KEPT:
            self._checkpoints.release([refs.popleft()])
        self._tell_kept(key, ref)

    def may_read(self, origin: DeviceId, digest: str) -> bool:
        """Return whether a blob is a checkpoint of one of this origin's attempts, or what one has left."""
        return any(
            ref.digest == digest
            for key, holding in self._held.items()
            if key.origin == origin
            for refs in holding.kept.values()
            for ref in refs
        ) or self.deliveries.may_read(origin, digest)

    def _tell_kept(self, key: AttemptKey, ref: wire.PartialRef) -> None:
        self._streams.tell(
            key.origin,
            wire.Kept(job=key.job, attempt=key.number, partial=ref),
            key=f"kept {key.job} {key.number} {ref.phase} {ref.start}",
        )

    def _forget(self, key: AttemptKey) -> None:
        holding = self._held.pop(key, None)
        if holding is not None:
            self._checkpoints.release(holding.refs)
            self._checkpoints.release([ref for refs in holding.kept.values() for ref in refs])
            self._pins.release(holding.inputs)


def _no_longer_allowed(holding: Holding) -> str:
    return f"{holding.kind.name} jobs of this device are no longer allowed there"


def _order(key: AttemptKey) -> tuple[str, str, int]:
    return key.origin, key.job, key.number


def _key(origin: DeviceId, job: str, number: int) -> AttemptKey:
    return AttemptKey(origin, JobId(job), AttemptNumber(number))
