"""Level A's streams: durable messages over sessions that come and go."""

import json
from typing import TYPE_CHECKING

from meshd_protocol.errors import ProtocolError
from meshd_protocol.ids import AttemptNumber, JobId, StreamId
from meshd_protocol.machines import delivery
from meshd_protocol.messages import jobs as wire
from tests.simulation.core_disk import Durable, Effects, Talk
from tests.simulation.core_world import Session

if TYPE_CHECKING:
    from tests.simulation.core_device import CoreDevice


class CoreStreams:
    """What one life of a device says to others, and hears."""

    def __init__(self, device: "CoreDevice") -> None:
        self._device = device
        self._world = device.world
        self._name = device.name
        self.talks: dict[str, Talk] = {}

    # Sending

    def post(self, peer: str, message: Durable, effects: Effects) -> int:
        """Send a durable message once the transaction is on disk; return its number."""
        outbound = self._outbound(peer)
        disk = self._device.disk
        outbound = disk.outbound[peer] = delivery.Outbound(outbound.stream, outbound.last + 1, outbound.acked)
        disk.outbox.setdefault(peer, {})[outbound.last] = message
        self._world.monitor.streams.numbered(self._name, peer, outbound.stream, outbound.last)
        effects.append(lambda: self._posted(peer, outbound.last))
        return outbound.last

    def _outbound(self, peer: str) -> delivery.Outbound:
        outbound = self._device.disk.outbound.get(peer)
        if outbound is None:
            outbound = self._device.disk.outbound[peer] = delivery.Outbound(self._fresh(), 0, 0)
        return outbound

    def _fresh(self) -> StreamId:
        return StreamId(f"{self._name}{self._world.draw()}")

    def _posted(self, peer: str, seq: int) -> None:
        talk = self.talks.get(peer)
        if talk is not None and talk.outbound is not None:
            talk.outbound = delivery.Outbound(talk.outbound.stream, seq, talk.outbound.acked)
            self._pump(peer, talk)

    def send(self, peer: str, frame: tuple[object, ...]) -> None:
        """Send a frame, if a session is open."""
        talk = self.talks.get(peer)
        if talk is not None:
            self._world.send(talk.session, self._name, frame)

    def _pump(self, peer: str, talk: Talk) -> None:
        if talk.outbound is None:
            return
        outbox = self._device.disk.outbox.get(peer, {})
        for seq in delivery.sendable(talk.outbound, talk.sent):
            message = outbox.get(seq)
            if message is None:
                return
            talk.sent = seq
            self._world.monitor.streams.sent(self._name, peer, seq)
            self.send(peer, ("durable", seq, message))

    # Sessions

    def opened(self, session: Session) -> None:
        """Begin to talk."""
        peer = session.other(self._name)
        inbound = self._device.disk.inbound.get(peer)
        self.talks[peer] = Talk(session, inbound)
        self._world.monitor.session_opened(self._name, peer, session.number)
        stream, last, digest = ("", 0, delivery.NOTHING) if inbound is None else (
            inbound.stream, inbound.last, inbound.digest,
        )  # fmt: skip
        self.send(peer, ("resume", stream, last, digest))

    def closed(self, session: Session) -> str | None:
        """Note that a session is over; return with whom, if it was the newest."""
        peer = session.other(self._name)
        talk = self.talks.get(peer)
        if talk is None or talk.session is not session:
            return None
        del self.talks[peer]
        self._world.monitor.session_closed(self._name, peer)
        return peer

    def hang_up(self, peer: str, *, unpaired: bool = False) -> None:
        """End the session with a peer, if there is one."""
        talk = self.talks.get(peer)
        if talk is not None:
            self._world.hang_up(talk.session, self._name, unpaired=unpaired)

    # Receiving

    def take(self, session: Session, frame: tuple[object, ...]) -> None:
        """Take a frame from the line."""
        peer = session.other(self._name)
        talk = self.talks.get(peer)
        if talk is None or talk.session is not session:
            return
        try:
            self._take(peer, talk, frame)
        except ProtocolError as error:
            self._world.monitor.note(self._name, f"ends the session with {peer}: {error}")
            self._world.hang_up(session, self._name)

    def _take(self, peer: str, talk: Talk, frame: tuple[object, ...]) -> None:
        match frame:
            case ("resume", str(stream), int(received), bytes(digest)):
                if talk.outbound is not None:
                    raise ProtocolError("resumed already")
                if not self._device.commit(lambda effects: self._resume(peer, talk, stream, received, digest, effects)):
                    self._world.hang_up(talk.session, self._name)
            case ("start", str(stream), int(after)):
                if talk.started:
                    raise ProtocolError("started already")
                cursor = delivery.start(talk.inbound, StreamId(stream), after)
                if not self._device.commit(lambda _: self._device.disk.inbound.__setitem__(peer, cursor)):
                    self._world.hang_up(talk.session, self._name)
                    return
                talk.inbound, talk.started = cursor, True
                self._announce(peer, talk)
            case ("durable", int(seq), wire.Offer() | wire.Cancel() | wire.Declined() | wire.Finished() as message):
                self._receive(peer, talk, seq, message)
            case ("ack", int(seq)):
                self._acknowledge(peer, talk, seq)
            case ("holding", wire.Holding() as holding):
                self._device.origin.holding(peer, holding)
            case ("renewed", wire.Renewed() as answer):
                asked_at = talk.asked.pop(answer.number, None)
                if asked_at is not None:
                    self._device.executor.renewed(peer, answer, asked_at)
            case ("progress", wire.Progress() as progress):
                self._device.origin.progress(peer, progress)
            case ("kept", wire.Kept() as kept):
                self._device.origin.kept(peer, kept)
            case _:
                raise AssertionError(frame)

    def _resume(self, peer: str, talk: Talk, stream: str, received: int, theirs: bytes, effects: Effects) -> None:
        disk, ours = self._device.disk, self._outbound(peer)
        waiting = disk.outbox.setdefault(peer, {})
        message = waiting.get(received)
        decision = delivery.resume(
            ours, stream=stream, received=received, ours=None if message is None else _digest(message), theirs=theirs
        )
        match decision:
            case delivery.Continue(after):
                self._forget_sent(peer, after)
            case delivery.Reopen():
                renumbered = {old: new for new, old in enumerate(sorted(waiting), start=1)}
                disk.outbox[peer] = {renumbered[old]: waiting[old] for old in sorted(waiting)}
                disk.outbound[peer] = delivery.Outbound(self._fresh(), len(waiting), 0)
                self._world.monitor.streams.numbered(self._name, peer, disk.outbound[peer].stream, len(waiting))
                for key, held in list(disk.held.items()):
                    if key[0] == peer and held.state == "finished":
                        held.finished_seq = renumbered.get(held.finished_seq or 0)
                        if held.finished_seq is None:
                            del disk.held[key]
                            self._device.executor.finished.pop(key, None)
        outbound = disk.outbound[peer]
        effects.append(lambda: self._resumed(peer, talk, outbound))

    def _resumed(self, peer: str, talk: Talk, outbound: delivery.Outbound) -> None:
        talk.outbound, talk.sent = outbound, outbound.acked
        self.send(peer, ("start", outbound.stream, outbound.acked))
        self._announce(peer, talk)
        self._pump(peer, talk)

    def _announce(self, peer: str, talk: Talk) -> None:
        if talk.started and talk.outbound is not None:
            talk.asked.clear()
            self._device.executor.announce(peer)
            self._device.origin.wake()

    def _receive(self, peer: str, talk: Talk, seq: int, message: Durable) -> None:
        if talk.inbound is None or not talk.started:
            raise ProtocolError("a durable message came before the stream started")
        self._world.monitor.streams.arrived(self._name, peer, seq)
        match delivery.receive(talk.inbound, seq, _frame(message)):
            case delivery.Again():
                self.send(peer, ("ack", talk.inbound.last))
            case delivery.Apply(then):
                talk.inbound = then

                def apply(effects: Effects) -> None:
                    self._device.disk.inbound[peer] = then
                    what = f"{type(message).__name__} of {message.job}/{message.attempt}"
                    self._world.monitor.streams.applied(self._name, peer, then.stream, then.last, what, message.job)
                    self._apply(peer, message, effects)
                    effects.append(lambda: self.send(peer, ("ack", then.last)))

                if not self._device.commit(apply):
                    self._world.hang_up(talk.session, self._name)

    def _apply(self, peer: str, message: Durable, effects: Effects) -> None:
        job, number = JobId(message.job), AttemptNumber(message.attempt)
        match message:
            case wire.Offer():
                self._device.executor.offered(peer, message, effects)
            case wire.Cancel():
                self._device.executor.cancelled((peer, job, number), effects)
            case wire.Declined(reason=reason):
                self._device.origin.declined((peer, job, number), reason, effects)
            case wire.Finished():
                how = {"lost": "Lost", "bad_checkpoint": "BadCheckpoint"}.get(message.error_kind, "Failed")
                how = {"succeeded": "Succeeded", "cancelled": "Cancelled"}.get(message.state, how)
                key = (self._name, job, number)
                self._device.origin.finished(key, how, effects, sender=peer, answer=json.loads(message.result))

    def _acknowledge(self, peer: str, talk: Talk, seq: int) -> None:
        if talk.outbound is None:
            raise ProtocolError("an acknowledgement came before the streams were resumed")
        talk.outbound = delivery.acknowledge(talk.outbound, seq, sent=talk.sent)
        if not self._device.commit(lambda _: self._forget_sent(peer, seq)):
            self._world.hang_up(talk.session, self._name)
            return
        self._pump(peer, talk)

    def _forget_sent(self, peer: str, seq: int) -> None:
        disk, outbound = self._device.disk, self._outbound(peer)
        if seq > outbound.acked:
            self._world.monitor.streams.forgotten(self._name, peer, outbound.stream, seq)
        disk.outbound[peer] = delivery.Outbound(outbound.stream, outbound.last, max(outbound.acked, seq))
        outbox = disk.outbox.get(peer, {})
        for sent in [sent for sent in outbox if sent <= seq]:
            del outbox[sent]
        for key, held in list(disk.held.items()):
            if key[0] == peer and held.finished_seq is not None and held.finished_seq <= seq:
                del disk.held[key]
                self._device.executor.finished.pop(key, None)


def _frame(message: Durable) -> bytes:
    return f"{type(message).__name__} {message.job} {message.attempt}".encode()


def _digest(message: Durable) -> bytes:
    return delivery.digest(_frame(message))
