"""This device as an origin: its own jobs, from their submission to their one end."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import structs

from meshd.clock import Clock
from meshd.errors import BadInput, Degraded
from meshd.events import Bus
from meshd.execution.outcome import Cancelled, Failed, Outcome, ProgressReport, Succeeded
from meshd.jobs import lifecycle
from meshd.jobs.beginnings import Beginnings
from meshd.jobs.checkpoints import Checkpoints
from meshd.jobs.ends import REFUSED
from meshd.jobs.executor import AttemptKey, Executor, KindFinder
from meshd.jobs.file_refs import read_refs
from meshd.jobs.files import Coming, Files
from meshd.jobs.handover import Handover
from meshd.jobs.leases import Happening, Leases
from meshd.jobs.ledger import SMALL_BYTES, Change, Ledger
from meshd.jobs.lifecycle import JobEvent, Step
from meshd.jobs.manifest import Ending, read_versions
from meshd.jobs.model import Attempt, Failure, Job, Traits, job_from_rows
from meshd.jobs.news import News, NewsEvent
from meshd.jobs.offers import offer_of
from meshd.jobs.outputs import Outputs
from meshd.jobs.pins import Pins
from meshd.jobs.placer import Chosen, Placer, Roster
from meshd.jobs.progress import Progress
from meshd.jobs.results import result_among
from meshd.jobs.resumption import Exchange, Resumption
from meshd.jobs.spread import Spread
from meshd.jobs.submission import Prepared, at_once, check_placement, is_small, prepare
from meshd.jobs.tails import Tails
from meshd.jobs.views import Live, Names, job_view
from meshd.kinds.base import Kind, PackedPartial, Part
from meshd.kinds.needs import Needs, needs_of
from meshd.net.streams import INSIST_S, Streams, Transaction
from meshd.scheduling.work import POLICIES
from meshd.store import jobs as rows
from meshd.tasks import TaskSet
from meshd_protocol import codec
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId, job_id
from meshd_protocol.localapi import JobAccepted, JobRequest, JobView
from meshd_protocol.messages import jobs as wire

log = logging.getLogger(__name__)

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
        self._told: dict[JobId, Job] = {}
        """As they were last told: of those that have gone on, and are not on disk as they are now."""

        self._spreading: set[JobId] = set()
        """Those that run, and could run on several devices."""

        self._leases = Leases(clock=clock, names=names)
        self._ledger = Ledger(traits=self._traits, earlier=self._news_of)
        self.resumption = Resumption(
            streams=streams,
            checkpoints=checkpoints,
            exchange=exchange,
            attempt_of=self._attempt_of,
            runs=self._runs,
            covered=self._grown,
            touch=self._touch,
        )
        self.files = Files(
            streams=streams, pins=pins, exchange=exchange, outputs=outputs, runs=self._runs, result=self._result_came
        )
        self.tails = Tails(streams=streams)
        self._wake = asyncio.Event()
        self._tasks = TaskSet()
        self._news = News(tasks=self._tasks, clock=clock, store=self._store_news)
        self._beginnings = Beginnings(
            device=device,
            ledger=self._ledger,
            news=self._news,
            executor=executor,
            owner=self,
            find_kind=find_kind,
            traits=self._traits,
            clock=clock,
            track=lambda job, told: self._track(job, told=told),
            enter=self._enter,
            leave=self._leave,
        )
        self._far = Progress(streams=streams, tasks=self._tasks, clock=clock, touch=self._touch, stored=self._stored)
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
            begin=self._beginnings.begin,
            waits=self._note_waiting,
            wake=self.wake,
        )
        self.spread = Spread(
            line=Handover(
                device=device,
                executor=executor,
                streams=streams,
                checkpoints=checkpoints,
                tasks=self._tasks,
                drop=self._forget_checkpoint,
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
        if self._jobs:
            self._wake.set()

    def job(self, job: JobId) -> tuple[Job, Live | None] | None:
        """Return an open job and how far it is; None when it has ended or never was."""
        found = self._told.get(job) or self._jobs.get(job)
        if found is None:
            return None
        why = self._placer.why(job)
        return structs.replace(found, reason=why) if why and found.state == "queued" else found, self._far.of(job)

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
            check_placement(request, self._roster, self._names, self._device)
        return prepared

    def _insert(
        self,
        transaction: Transaction,
        prepared: Prepared,
        idempotency_key: str | None,
        chosen: Chosen | None,
    ) -> JobAccepted:
        job = prepared.job
        if idempotency_key is not None:
            known = rows.id_of_key(transaction.connection, idempotency_key)
            found = None if known is None else rows.rows(transaction.connection, known)
            if found is not None:
                return JobAccepted(id=found[0]["id"], state=found[0]["state"])
        spec, resolved = prepared.documents
        after = Step(job)
        begins = chosen is not None and len(resolved) <= SMALL_BYTES and self._beginnings.may(job, chosen.device)
        if chosen is not None and not begins and self._placer.has_room(transaction, chosen.device):
            placed = lifecycle.Placed(chosen.device, chosen.why)
            after = lifecycle.step(job, placed, transaction.now, self._traits(job))
        change = self._ledger.enter(transaction, job, spec, resolved, key=idempotency_key, story=after)
        self.files.enter(transaction, job.id, prepared.inputs)
        if chosen is not None and begins:
            self._beginnings.begin_unstored(transaction, job, chosen.why, resolved)
        else:
            self._follow(transaction, change)
        return JobAccepted(id=job.id, state=after.job.state)

    async def _forget_checkpoint(self, job: JobId) -> None:
        await self._streams.insist(lambda transaction: self.resumption.drop(transaction, job))

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
        if self._beginnings.was_refused(key.job):
            return
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

        ending = self._ending(key.job, key.number, self._device, versions, files)

        def end(transaction: Transaction) -> None:
            self._happen_in(transaction, key.job, event, result=result, anew=anew, ending=ending)
            self.files.left(transaction, key.job, key.number, files)

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
            ending=self._ending(JobId(message.job), number, peer, versions, files),
        )
        self.files.told(transaction, peer, JobId(message.job), number, files, versions)

    def _ending(
        self,
        job: JobId,
        attempt: AttemptNumber,
        device: DeviceId,
        versions: Mapping[str, str],
        files: Sequence[wire.FileRef],
    ) -> Ending:
        return Ending(attempt, self._names(device), versions, files, self.files.has_inputs(job))

    def _result_came(self, transaction: Transaction, came: Coming, result: bytes | None, why: str) -> None:
        """Complete a job whose result was too long to be told, or note `why` it did not come."""
        event: JobEvent = lifecycle.Lost(came.attempt, f"{self._names(came.peer)}: {why}")
        if result is not None:
            event = lifecycle.Succeeded(came.attempt)
        ending = self._ending(came.job, came.attempt, came.peer, came.versions, came.files)
        result = result or b""
        self._happen_in(
            transaction, came.job, event, sender=came.peer, attempt=came.attempt, result=result, ending=ending
        )

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
            asked_in = self._streams.conversation(peer)
            self._tasks.start(f"answer {peer}", self._answer(peer, answer, happened, asked_in))
        else:
            self._streams.tell(peer, answer, key=f"renewed {answer.number}")

    async def _answer(
        self, peer: DeviceId, answer: wire.Renewed, happened: Sequence[Happening], asked_in: object
    ) -> None:
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
        if self._streams.conversation(peer) is asked_in:
            # Another session has numbers of its own, and asks anew.
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
            # Otherwise the whole attempt tells that it waits for these units, and gets them.
            if self._placer.has_room(transaction, event.device):
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
                self._happen_in(transaction, job, None)

        # Until it is on disk nobody is told, and what comes next brings it as well.
        try:
            await self._streams.write(store)
        except Degraded as error:
            log.warning("what has happened to jobs is not on disk: %s", error.message)
            await asyncio.sleep(INSIST_S)

    def _news_of(self, transaction: Transaction, job: JobId) -> Sequence[NewsEvent]:
        """Return what has waited to happen to a job, but for news of devices that were unpaired meanwhile."""
        waiting = self._news.of(job)
        if not waiting:
            return ()
        transaction.after(lambda: self._news.stored(job, waiting))
        return [
            event
            for event in waiting
            if isinstance(event, lifecycle.Placed)
            or (
                (attempt := self._attempt_of(job, event.attempt)) is not None
                and (attempt.device == self._device or transaction.is_paired(attempt.device))
            )
        ]

    def _grown(self, job: JobId) -> None:
        self.spread.grown(job)

    def _touch(self, transaction: Transaction, job: JobId) -> None:
        """Bring the rows of a job up to date, which are about to be changed past the ledger."""
        self._happen_in(transaction, job, None)
        self._ledger.touch(job)

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
        event: JobEvent | None,
        *,
        sender: DeviceId | None = None,
        attempt: int | None = None,
        result: bytes = b"",
        anew: bool = False,
        part: Part | None = None,
        ending: Ending | None = None,
    ) -> None:
        change = self._ledger.happen(
            transaction, job, event, sender=sender, attempt=attempt, result=result, ending=ending
        )
        if change is None:
            return
        if anew or change.job.has_ended:
            self.resumption.drop(transaction, job, is_over=change.job.has_ended)
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
        resolved = change.entry.resolved(transaction.connection)
        if attempt.device == self._device:
            assignment = self._beginnings.assignment(job, attempt.number, resolved, part)
            transaction.after(lambda: self._executor.take(assignment, self, may_start=True))
            return
        refs = () if part is not None else self.resumption.on_disk(transaction, job.id)
        transaction.post(attempt.device, offer_of(job, attempt.number, resolved, refs, part))

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

    def _enter(self, job: Job) -> None:
        """Tell of a new job that is on disk now; its first attempt may have begun, which is told later."""
        if job.id not in self._jobs:
            self._track(job)
        elif self._bus.is_heard(job.id):
            self._bus.publish(job_view(job, names=self._names, now=self._clock.wall()), job.id)

    def _leave(self, job: Job) -> None:
        """Forget a new job that the disk has refused: nobody has heard of it."""
        known = self._jobs.get(job.id)
        if known is not None:
            now = self._clock.wall()
            refused = lifecycle.CancelAsked("the disk has refused it")
            self._track(lifecycle.step(known, refused, now, self._traits(job)).job, told=job)
            self._told.pop(job.id, None)

    def _track(self, job: Job, *, told: Job | None = None) -> None:
        """Take the state of a job that is on disk now, and tell whoever watches.

        Or one that is to be told later: then as what it was `told` last, if nobody knows.
        """
        previous = self._jobs.get(job.id)
        if told is None:
            self._told.pop(job.id, None)
        else:
            self._told.setdefault(job.id, previous or told)
        self.files.tracked(job)
        self._placer.tracked(job, previous)
        if job.has_ended:
            self._jobs.pop(job.id, None)
            self._far.forget(job.id)
            self._news.forget(job.id)
            self.spread.forget(job.id)
        else:
            self._jobs[job.id] = job
        if job.spread and job.whole is not None:
            self._spreading.add(job.id)
        else:
            self._spreading.discard(job.id)
        open_now = job.open_attempts
        away = [attempt for attempt in open_now if attempt.device != self._device]
        self._leases.track(job, away, deterministic=bool(away) and self._traits(job).deterministic)
        if job.spread:
            # What came between the placing of a part and now may have covered it.
            self.spread.covered(job.id)
        if not open_now:
            self.spread.forget(job.id)
            self._far.reset(job.id)
        self._publish(job)
        self._wake.set()

    def _publish(self, job: Job) -> None:
        if not self._bus.is_heard(job.id) or job.id in self._told:
            return
        now = self._clock.wall()
        self._bus.publish(job_view(job, names=self._names, now=now, live=self._far.of(job.id)), job.id)

    def _progress(self, job_key: JobId, number: AttemptNumber, live: Live) -> None:
        job = self._jobs.get(job_key)
        attempt = None if job is None else job.attempt(number)
        if job is None or attempt is None or not attempt.is_open:
            return
        live = self.spread.progressed(job, number, live)
        self._far.note(job_key, number, live)
        self._publish(job)

    def _stored(self, job: JobId, number: AttemptNumber, live: Live) -> None:
        """Note that it is on disk how far a job is."""
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
