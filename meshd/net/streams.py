"""Durable conversations: what is committed here reaches each peer once, and takes effect there once.

`Streams.write` is the unit of work of the whole daemon: state changes and the messages that they cause, in one
transaction. Messages travel when a session is open, effects run when the transaction is on disk.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol, TypeAlias, TypeVar

from meshd.clock import Clock
from meshd.errors import Degraded
from meshd.net.channel import ChannelClosed
from meshd.net.transaction import Transaction
from meshd.store import streams as rows
from meshd.store.database import Connection, Store, StoreError
from meshd.tasks import cancel_and_wait
from meshd_protocol import codec
from meshd_protocol.codec import DurableMessage, EphemeralMessage
from meshd_protocol.errors import BadMessage, Code, LocalError, RemoteError
from meshd_protocol.ids import DeviceId, StreamId, stream_id
from meshd_protocol.limits import MAX_WINDOW
from meshd_protocol.machines import delivery
from meshd_protocol.messages import blobs, jobs, session, status
from meshd_protocol.messages.base import Message

log = logging.getLogger(__name__)

FORGET_S = 0.05
"""Between an acknowledgement and the transaction that forgets what it is about: others share it, and nobody waits."""

INSIST_S = 2.0
"""Between two tries to store what must be kept: a full disk is emptied by a person, not within milliseconds."""

T = TypeVar("T")
Arrived: TypeAlias = tuple[delivery.Inbound, bytes, int]
"""A message with the cursor that follows it, and which `holding` its sender had answered before it was written."""


class Session(Protocol):
    """The authenticated conversation with one peer, as this module needs it."""

    @property
    def peer(self) -> DeviceId:
        """Return who is on the other side, as proven."""
        ...

    def post(self, message: Message) -> None:
        """Queue one message; never waits, because a receiving loop that waits can block both sides."""
        ...

    async def send(self, message: Message) -> None:
        """Send one message; waits while the other side is slow."""
        ...

    async def receive(self) -> Message:
        """Return the next message; raises when the session is over."""
        ...


class Receiver(Protocol):
    """Who understands the messages: the job services."""

    def apply(self, transaction: Transaction, peer: DeviceId, message: DurableMessage, answered: int) -> None:
        """Let a durable message take effect, in the transaction that moves its cursor.

        When the peer wrote it, it had answered the `holding` of the number `answered` in this session; 0: nobody knows.
        What is to happen besides goes into `after`: this may be undone, and called again.
        """
        ...

    def acknowledged(self, transaction: Transaction, peer: DeviceId, seq: int) -> None:
        """Note that `peer` has applied this device's stream up to `seq`."""
        ...

    def reopened(self, transaction: Transaction, peer: DeviceId, renumbered: dict[int, int]) -> None:
        """Note the new numbers of the messages that wait for `peer`."""
        ...

    def hear(self, peer: DeviceId, message: EphemeralMessage) -> None:
        """Take an ephemeral message."""
        ...

    def opened(self, peer: DeviceId) -> None:
        """Note that a session with `peer` is open."""
        ...

    def closed(self, peer: DeviceId) -> None:
        """Note that the session with `peer` is over."""
        ...


class Streams:
    """The durable streams of this device, and the live conversations that carry them."""

    def __init__(self, *, store: Store, clock: Clock, token: Callable[[int], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._token = token
        self._live: dict[DeviceId, _Conversation] = {}
        self._receiver: Receiver | None = None

    def attach(self, receiver: Receiver) -> None:
        """Name who understands the messages; before the first session."""
        self._receiver = receiver

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Run `command` in a transaction; send what it posted and run its effects when that is on disk.

        Raises:
            Degraded: the disk did not take it; nothing was kept or sent.
        """
        now = self._clock.wall()
        transaction: Transaction | None = None
        # Of every time that the command was run: what it wanted at once has happened.
        undoing: list[Callable[[], None]] = []

        def run(connection: Connection) -> T:
            nonlocal transaction
            transaction = Transaction(connection, now, self.fresh, self._store.soon, undoing)
            return command(transaction)

        def committed() -> None:
            if transaction is not None:
                self._committed(transaction)

        def refused() -> None:
            for effect in undoing:
                effect()

        # What is on disk takes effect, even if whoever asked for it is cancelled meanwhile.
        return await self._store.write(run, then=committed, otherwise=refused)

    async def insist(self, command: Callable[[Transaction], T]) -> T:
        """Run `command` as `write` does, again and again until the disk takes it.

        For what cannot be asked for a second time: the end of an attempt that took an hour.
        """
        while True:
            try:
                return await self.write(command)
            except Degraded as error:
                log.warning("the disk does not take what must be kept: %s", error.message)
                await asyncio.sleep(INSIST_S)

    def tell(self, peer: DeviceId, message: EphemeralMessage, *, key: str = "") -> None:
        """Send an ephemeral message if a session is open; a newer one with the same key replaces it."""
        conversation = self._live.get(peer)
        if conversation is not None:
            conversation.tell(message, key)

    def applied_by(self, peer: DeviceId) -> int:
        """Return how far a peer has told in this session to have applied this device's stream."""
        conversation = self._live.get(peer)
        return 0 if conversation is None else conversation.applied

    def is_open(self, peer: DeviceId) -> bool:
        """Return whether messages to `peer` flow now."""
        return peer in self._live

    def conversation(self, peer: DeviceId) -> object | None:
        """Return something that tells the conversation with `peer` that is live now from every other."""
        conversation = self._live.get(peer)
        return None if conversation is None else conversation.mark

    def open_peers(self) -> set[DeviceId]:
        """Return the peers to whom messages flow now."""
        return set(self._live)

    def fresh(self) -> StreamId:
        """Return a random name for a new stream."""
        return stream_id(self._token(10))

    async def converse(self, session: Session) -> None:
        """Carry the streams over `session` until it ends.

        Raises:
            RemoteError: the peer broke the protocol; whoever owns the session closes it with the error's code.
            Degraded: this device's disk did not take what the peer sent; it stays unacknowledged.
        """
        if self._receiver is None:
            raise LocalError("nobody is attached to the streams")
        conversation = _Conversation(session, self, self._store, self._receiver)
        self._live[session.peer] = conversation
        try:
            await conversation.run()
        except ChannelClosed:
            log.debug("the session with %s was over before the first word", session.peer)
        except BaseExceptionGroup as group:
            first = group.exceptions[0]
            if not isinstance(first, ChannelClosed):
                raise first from None
        finally:
            # Of two sessions the newer one may already have taken the place.
            if self._live.get(session.peer) is conversation:
                del self._live[session.peer]
                self._receiver.closed(session.peer)

    def _committed(self, transaction: Transaction) -> None:
        for peer, seq, frame in transaction.posted:
            conversation = self._live.get(peer)
            if conversation is not None:
                conversation.committed(seq, frame)
        for effect in transaction.effects:
            effect()


class _Conversation:
    """The two streams of one peer over one session."""

    def __init__(self, live: Session, streams: Streams, store: Store, receiver: Receiver) -> None:
        self.mark = object()
        self._session = live
        self._peer = live.peer
        self._streams = streams
        self._store = store
        self._receiver = receiver
        self._outbound: delivery.Outbound | None = None
        self._sent = 0
        self._tail: deque[delivery.Due] = deque()
        self._inbound: delivery.Inbound | None = None
        self._started = False
        self._over = False
        self._ephemeral: dict[str, EphemeralMessage] = {}
        self._replies: deque[Message] = deque()
        self._ack: int | None = None
        self._wake = asyncio.Event()
        self._answered = 0
        """The newest `holding` of the peer to which an answer was told."""

        self._received: list[Arrived] = []
        """What is to be applied."""

        self._acknowledged: int | None = None
        """How far the peer has applied the stream, where that is not on disk yet."""

        self._working: dict[asyncio.Task[None], None] = {}
        self._room = asyncio.Semaphore(MAX_WINDOW * 2)

    @property
    def applied(self) -> int:
        return 0 if self._outbound is None else self._outbound.acked

    def tell(self, message: EphemeralMessage, key: str) -> None:
        if isinstance(message, jobs.Renewed):
            self._answered = max(self._answered, message.number)
        self._ephemeral[key or f"{len(self._ephemeral)}:{type(message).__name__}"] = message
        self._wake.set()

    def committed(self, seq: int, frame: bytes) -> None:
        if self._outbound is not None:
            self._outbound = delivery.Outbound(self._outbound.stream, seq, self._outbound.acked)
            self._tail.append(delivery.Due(seq, frame, self._answered))
            self._wake.set()

    async def run(self) -> None:
        self._inbound = await self._store.write(lambda connection: rows.inbound(connection, self._peer))
        known = self._inbound
        self._session.post(
            session.Resume(
                stream="" if known is None else known.stream,
                received=0 if known is None else known.last,
                digest=delivery.NOTHING if known is None else known.digest,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._send_all(), name=f"send to {self._peer}")
            try:
                while True:
                    await self._take(await self._session.receive(), tasks)
            finally:
                self._over = True
                writer.cancel()
                await cancel_and_wait(*self._working)

    # Sending

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._ack is not None:
                seq, self._ack = self._ack, None
                await self._session.send(session.Ack(seq=seq))
            while self._replies:
                await self._session.send(self._replies.popleft())
            while self._ephemeral:
                key = next(iter(self._ephemeral))
                await self._session.send(self._ephemeral.pop(key))
            await self._send_durable()

    async def _send_durable(self) -> None:
        while self._outbound is not None and (due := delivery.sendable(self._outbound, self._sent)):
            while self._tail and self._tail[0].seq < due.start:
                self._tail.popleft()
            if self._tail and self._tail[0].seq == due.start:
                waiting = self._tail
            else:
                waiting = deque(await self._stored(due))
                if not waiting:
                    # The numbers are given, but not committed yet: `committed` wakes this loop.
                    return
            while waiting and waiting[0].seq < due.stop:
                message = delivery.take_batch(waiting, due.stop)
                self._sent = message.seq + len(message.frames) - 1
                await self._session.send(message)

    async def _stored(self, due: range) -> list[delivery.Due]:
        stored = await self._store.write(
            lambda connection: rows.frames(connection, self._peer, due.start - 1, len(due))
        )
        return [delivery.Due(seq, frame) for seq, frame in stored]

    # Receiving

    async def _take(self, message: Message, tasks: asyncio.TaskGroup) -> None:
        match message:
            case session.Durable(seq=first, frames=frames, answered=answered):
                for seq, frame in enumerate(frames, start=first):
                    await self._receive(seq, frame, answered, tasks)
            case session.Ack(seq=seq):
                self._acknowledge(seq, tasks)
            case session.Rejected(seq=seq, code=code, reason=reason):
                log.warning(
                    "a message was rejected",
                    extra={"peer": self._peer, "seq": seq, "code": code, "why": reason},
                )
            case session.Resume():
                await self._resume(message)
            case session.StreamStart(stream=stream, after=after):
                await self._start(StreamId(stream), after)
            case (
                jobs.Holding()
                | jobs.Renewed()
                | jobs.Progress()
                | jobs.Kept()
                | jobs.Shrink()
                | jobs.Waiting()
                | jobs.Extend()
                | jobs.Joined()
                | jobs.LogWanted()
                | jobs.LogPart()
                | status.Status()
                | status.Ping()
                | status.Pong()
            ):
                self._receiver.hear(self._peer, message)
            case blobs.BlobKey() | blobs.BlobWanted() | blobs.BlobMissing():
                self._receiver.hear(self._peer, message)
            case _:
                raise RemoteError(f"a {type(message).__name__} message has no place in an open session")

    async def _resume(self, message: session.Resume) -> None:
        if self._outbound is not None:
            raise RemoteError("the streams are resumed already")

        def decide(transaction: Transaction) -> None:
            connection = transaction.connection
            self._check_paired(connection)
            ours = rows.outbound(connection, self._peer, self._streams.fresh())
            frame = rows.frame(connection, self._peer, message.received)
            decision = delivery.resume(
                ours,
                stream=message.stream,
                received=message.received,
                ours=None if frame is None else delivery.digest(frame),
                theirs=message.digest,
            )
            match decision:
                case delivery.Continue(after):
                    rows.acknowledge(connection, self._peer, after)
                    self._receiver.acknowledged(transaction, self._peer, after)
                case delivery.Reopen():
                    renumbered = rows.reopen(connection, self._peer, self._streams.fresh())
                    self._receiver.reopened(transaction, self._peer, renumbered)
            outbound = rows.outbound(connection, self._peer, self._streams.fresh())
            transaction.after(lambda: self._resumed(outbound))

        await self._streams.write(decide)

    def _resumed(self, outbound: delivery.Outbound) -> None:
        """Go on with the stream; an effect, so that no message committed after `outbound` was read is missed."""
        if self._over:
            return
        self._session.post(session.StreamStart(stream=outbound.stream, after=outbound.acked))
        self._outbound = outbound
        self._sent = outbound.acked
        self._wake.set()
        self._announce_when_ready()

    async def _start(self, stream: StreamId, after: int) -> None:
        if self._started:
            raise RemoteError("the stream has started already")
        cursor = delivery.start(self._inbound, stream, after)

        def save(connection: Connection) -> None:
            self._check_paired(connection)
            rows.save_inbound(connection, self._peer, cursor)

        await self._store.write(save)
        self._inbound = cursor
        self._started = True
        self._announce_when_ready()

    def _check_paired(self, connection: Connection) -> None:
        """End the conversation if its peer was unpaired in this moment: there are no streams to it any more."""
        if not rows.is_peer(connection, self._peer):
            raise ChannelClosed(Code.UNPAIRED, f"{self._peer} is not paired any more")

    def _announce_when_ready(self) -> None:
        if self._started and self._outbound is not None:
            self._receiver.opened(self._peer)

    async def _receive(self, seq: int, frame: bytes, answered: int, tasks: asyncio.TaskGroup) -> None:
        if self._inbound is None or not self._started:
            raise RemoteError("a durable message came before the stream started")
        match delivery.receive(self._inbound, seq, frame):
            case delivery.Again():
                self._acknowledge_to_peer(self._inbound.last)
            case delivery.Apply(then):
                # The next message may be taken while this one waits for the disk.
                await self._room.acquire()
                self._inbound = then
                self._received.append((then, frame, answered))
                if len(self._received) == 1:
                    self._work(tasks, f"apply what {self._peer} sends", self._apply_received())

    def _work(self, tasks: asyncio.TaskGroup, name: str, work: Coroutine[object, object, None]) -> None:
        task = tasks.create_task(work, name=name)
        self._working[task] = None
        task.add_done_callback(self._working.pop)

    async def _apply_received(self) -> None:
        """Apply all that is there in one transaction: what comes meanwhile goes into the next, which does not wait."""
        # What is in the socket is read first.
        await asyncio.sleep(0)
        batch, self._received = self._received, []
        try:
            await self._apply(batch)
        finally:
            for _ in batch:
                self._room.release()

    async def _apply(self, batch: Sequence[Arrived]) -> None:
        rejected = await self._streams.write(lambda transaction: self._apply_in(transaction, batch))
        self._replies.extend(rejected)
        self._acknowledge_to_peer(batch[-1][0].last)

    def _apply_in(self, transaction: Transaction, batch: Sequence[Arrived]) -> list[session.Rejected]:
        first = batch[0][0]
        stored = rows.inbound(transaction.connection, self._peer)
        if stored is None or stored.stream != first.stream or stored.last != first.last - 1:
            raise Degraded("the message before this one was not stored", hint="it is sent again on the next session")
        try:
            with transaction.attempt():
                for then, frame, answered in batch:
                    rows.save_inbound(transaction.connection, self._peer, then)
                    self._let_happen(transaction, frame, answered)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - whichever it is, it is found and told below
            rejected = [self._apply_one(transaction, each) for each in batch]
            return [each for each in rejected if each is not None]
        return []

    def _let_happen(self, transaction: Transaction, frame: bytes, answered: int) -> None:
        message = codec.decode(frame)
        if not isinstance(message, DurableMessage):
            raise BadMessage(f"{type(message).__name__} is no durable message")
        self._receiver.apply(transaction, self._peer, message, answered)

    def _apply_one(self, transaction: Transaction, arrived: Arrived) -> session.Rejected | None:
        then, frame, answered = arrived
        rows.save_inbound(transaction.connection, self._peer, then)
        try:
            with transaction.attempt():
                self._let_happen(transaction, frame, answered)
        except StoreError:
            raise
        except Exception as error:
            # It would fail for ever: count it as applied, so that what follows is not held up.
            log.exception("a message could not be applied", extra={"peer": self._peer, "seq": then.last})
            return session.Rejected(seq=then.last, code=Code.BAD_MESSAGE, reason=str(error)[:1000])
        return None

    def _acknowledge_to_peer(self, seq: int) -> None:
        self._ack = seq if self._ack is None else max(self._ack, seq)
        self._wake.set()

    def _acknowledge(self, seq: int, tasks: asyncio.TaskGroup) -> None:
        if self._outbound is None:
            raise RemoteError("an acknowledgement came before the streams were resumed")
        self._outbound = delivery.acknowledge(self._outbound, seq, sent=self._sent)
        self._wake.set()
        is_first = self._acknowledged is None
        self._acknowledged = self._outbound.acked
        if is_first:
            self._work(tasks, f"forget what {self._peer} has", self._forget_acknowledged())

    async def _forget_acknowledged(self) -> None:
        while self._acknowledged is not None:
            await asyncio.sleep(FORGET_S)
            seq = self._acknowledged
            await self._forget(seq)
            if self._acknowledged == seq:
                self._acknowledged = None

    async def _forget(self, seq: int) -> None:
        def forget(transaction: Transaction) -> None:
            rows.acknowledge(transaction.connection, self._peer, seq)
            self._receiver.acknowledged(transaction, self._peer, seq)

        await self._streams.write(forget)
