"""Level A's executor: attempts that wait for a lease and a slot, run, hand over checkpoints, and end."""

import json
from typing import TYPE_CHECKING

from meshd.execution.outcome import Failed
from meshd.kinds.base import PackedPartial
from meshd_protocol.ids import AttemptNumber, JobId
from meshd_protocol.machines import lease
from meshd_protocol.messages import jobs as wire
from tests.simulation.core_disk import Effects, Held, Holding, Key, Task
from tests.simulation.core_origin import TRAITS
from tests.simulation.timetable import Timetable, divided

if TYPE_CHECKING:
    from tests.simulation.core_device import CoreDevice

FETCH_AGAIN_S = 1.0


class CoreExecutor:
    """What one life of a device runs, for itself and for its peers."""

    def __init__(self, device: "CoreDevice") -> None:
        self._device = device
        self._world = device.world
        self._name = device.name
        self.holdings: dict[Key, Holding] = {}
        self.finished: dict[Key, None] = {}
        self._number = 0
        self._forgotten: dict[str, int] = {}
        """How often each device was unpaired in this life: see `Holdings._boots`."""

    def load(self, effects: Effects) -> None:
        """Decline what had not begun, and forget what died with the daemon."""
        held = self._device.disk.held
        for key, row in list(held.items()):
            if row.state == "waiting":
                message = wire.Declined(job=key[1], attempt=key[2], code="restarted", reason="restarted")
                row.finished_seq = self._device.streams.post(key[0], message, effects)
                row.state = "finished"
            elif row.state == "running":
                del held[key]
        self.finished = {key: None for key, row in held.items() if row.state == "finished"}

    # What origins say

    def offered(self, origin: str, offer: wire.Offer, effects: Effects) -> None:
        """Take an offer."""
        key = (origin, JobId(offer.job), AttemptNumber(offer.attempt))
        if key in self._device.disk.held:
            return
        units, seed = map(int, offer.resolved.split())
        self._device.disk.held[key] = Held(offer.kind, "waiting", self._device.boot_id)
        task = Task(offer.timeout_s, units, seed)
        holding = Holding(
            offer.kind, task, lease.Waiting(), may_start=False, refs=offer.partials, is_here=not offer.partials
        )
        effects.append(lambda: self.hold(key, holding))

    def cancelled(self, key: Key, effects: Effects) -> None:
        """Let go of an attempt whose origin wants no more of it."""
        self._remove_row(key)
        effects.append(lambda: self._let_go(key))

    def renewed(self, origin: str, answer: wire.Renewed, asked_at: float) -> None:
        """Take the origin's answer to what this device holds."""
        self._world.monitor.renewed(self._name, origin, [(line.job, line.attempt) for line in answer.renewed])
        for line in answer.renewed:
            if origin in self._device.streams.talks:
                self._lease((origin, JobId(line.job), AttemptNumber(line.attempt)), lease.Renewed(asked_at))
        for line in answer.superseded:
            self._lease((origin, JobId(line.job), AttemptNumber(line.attempt)), lease.Superseded())

    def closed(self, peer: str) -> None:
        """Note that the session with a peer is over."""
        for key, holding in list(self.holdings.items()):
            if key[0] == peer:
                holding.may_start = False
                self._lease(key, lease.Disconnected())

    def forget(self, peer: str) -> None:
        """Stop everything of a device that is no longer paired."""
        for key in [key for key in self.holdings if key[0] == peer]:
            self._let_go(key)
        for key in [key for key in self.finished if key[0] == peer]:
            del self.finished[key]
        self._forgotten[peer] = self._forgotten.get(peer, 0) + 1

    def tell(self, origin: str) -> None:
        """Tell a peer which of its attempts are held here."""
        talk = self._device.streams.talks.get(origin)
        if talk is None:
            return
        lines = [
            wire.HeldAttempt(job=key[1], attempt=key[2], state="running" if holding.running else "waiting")
            for key, holding in self.holdings.items()
            if key[0] == origin and holding.lease is not None
        ]
        lines += [
            wire.HeldAttempt(job=key[1], attempt=key[2], state="finished") for key in self.finished if key[0] == origin
        ]
        self._number += 1
        talk.asked[self._number] = self._device.boot()
        boot = f"{self._device.boot_id}{self._forgotten.get(origin, '')}"
        message = wire.Holding(boot=boot, number=self._number, attempts=lines)
        self._device.streams.send(origin, ("holding", message))

    def announce(self, origin: str) -> None:
        """Tell a peer, whose session has opened, what is held for it, and how far that is."""
        self.tell(origin)
        for key, holding in self.holdings.items():
            if key[0] == origin:
                for ref in holding.newest.values():
                    self._tell_kept(key, ref)

    def beat(self) -> None:
        """Renew leases, and tell how far attempts are."""
        for origin in dict.fromkeys(key[0] for key, holding in self.holdings.items() if holding.lease is not None):
            self.tell(origin)
            for key, holding in self.holdings.items():
                if key[0] == origin and holding.running and not holding.hangs and not holding.stopped:
                    share = min(1.0, (self._world.now - holding.began_at) / (holding.task.seconds + 1.0))
                    progress = wire.Progress(job=key[1], attempt=key[2], share=share)
                    self._device.streams.send(origin, ("progress", progress))
        for key in list(self.holdings):
            self._lease(key, lease.Tick())

    # Leases

    def _lease(self, key: Key, event: lease.ExecutorEvent) -> None:
        holding = self.holdings.get(key)
        if holding is None or holding.lease is None:
            return
        device = self._device
        holding.lease, effects = lease.executor_step(holding.lease, event, device.boot())
        if isinstance(holding.lease, lease.Held) and isinstance(event, lease.Renewed):
            lapses_in = max(0.0, (holding.lease.until - device.boot()) / device.rate) + 0.001
            self._world.later(device, lapses_in, self._lapse, key)
        for effect in effects:
            match effect:
                case lease.Permit():
                    if not holding.may_start:
                        holding.may_start = True
                        self._dispatch()
                case lease.GiveUp():
                    holding.may_start = False
                    traits = TRAITS[holding.kind]
                    if traits.retry_safe and not traits.deterministic:
                        self._abandon(key)
                case lease.Kill():
                    self._abandon(key)

    def _lapse(self, key: Key) -> None:
        self._lease(key, lease.Tick())

    def _abandon(self, key: Key) -> None:
        self._let_go(key)
        self._device.insist(lambda _: self._remove_row(key), lambda: None)

    def _let_go(self, key: Key) -> None:
        holding = self.holdings.get(key)
        if holding is not None:
            holding.lease = lease.Over()
        self.stop(key)

    def _remove_row(self, key: Key) -> None:
        held = self._device.disk.held.get(key)
        if held is not None and held.state != "finished":
            del self._device.disk.held[key]

    # From the offer to the start

    def hold(self, key: Key, holding: Holding) -> None:
        """Take an attempt; it starts when it may and a slot is free."""
        self.holdings[key] = holding
        if holding.lease is not None:
            self.tell(key[0])
        if holding.is_here:
            self._dispatch()
        else:
            self._fetch(key)

    def _fetch(self, key: Key) -> None:
        """Try to get what an attempt is to go on from, until it is here."""
        holding = self.holdings.get(key)
        if holding is None:
            return
        world, origin = self._world, self._world.devices[key[0]]
        gets_it = world.healed or world.rng.random() >= world.options.fetch_troubles * 0.3
        blobs = origin.disk.blobs
        is_reached = key[0] in self._device.streams.talks and origin.is_awake and gets_it
        if is_reached and all(ref.digest in blobs for ref in holding.refs):
            holding.given = [
                PackedPartial(ref.phase, ref.units, ref.start, ref.stop, blobs[ref.digest]) for ref in holding.refs
            ]
            holding.is_here = True
            world.later(self._device, world.rng.uniform(0.005, 0.5), self._dispatch)
            return
        world.later(self._device, FETCH_AGAIN_S, self._fetch, key)

    def _dispatch(self) -> None:
        running = sum(holding.running for holding in self.holdings.values())
        for key, holding in list(self.holdings.items()):
            if running >= self._world.options.slots:
                return
            if holding.may_start and holding.is_here and not holding.running:
                holding.running = True
                running += 1
                if holding.lease is not None:
                    self._world.monitor.starting(self._name, key)
                self._device.insist(
                    lambda effects, key=key: self._mark_running(key, effects), lambda key=key: self._begin(key)
                )

    def _mark_running(self, key: Key, effects: Effects) -> None:
        if key[0] == self._name:
            self._device.origin.started(key, effects)
        elif (held := self._device.disk.held.get(key)) is not None and held.state == "waiting":
            held.state = "running"

    def _begin(self, key: Key) -> None:
        holding = self.holdings.get(key)
        if holding is None:
            return
        wanted = not holding.stopped and (
            self._device.origin.is_open(key)
            if holding.lease is None
            else key in self._device.disk.held and holding.lease != lease.Over()
        )
        if not wanted:
            self.holdings.pop(key, None)
            self._dispatch()
            return
        world = self._world
        holding.began_at = world.now
        world.monitor.began(self._name, key)
        world.monitor.checkpoints.began(
            self._name, key[1], key[2], [(part.phase, part.start, part.stop) for part in holding.given]
        )
        self._run(key, holding)
        if holding.lease is not None:
            self.tell(key[0])

    # Running

    def _run(self, key: Key, holding: Holding) -> None:
        world, options = self._world, self._world.options
        seconds = holding.task.seconds * world.rng.uniform(0.8, 1.2) / self._device.speed
        how, answer, timetable = "Succeeded", None, None
        if holding.task.units:
            timetable = self._timetable(key, holding, seconds)
            seconds = timetable.seconds
            answer = timetable.answer
            if isinstance(timetable.outcome, Failed):
                how = "BadCheckpoint"
        if not world.healed:
            luck = world.rng.random()
            if luck < options.failures * 0.25:
                how, seconds = "Failed", seconds * world.rng.random()
            elif luck < options.failures * 0.25 + options.lost_workers * 0.3:
                how, seconds = "Lost", seconds * world.rng.random()
            elif world.rng.random() < options.hangs * 0.25:
                holding.hangs = True
                how, seconds = "Failed", 110.0
        if timetable is not None and not holding.hangs:
            for at, moment in timetable.moments:
                if isinstance(moment, PackedPartial) and at <= seconds:
                    world.later(self._device, at, self._keep, key, moment)
        world.later(self._device, seconds, self._end, key, how, answer)

    def _timetable(self, key: Key, holding: Holding, seconds: float) -> Timetable:
        world, task = self._world, holding.task
        is_of_another_version = not world.healed and world.rng.random() < world.options.bad_checkpoints * 0.4
        resolved = {"units": task.units, "seed": task.seed, "large": False}
        unit_s = seconds / (task.units + 5)
        return divided(key[1], key[2], resolved, unit_s, holding.given, is_of_another_version=is_of_another_version)

    def _keep(self, key: Key, partial: PackedPartial) -> None:
        holding = self.holdings.get(key)
        if holding is None or holding.stopped:
            return
        _, job, number = key
        ref = wire.PartialRef(
            phase=partial.phase,
            units=partial.units,
            start=partial.start,
            stop=partial.stop,
            digest=f"{job} {number} {partial.phase} {partial.start} {partial.stop}",
            size=len(partial.data),
        )
        if key[0] == self._name:
            self._device.origin.cover(key, ref, partial.data)
            return
        holding.kept[ref.digest] = partial.data
        holding.newest[ref.phase, ref.start] = ref
        self._tell_kept(key, ref)

    def _tell_kept(self, key: Key, ref: wire.PartialRef) -> None:
        self._device.streams.send(key[0], ("kept", wire.Kept(job=key[1], attempt=key[2], partial=ref)))

    def blob_of(self, key: Key, digest: str) -> bytes | None:
        """Return a checkpoint of an attempt, if it is still here."""
        holding = self.holdings.get(key)
        return None if holding is None else holding.kept.get(digest)

    def stop(self, key: Key) -> None:
        """Stop an attempt."""
        holding = self.holdings.get(key)
        if holding is None:
            return
        if not holding.running:
            del self.holdings[key]
            self._dispatch()
        elif not holding.stopped:
            holding.stopped = True
            self._world.monitor.told_to_stop(self._name, key)
            self._world.later(self._device, self._world.rng.uniform(0.0, 1.6), self._end, key, "Cancelled", None)

    def _end(self, key: Key, how: str, answer: object) -> None:
        holding = self.holdings.get(key)
        if holding is None or (holding.stopped and how != "Cancelled"):
            return
        holding.stopped = True
        self._world.monitor.gone(self._name, key, how)
        self._device.insist(lambda effects: self._finish(key, how, answer, effects), lambda: self._ended(key))

    def _ended(self, key: Key) -> None:
        self.holdings.pop(key, None)
        self._dispatch()
        self._device.origin.wake()

    def _finish(self, key: Key, how: str, answer: object, effects: Effects) -> None:
        origin, job, number = key
        if origin == self._name:
            self._device.origin.finished(key, how, effects, answer=answer)
            return
        held = self._device.disk.held.get(key)
        if held is None or held.state != "running":
            return
        kinds = {"Lost": "lost", "BadCheckpoint": "bad_checkpoint"}
        message = wire.Finished(
            job=job,
            attempt=number,
            state="succeeded" if how == "Succeeded" else "cancelled" if how == "Cancelled" else "failed",
            duration_s=1.0,
            result=json.dumps(answer).encode(),
            error_kind=kinds.get(how, "crashed"),
        )
        held.finished_seq = self._device.streams.post(origin, message, effects)
        held.state = "finished"
        effects.append(lambda: self.finished.__setitem__(key, None))
