"""This device as an origin: its own jobs, from their submission to their one end."""

import asyncio
import contextlib
import logging
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from meshd.clock import Clock
from meshd.errors import BadInput, Degraded, NotFound, PeerRefused
from meshd.events import Bus
from meshd.execution.outcome import Cancelled, Failed, Outcome, ProgressReport, Succeeded
from meshd.jobs import lifecycle
from meshd.jobs.checkpoints import Checkpoints
from meshd.jobs.ends import REFUSED
from meshd.jobs.executor import Assignment, AttemptKey, Executor, KindFinder
from meshd.jobs.file_refs import read_refs
from meshd.jobs.files import Coming, Files
from meshd.jobs.handover import Handover
from meshd.jobs.leases import Happening, Leases
from meshd.jobs.ledger import Change, happen
from meshd.jobs.lifecycle import JobEvent, Step
from meshd.jobs.manifest import read_versions, record
from meshd.jobs.model import Attempt, Failure, Job, Traits, attempt_values, job_from_rows, job_values
from meshd.jobs.news import News, NewsEvent
from meshd.jobs.outputs import Outputs
from meshd.jobs.parts import cost_of, to_wire
from meshd.jobs.pins import Pins
from meshd.jobs.placer import Chosen, Placer, Roster
from meshd.jobs.results import result_among
from meshd.jobs.resumption import Exchange, Resumption
from meshd.jobs.spread import Spread
from meshd.jobs.submission import Prepared, at_once, is_small, prepare
from meshd.jobs.tails import Tails
from meshd.jobs.views import Live, Names, job_view
from meshd.kinds.base import Kind, PackedPartial, Part
from meshd.kinds.needs import Needs, needs_of
from meshd.net.streams import Streams, Transaction
from meshd.scheduling.work import POLICIES
from meshd.store import jobs as rows
from meshd.store import partials
from meshd.tasks import TaskSet
from meshd_protocol import codec
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId, job_id
from meshd_protocol.localapi import JobAccepted, JobRequest, JobView
from meshd_protocol.messages import jobs as wire

log = logging.getLogger(__name__)

STORE_PROGRESS_S = 5.0
STORE_PROGRESS_SHARE = 0.10
"""Progress goes to disk at most this often: it is news, not state."""

DEVICES_DOING = frozenset({"crashed", "out_of_memory", "disk_full"})
"""Failures that may be the device's doing and not the job's: a GPU that is broken, or is not what it was said to be."""

BAD_CHECKPOINT = "bad_checkpoint"
"""The failure kind of an attempt that could not use what it was to go on from: the next one begins anew."""


class Origin:
    """Submits, places, follows and ends this device's own jobs."""

    def __init__(
        self,
        *,
        device: DeviceId,
        boot: str,
        streams: Streams,
        executor: Executor,
        roster: Roster,
        find_kind: KindFinder,
        names: Names,
        clock: Clock,
        token: Callable[[int], bytes],
        bus: Bus[JobView],
        checkpoints: Checkpoints,
        pins: Pins,
        exchange: Exchange,
        outputs: Outputs,
        offload_timeout_s: float,
    ) -> None:
        self._device = device
        self._boot = boot
        self._streams = streams
        self._executor = executor
        self._roster = roster
        self._find_kind = find_kind
        self._names = names
        self._clock = clock
        self._token = token
        self._bus = bus
        self._offload_timeout_s = offload_timeout_s
        self._jobs: dict[JobId, Job] = {}
        self._live: dict[JobId, Live] = {}
        self._stored: dict[JobId, tuple[float, float]] = {}
        self._spreading: set[JobId] = set()
        """Those that run, and could run on several devices."""

        self._leases = Leases(clock=clock, names=names)
        self.resumption = Resumption(
            streams=streams,
            checkpoints=checkpoints,
            exchange=exchange,
            attempt_of=self._attempt_of,
            runs=self._runs,
            covered=lambda job: self.spread.grown(job),
        )
        self.files = Files(
            streams=streams, pins=pins, exchange=exchange, outputs=outputs, runs=self._runs, result=self._result_came
        )
        self.tails = Tails(streams=streams)
        self._wake = asyncio.Event()
        self._tasks = TaskSet()
        self._news = News(tasks=self._tasks, clock=clock, store=self._store_news)
        self._kinds: dict[str, Kind] = {}
        """Those that were asked for before, and so are there without waiting."""

        self._placer = Placer(
            device=device,
            roster=roster,
            names=names,
            streams=streams,
            clock=clock,
            tasks=self._tasks,
            job_of=self._jobs.get,
            traits=self._traits,
            needs=self._needs,
            input_bytes=lambda job: sum(ref.size for ref in self.resumption.refs(job)),
            happen=self._happen_in,
            waits=self._note_waiting,
            wake=self.wake,
        )
        self.spread = Spread(
            line=Handover(
                device=device, executor=executor, streams=streams, checkpoints=checkpoints, tasks=self._tasks
            ),
            resumption=self.resumption,
            clock=clock,
            job_of=self._jobs.get,
            work=self._placer.work,
            snapshot=lambda: roster.snapshot(self._placer.on_the_way()),
            soon=self._soon,
            place=self._place_part,
            moved=self._leases.moved,
        )

    async def load(self) -> None:
        """Take up the jobs that have not ended. What ran here died with the daemon; what runs on peers may go on."""

        def read(transaction: Transaction) -> list[Job]:
            loaded: list[Job] = []
            for job in rows.open_ids(transaction.connection):
                found = rows.rows(transaction.connection, job)
                if found is not None:
                    loaded.append(job_from_rows(*found))
            return loaded

        await self.resumption.load()
        await self.files.load()
        for job in await self._streams.write(read):
            self._track(job)
            for attempt in self.files.coming_results(job.id):
                self._leases.done(job.id, attempt)
            for attempt in job.open_attempts:
                if attempt.device == self._device:
                    await self._happen(job.id, lifecycle.Lost(attempt.number, "the daemon was restarted"))

    async def run(self) -> None:
        """Place jobs and watch leases, for ever."""
        while True:
            # However much happens meanwhile.
            await asyncio.sleep(self._placer.rests_s())
            self._wake.clear()
            self._all_soon(self._leases.check(self._streams.open_peers()))
            self._placer.place()
            look_at = self.spread.look(
                [self._jobs[job] for job in sorted(self._spreading)], others_wait=self._others_wait
            )
            timeout = self._until_next(look_at)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._wake.wait()

    async def close(self) -> None:
        """Stop what is under way here; jobs on disk go on with the next start."""
        await self.resumption.close()
        await self.files.close()
        await self._tasks.close()

    def wake(self) -> None:
        """Look again at what could be placed: a slot is free, a device came or went, a rate changed."""
        self._wake.set()

    def job(self, job: JobId) -> tuple[Job, Live | None] | None:
        """Return an open job and how far it is; None when it has ended or never was."""
        found = self._jobs.get(job)
        if found is None:
            return None
        why = self._placer.why(job)
        return structs.replace(found, reason=why) if why and found.state == "queued" else found, self._live.get(job)

    # What users ask for

    async def submit(
        self, request: JobRequest, *, idempotency_key: str | None, rerun_of: JobId | None = None
    ) -> JobAccepted:
        """Store a job and return; it is placed as soon as a device can take it.

        Raises:
            BadInput: no such kind, or the kind refuses the spec.
            NotFound: it is to run on a device that is not paired with this one.
            PeerRefused: it is to run on a device that does not allow it.
        """
        prepared = await self._prepared(request, rerun_of)
        chosen = self._placer.choose(prepared.job)
        try:
            async with self.files.holding(prepared.inputs) as holding:
                accepted = await self._streams.write(
                    lambda transaction: self._insert(transaction, prepared, idempotency_key, chosen)
                )
                holding.is_taken = accepted.id == prepared.job.id
        finally:
            if chosen is not None:
                self._placer.stored(chosen)
        return accepted

    async def submit_batch(self, requests: Sequence[JobRequest]) -> list[JobAccepted]:
        """Store jobs, all or none; each is placed as soon as a device can take it. Raises as `submit`."""
        prepared = [await self._prepared(request, None) for request in requests]

        def insert(transaction: Transaction) -> list[JobAccepted]:
            return [self._insert(transaction, each, None, None) for each in prepared]

        async with self.files.holding([file for each in prepared for file in each.inputs]) as holding:
            accepted = await self._streams.write(insert)
            holding.is_taken = True
        return accepted

    async def _prepared(self, request: JobRequest, rerun_of: JobId | None) -> Prepared:
        # A spec of a few words is checked sooner than a thread has begun.
        here = self._kinds.get(request.kind) if is_small(request.spec) else None
        kind = here or await asyncio.to_thread(self._find_kind, request.kind)
        self._kinds[request.kind] = kind
        prepared = await (asyncio.to_thread if here is None else at_once)(
            prepare,
            request,
            kind,
            job=job_id(self._token(8)),
            now=self._clock.wall(),
            offload_timeout_s=self._offload_timeout_s,
            rerun_of=rerun_of,
        )
        if request.placement not in POLICIES:
            self._check_placement(request)
        return prepared

    def _check_placement(self, request: JobRequest) -> None:
        """Raise `NotFound` where there is no such device, and `PeerRefused` where it does not allow such jobs."""
        placed = self._roster.find(request.placement)
        if placed is None:
            names = ", ".join(sorted(device.name for device in self._roster.snapshot({}).devices))
            raise NotFound(f"no device is called {request.placement!r}", hint=f"auto, local, gpu, or one of: {names}")
        if self._roster.forbids(placed, request.kind):
            name, own = self._names(placed), shlex.quote(self._names(self._device))
            raise PeerRefused(
                f"{name} does not let this device run {request.kind} jobs",
                hint=f"on {name}: meshd allow {own} {request.kind}",
            )

    def _insert(
        self,
        transaction: Transaction,
        prepared: Prepared,
        idempotency_key: str | None,
        chosen: Chosen | None,
    ) -> JobAccepted:
        connection, job = transaction.connection, prepared.job
        if idempotency_key is not None:
            known = rows.id_of_key(connection, idempotency_key)
            found = None if known is None else rows.rows(connection, known)
            if found is not None:
                return JobAccepted(id=found[0]["id"], state=found[0]["state"])
        spec, resolved = prepared.documents
        after = Step(job)
        if chosen is not None and self._placer.has_room(transaction, chosen.device):
            placed = lifecycle.Placed(chosen.device, chosen.why)
            after = lifecycle.step(job, placed, transaction.now, self._traits(job))
        rows.insert(
            connection,
            {**job_values(after.job), "spec": spec, "resolved": resolved, "idempotency_key": idempotency_key},
        )
        for attempt in after.job.attempts:
            rows.put_attempt(connection, attempt_values(job.id, attempt))
        story = ((None, "queued", "submitted"), *after.story)
        rows.add_transitions(connection, job.id, transaction.now, story)
        self.files.enter(transaction, job.id, prepared.inputs)
        self._follow(transaction, Change(after.job, after.effects, resolved))
        return JobAccepted(id=job.id, state=after.job.state)

    async def cancel(self, job: JobId, *, reason: str) -> None:
        """End a job; one that has ended stays as it is."""
        await self._happen(job, lifecycle.CancelAsked(reason))

    # What this device's own executor reports: see `executor.Owner`

    async def starting(self, key: AttemptKey) -> Sequence[PackedPartial] | None:
        """Return the checkpoint to go on from, or None when the attempt is no longer wanted."""
        if not self._is_wanted(key):
            return None
        started = lifecycle.Started(key.number, self._boot)
        if self._may_run_twice(key.job):
            self._news.note(key.job, started)
        else:
            # On disk before it runs: after a crash in between, what has effects must not run a second time.
            await self._streams.insist(lambda transaction: self._happen_in(transaction, key.job, started))
        attempt = self._attempt_of(key.job, key.number)
        if attempt is not None and attempt.span is not None:
            return ()
        partials = await self.resumption.read(key.job)
        return partials if self._is_wanted(key) else None

    def _is_wanted(self, key: AttemptKey) -> bool:
        attempt = self._attempt_of(key.job, key.number)
        return attempt is not None and attempt.is_open

    def started(self, key: AttemptKey) -> None:
        """Do nothing: that the attempt runs was noted before."""

    def progressed(self, key: AttemptKey, report: ProgressReport) -> None:
        """Note how far the attempt is."""
        self._progress(key.job, key.number, Live(report.share, report.best, report.eta_s))

    def kept(self, key: AttemptKey, partial: PackedPartial) -> None:
        """Take a checkpoint of the attempt."""
        self.resumption.keep(key, partial)

    def returned(self, key: AttemptKey, reason: str) -> None:
        """Place the attempt's job anew: it does not start here."""
        declined = lifecycle.Declined(key.number, f"{self._names(self._device)} is {reason}")
        self._tasks.start(
            f"hand back {key.job}/{key.number}",
            self._streams.insist(lambda transaction: self._happen_in(transaction, key.job, declined)),
        )

    def shrunk(self, key: AttemptKey, part: Part | None) -> None:
        """Take the units that the attempt gave back."""
        self.spread.given_back(key.job, key.number, part)

    def waiting(self, key: AttemptKey, phase: int, units: int, missing: Sequence[tuple[int, int]]) -> None:
        """Give the attempt what it waits for, if it is there."""
        self.spread.waiting(key.job, key.number, phase, units, missing)

    async def ended(self, key: AttemptKey, outcome: Outcome) -> None:
        """Note how the attempt ended."""
        # What it kept last may be on its way to the disk still; of a part, that is all that there is.
        await self.resumption.settled(key)
        event: JobEvent
        result = b""
        files: Sequence[wire.FileRef] = ()
        versions: Mapping[str, str] = {}
        match outcome:
            case Succeeded(result, files=files, versions=versions):
                event = lifecycle.Succeeded(key.number)
            case Failed("lost" | "bad_checkpoint" as kind, message, files=files):
                event = lifecycle.Lost(key.number, _in_words(kind, message))
            case Failed(kind, message, detail, code, files=files, versions=versions):
                event = lifecycle.Failed(key.number, Failure(kind, message, detail, code))
            case Cancelled():
                event = lifecycle.Stopped(key.number, "stopped on this device")
        anew = isinstance(outcome, Failed) and outcome.error_kind == BAD_CHECKPOINT

        def end(transaction: Transaction) -> None:
            self._happen_in(transaction, key.job, event, result=result, anew=anew)
            self.files.left(transaction, key.job, key.number, files)
            record(transaction, key.job, key.number, self._names(self._device), versions)

        await self._streams.insist(end)

    # What peers report

    def declined(self, transaction: Transaction, peer: DeviceId, message: wire.Declined) -> None:
        """Take a peer's refusal of an offer."""
        reason = f"{self._names(peer)} declined: {message.reason}"
        event = lifecycle.Declined(AttemptNumber(message.attempt), reason)
        self._happen_in(transaction, JobId(message.job), event, sender=peer, attempt=message.attempt)

    def finished(self, transaction: Transaction, peer: DeviceId, message: wire.Finished) -> None:
        """Take the end of an attempt from the peer that ran it."""
        number = AttemptNumber(message.attempt)
        files, versions = read_refs(message.files), read_versions(message.versions)
        event: JobEvent
        match message.state:
            case "succeeded" if result_among(files):
                # The job is completed when it is here.
                self.files.told(transaction, peer, JobId(message.job), number, files, versions)
                transaction.after(lambda: self._leases.done(JobId(message.job), number))
                return
            case "succeeded":
                codec.decode_document(message.result)
                event = lifecycle.Succeeded(number)
            case "failed" if message.error_kind in {lifecycle.LOST, BAD_CHECKPOINT, REFUSED}:
                event = lifecycle.Lost(number, f"{self._names(peer)}: {_in_words(message.error_kind, message.error)}")
            case "failed" if self._may_be_the_device(JobId(message.job), number, message.error_kind):
                event = lifecycle.Lost(number, f"it failed on {self._names(peer)}: {message.error}")
            case "failed":
                failure = Failure(message.error_kind, message.error, message.detail, message.exit_code)
                event = lifecycle.Failed(number, failure)
            case "cancelled":
                event = lifecycle.Stopped(number, f"{self._names(peer)}: {message.error}")
        self._happen_in(
            transaction,
            JobId(message.job),
            event,
            sender=peer,
            attempt=message.attempt,
            result=message.result,
            anew=message.error_kind == BAD_CHECKPOINT,
        )
        self.files.told(transaction, peer, JobId(message.job), number, files, versions)
        record(transaction, JobId(message.job), number, self._names(peer), versions)

    def _result_came(self, transaction: Transaction, came: Coming, result: bytes | None, why: str) -> None:
        """Complete a job whose result was too long to be told, or note `why` it did not come."""
        event: JobEvent = lifecycle.Lost(came.attempt, f"{self._names(came.peer)}: {why}")
        if result is not None:
            event = lifecycle.Succeeded(came.attempt)
        self._happen_in(transaction, came.job, event, sender=came.peer, attempt=came.attempt, result=result or b"")
        record(transaction, came.job, came.attempt, self._names(came.peer), came.versions)

    def holding(self, peer: DeviceId, message: wire.Holding) -> None:
        """Answer what a peer holds, and take what that tells about its attempts."""
        answer, happened = self._leases.holding(peer, message)
        # A lease says no more than that it may run, which was on disk before it was offered.
        news = {job for job, event in happened if isinstance(event, NewsEvent) and self._may_run_twice(job)}
        for job, event in happened:
            if job in news and isinstance(event, NewsEvent):
                self._news.note(job, event)
        happened = [(job, event) for job, event in happened if not (job in news and isinstance(event, NewsEvent))]
        if happened:
            self._tasks.start(f"answer {peer}", self._answer(peer, answer, happened))
        else:
            self._streams.tell(peer, answer, key=f"renewed {answer.number}")

    async def _answer(self, peer: DeviceId, answer: wire.Renewed, happened: Sequence[Happening]) -> None:
        """Answer once it is on disk what the peer holds: no attempt runs of which this device might not know."""

        def take(transaction: Transaction) -> None:
            # Unpaired meanwhile, it does nothing for this device any more.
            for job, event in happened if transaction.is_paired(peer) else ():
                self._happen_in(transaction, job, event)

        try:
            await self._streams.write(take)
        except Degraded as error:
            log.warning("what a peer holds was not kept: %s", error.message, extra={"peer": peer})
            unkept = {
                (job, event.attempt)
                for job, event in happened
                if isinstance(event, lifecycle.Accepted | lifecycle.Started)
            }
            renewed = [line for line in answer.renewed if (line.job, line.attempt) not in unkept]
            answer = wire.Renewed(number=answer.number, renewed=renewed, superseded=answer.superseded)
        self._streams.tell(peer, answer, key=f"renewed {answer.number}")

    def progress(self, peer: DeviceId, message: wire.Progress) -> None:
        """Take how far a peer is with an attempt."""
        number = self._leases.progress(peer, message)
        if number is not None:
            self._progress(JobId(message.job), number, Live(message.share, message.best, message.eta_s))

    def opened(self, peer: DeviceId) -> None:
        """Note that a session is open: jobs may go there, and files come."""
        self.files.opened(peer)
        self._wake.set()

    def closed(self, peer: DeviceId) -> None:
        """Note that a session is over: its deterministic attempts run elsewhere soon, the others wait."""
        self._leases.closed(peer)
        self._wake.set()

    def forget(self, peer: DeviceId) -> None:
        """Take back every attempt from a device that is no longer paired."""
        self.files.forget(peer)
        self._all_soon(self._leases.forget(peer))

    def _place_part(self, job: JobId, event: lifecycle.PartPlaced, part: Part) -> None:
        def place(transaction: Transaction) -> None:
            self._happen_in(transaction, job, event, part=part)

        self._tasks.start(f"part of {job}", self._streams.write(place))

    def _runs(self, device: DeviceId, job: JobId) -> bool:
        known = self._jobs.get(job)
        return known is not None and any(attempt.device == device for attempt in known.open_attempts)

    def _others_wait(self, job: Job) -> bool:
        return self._placer.has_waiting

    # Events

    async def _store_news(self, jobs: Sequence[JobId]) -> None:
        def store(transaction: Transaction) -> None:
            for job in jobs:
                for event in self._news_of(transaction, job):
                    self._happen_in(transaction, job, event)

        # Until it is on disk nobody is told, and what comes next brings it again, or makes it old.
        with contextlib.suppress(Degraded):
            await self._streams.write(store)

    def _news_of(self, transaction: Transaction, job: JobId) -> Sequence[NewsEvent]:
        """Return what has waited to happen to a job, but for news of devices that were unpaired meanwhile."""
        return [
            event
            for event in self._news.take(job)
            if (attempt := self._attempt_of(job, event.attempt)) is not None
            and (attempt.device == self._device or transaction.is_paired(attempt.device))
        ]

    def _may_run_twice(self, job: JobId) -> bool:
        known = self._jobs.get(job)
        traits = None if known is None else self._traits(known)
        return traits is not None and (traits.deterministic or traits.retry_safe)

    async def _happen(self, job: JobId, event: JobEvent) -> None:
        await self._streams.write(lambda transaction: self._happen_in(transaction, job, event))

    def _soon(self, job: JobId, event: JobEvent) -> None:
        self._tasks.start(f"{type(event).__name__} {job}", self._happen(job, event))

    def _all_soon(self, happened: Iterable[Happening]) -> None:
        for job, event in happened:
            self._soon(job, event)

    def _happen_in(
        self,
        transaction: Transaction,
        job: JobId,
        event: JobEvent,
        *,
        sender: DeviceId | None = None,
        attempt: int | None = None,
        result: bytes = b"",
        anew: bool = False,
        part: Part | None = None,
    ) -> None:
        change = happen(
            transaction,
            job,
            event,
            traits=self._traits,
            sender=sender,
            attempt=attempt,
            result=result,
            earlier=lambda of: self._news_of(transaction, of),
        )
        if change is None:
            return
        if anew or change.job.has_ended:
            self.resumption.drop(transaction, job)
        self._follow(transaction, change, part)

    def _follow(self, transaction: Transaction, change: Change, part: Part | None = None) -> None:
        """Do what follows from a change of a job."""
        for effect in change.effects:
            match effect:
                case lifecycle.Offer(tried):
                    self._offer(transaction, change, tried, part)
                case lifecycle.Withdraw(tried, reason):
                    self._withdraw(transaction, change.job, tried, reason)
                case lifecycle.Keep():
                    pass
        transaction.after(lambda: self._track(change.job))

    def _offer(self, transaction: Transaction, change: Change, attempt: Attempt, part: Part | None) -> None:
        job = change.job
        if part is not None:
            transaction.after(lambda: self.spread.placed(job.id, attempt, part))
        if attempt.device == self._device:
            assignment = Assignment(
                AttemptKey(self._device, job.id, attempt.number),
                self._find_kind(job.kind),
                codec.decode_document(change.resolved),
                job.cost if part is None else cost_of(part, job.cost),
                job.priority,
                job.timeout_s,
                part,
            )
            transaction.after(lambda: self._executor.take(assignment, self, may_start=True))
            return
        transaction.post(
            attempt.device,
            wire.Offer(
                job=job.id,
                attempt=attempt.number,
                kind=job.kind,
                name=job.name,
                resolved=change.resolved,
                priority=job.priority,
                timeout_s=job.timeout_s,
                partials=()
                if part is not None
                else tuple(ref for _, ref in partials.of_job(transaction.connection, job.id)),
                part=None if part is None else to_wire(part),
            ),
        )

    def _withdraw(self, transaction: Transaction, job: Job, attempt: Attempt, reason: str) -> None:
        if attempt.device == self._device:
            key = AttemptKey(self._device, job.id, attempt.number)
            transaction.after(lambda: self._executor.stop(key))
        elif transaction.is_paired(attempt.device):
            transaction.post(attempt.device, wire.Cancel(job=job.id, attempt=attempt.number, reason=reason))

    def _traits(self, job: Job) -> Traits:
        try:
            found = self._find_kind(job.kind)
        except BadInput:
            # A kind that was installed when the job was submitted, and no longer is.
            return Traits(deterministic=False, retry_safe=job.retry_safe)
        return Traits(found.deterministic, job.retry_safe)

    def _may_be_the_device(self, job: JobId, number: AttemptNumber, error_kind: str) -> bool:
        """Return whether what failed on a peer should be tried elsewhere: once, where that does no harm."""
        known = self._jobs.get(job)
        if known is None or error_kind not in DEVICES_DOING or not self._traits(known).deterministic:
            return False
        return not any(other.state == "lost" and other.number != number for other in known.attempts)

    def _needs(self, kind: str) -> Needs:
        try:
            return needs_of(self._find_kind(kind))
        except BadInput:
            return Needs()

    # The jobs in memory

    def _attempt_of(self, job: JobId, number: int) -> Attempt | None:
        known = self._jobs.get(job)
        return None if known is None else known.attempt(number)

    def _track(self, job: Job) -> None:
        """Take the state of a job that is on disk now, and tell whoever watches."""
        previous = self._jobs.get(job.id)
        self.files.tracked(job)
        self._placer.tracked(job, previous)
        if job.has_ended:
            self._jobs.pop(job.id, None)
            for forgotten in (self._live, self._stored):
                forgotten.pop(job.id, None)
            self.spread.forget(job.id)
        else:
            self._jobs[job.id] = job
        if job.spread and job.whole is not None:
            self._spreading.add(job.id)
        else:
            self._spreading.discard(job.id)
        self._leases.track(
            job,
            [attempt for attempt in job.open_attempts if attempt.device != self._device],
            deterministic=self._traits(job).deterministic,
        )
        # What came between the placing of a part and now may have covered it.
        self.spread.covered(job.id)
        if not job.open_attempts:
            self.spread.forget(job.id)
            self._live.pop(job.id, None)
        self._publish(job)
        self._wake.set()

    def _publish(self, job: Job) -> None:
        if not self._bus.has_readers:
            return
        now = self._clock.wall()
        self._bus.publish(job_view(job, names=self._names, now=now, live=self._live.get(job.id)))

    def _progress(self, job_key: JobId, number: AttemptNumber, live: Live) -> None:
        job = self._jobs.get(job_key)
        attempt = None if job is None else job.attempt(number)
        if job is None or attempt is None or not attempt.is_open:
            return
        live = self.spread.progressed(job, number, live)
        known = self._live.get(job_key)
        live = live if known is None or known.share <= live.share else replace(live, share=known.share)
        self._live[job_key] = live
        self._publish(job)
        now = self._clock.boot()
        share, at = self._stored.get(job_key, (0.0, now))
        if live.share - share >= STORE_PROGRESS_SHARE or now - at >= STORE_PROGRESS_S:
            self._stored[job_key] = (live.share, now)
            self._tasks.start(f"progress {job_key}", self._store_progress(job_key, number, live))
        self._stored.setdefault(job_key, (share, at))

    async def _store_progress(self, job: JobId, number: AttemptNumber, live: Live) -> None:
        def store(transaction: Transaction) -> None:
            rows.store_progress(transaction.connection, job, number, live.share, live.best)

        # It is news: the next report brings it again.
        with contextlib.suppress(Degraded):
            await self._streams.write(store)
        known = self._jobs.get(job)
        if known is not None:
            attempts = tuple(
                structs.replace(attempt, progress=live.share) if attempt.number == number else attempt
                for attempt in known.attempts
            )
            self._jobs[job] = structs.replace(known, progress=live.share, best=live.best, attempts=attempts)

    # Placement

    def _note_waiting(self, job: Job, why: str) -> None:
        known = self._jobs.get(job.id)
        if known is not None and known.state == "queued" and known.reason != why:
            # Not worth a write: it is true only until something moves.
            self._jobs[job.id] = structs.replace(known, reason=why)
            self._publish(self._jobs[job.id])

    def _until_next(self, look_at: float | None) -> float | None:
        due = [at for at in (self._placer.next_at(), self._leases.next_check_at(), look_at) if at is not None]
        return None if not due else max(0.001, min(due) - self._clock.boot())


def _in_words(kind: str, message: str) -> str:
    return f"its checkpoint could not be used, so it begins anew: {message}" if kind == BAD_CHECKPOINT else message
