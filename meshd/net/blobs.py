"""Blobs between this device and its peers, fetched on demand.

The session says what is wanted; the bytes travel over HTTP on connections of their own, which only the side
that dialled the session can make. So the dialler GETs what it wants, and PUTs what the other side wants.
"""

import asyncio
import base64
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, TypeAlias

import aiohttp
from aiohttp import web

from meshd.clock import Clock
from meshd.errors import BadInput, Degraded, MeshdError, NotFound, PeerUnreachable
from meshd.net.blob_client import BlobClient
from meshd.net.blob_line import MAX_TRANSFERS, Absent, AnsweredLine, DialledLine, Due, Endpoint, Line
from meshd.net.blob_routes import BlobRoutes
from meshd.net.blob_stream import STALL_S, Cut, Stalled
from meshd.store.blobs import Arrival, BlobRef, BlobStore
from meshd.tasks import TaskSet
from meshd_protocol.codec import BlobMessage, EphemeralMessage
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import blobs

__all__ = ["BlobExchange", "Endpoint", "Tell"]

log = logging.getLogger(__name__)

TRIES = 3
"""Connections in a row that bring nothing before the peer counts as unreachable; each one that brings some counts
anew."""

PAUSE_S = 0.5
"""Before the next try. A peer that says no is asked twice: it may not yet have what it has announced, or this side
may not yet have seen that the session is over."""

_TOKEN_BYTES = 32

Outcome: TypeAlias = asyncio.Future[None]


class Tell(Protocol):
    """Sends an ephemeral message if a session is open; a newer one with the same key replaces it."""

    def __call__(self, peer: DeviceId, message: EphemeralMessage, *, key: str = "") -> None:
        """Send `message`."""
        ...


@dataclass(slots=True, eq=False)
class _Transfer:
    """A blob under way, and whoever waits for it."""

    peer: DeviceId
    ref: BlobRef
    outcome: Outcome
    task: asyncio.Task[None] | None = None
    waiting: int = 0

    def end(self, error: MeshdError | None) -> None:
        """Tell those who wait, if they were not told yet."""
        if self.outcome.done():
            return
        if error is None:
            self.outcome.set_result(None)
        elif self.waiting:
            self.outcome.set_exception(error)
        else:
            self.outcome.cancel()

    def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()


class BlobExchange:
    """Fetches blobs from peers, and gives them what they may read; `async with` it."""

    def __init__(
        self,
        *,
        store: BlobStore,
        clock: Clock,
        token: Callable[[int], bytes],
        tell: Tell,
        dialled: Callable[[DeviceId], Endpoint | None],
        may_read: Callable[[DeviceId, str], bool],
        vouch: Callable[[web.Request], None],
        stall_s: float = STALL_S,
    ) -> None:
        """Join the parts.

        `dialled` returns where this side dialled the open session with a peer, None when the peer dialled it.
        `may_read` says whether a peer may have the blob with this digest.
        """
        self._store = store
        self._clock = clock
        self._token = token
        self._tell = tell
        self._dialled = dialled
        self._may_read = may_read
        self._stall_s = stall_s
        self._client = BlobClient(store=store, stall_s=stall_s)
        self._routes = BlobRoutes(store=store, lines=self._answered, may_read=may_read, vouch=vouch, stall_s=stall_s)
        self._lines: dict[DeviceId, Line] = {}
        self._transfers: dict[str, _Transfer] = {}
        self._refusals = itertools.cycle(range(2 * MAX_TRANSFERS))
        self._tasks = TaskSet()

    async def __aenter__(self) -> "BlobExchange":
        """Be ready to dial."""
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every transfer; what has arrived of it stays for the next try."""
        for peer in list(self._lines):
            self.closed(peer)
        await self._tasks.close()
        await self._client.__aexit__(kind, error, trace)

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """Return what the listener must serve."""
        return self._routes.routes()

    async def fetch(self, peer: DeviceId, ref: BlobRef) -> None:
        """Have the blob here, from `peer` if need be. Who fetches the same one at the same time shares the transfer.

        Raises:
            PeerUnreachable: the session is over, or nothing moved for 30 s. What has come is kept for the next try.
            NotFound: the peer does not have it, does not give it, or has something else under its digest.
            Degraded: the disk refuses.
        """
        while not await self._store.has(ref):
            transfer = self._transfers.get(ref.digest)
            if transfer is None:
                transfer = self._start(peer, ref)
            elif transfer.outcome.done() and transfer.task is not None:
                # Over, and about to leave the table: that was not for us.
                await asyncio.wait({transfer.task})
                continue
            ours = (transfer.peer, transfer.ref) == (peer, ref)
            try:
                await self._share(transfer)
            except MeshdError:
                if ours:
                    raise
            else:
                if ours:
                    return

    def hear(self, peer: DeviceId, message: BlobMessage) -> None:
        """Take an ephemeral message about blobs; one that is out of place is ignored."""
        match message, self._lines.get(peer):
            case blobs.BlobKey(token=token), DialledLine(key=key) if not key.done():
                key.set_result(token)
            case blobs.BlobWanted(), DialledLine() as line:
                self._wanted(line, message)
            case blobs.BlobMissing(digest=digest), AnsweredLine(due=due) if digest in due:
                begun = due[digest].begun
                if not begun.done():
                    begun.set_exception(Absent())
            case _:
                log.info("%s: a %s message out of place", peer, type(message).__name__)

    def opened(self, peer: DeviceId) -> None:
        """Note that a session with `peer` is open: call it before whoever fetches when they hear of it."""
        self.closed(peer)
        endpoint = self._dialled(peer)
        if endpoint is not None:
            key: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._lines[peer] = DialledLine(peer, endpoint, aiohttp.Fingerprint(endpoint.fingerprint), key)
            return
        line = AnsweredLine(peer, base64.urlsafe_b64encode(self._token(_TOKEN_BYTES)).decode().rstrip("="))
        self._lines[peer] = line
        self._tell(peer, blobs.BlobKey(token=line.token), key="blob key")

    def closed(self, peer: DeviceId) -> None:
        """Note that the session with `peer` is over: its token opens nothing, its transfers end."""
        match self._lines.pop(peer, None):
            case DialledLine(key=key, sending=sending):
                key.cancel()
                for task in sending.values():
                    task.cancel()
            case AnsweredLine() as line:
                line.close()
            case None:
                return
        for transfer in self._transfers.values():
            if transfer.peer == peer and not transfer.outcome.done():
                transfer.end(PeerUnreachable(f"the session with {peer} ended while the blob {transfer.ref} was coming"))
                transfer.stop()

    def _answered(self) -> list[AnsweredLine]:
        return [line for line in self._lines.values() if isinstance(line, AnsweredLine)]

    # Receiving

    def _start(self, peer: DeviceId, ref: BlobRef) -> _Transfer:
        transfer = _Transfer(peer, ref, asyncio.get_running_loop().create_future())
        self._transfers[ref.digest] = transfer
        transfer.task = self._tasks.start(f"blob {ref.digest[:12]} from {peer}", self._run(transfer))
        # Also when the task ends before its first line.
        transfer.task.add_done_callback(lambda _: self._over(transfer))
        return transfer

    def _over(self, transfer: _Transfer) -> None:
        del self._transfers[transfer.ref.digest]
        transfer.end(PeerUnreachable(f"the transfer of the blob {transfer.ref} was broken off"))

    async def _share(self, transfer: _Transfer) -> None:
        """Wait for the end of a transfer; the last one who leaves before it stops it."""
        transfer.waiting += 1
        try:
            await asyncio.shield(transfer.outcome)
        finally:
            transfer.waiting -= 1
            if not transfer.waiting and not transfer.outcome.done():
                transfer.outcome.cancel()
                transfer.stop()

    async def _run(self, transfer: _Transfer) -> None:
        try:
            await self._bring(transfer.peer, transfer.ref)
        except MeshdError as error:
            transfer.end(error)
        else:
            transfer.end(None)

    async def _bring(self, peer: DeviceId, ref: BlobRef) -> None:
        """Have the blob here, its digest checked."""
        line = self._lines.get(peer)
        if line is None:
            raise PeerUnreachable(f"there is no session with {peer}")
        async with line.fetching, self._store.receive(ref) as arrival:
            began, taken_up = self._clock.boot(), arrival.offset
            refused = False
            while True:
                from_zero = arrival.offset == 0
                await self._fill(line, ref, arrival)
                try:
                    await arrival.finish()
                except BadInput as error:
                    if from_zero and refused:
                        raise NotFound(
                            f"{peer} has sent something else than the blob {ref}: {error.message}",
                            hint="its copy is damaged; it must be made anew",
                        ) from error
                    # Who is asked for it again looks at its copy first. What was here may be what is damaged, too.
                    refused = from_zero
                    log.warning("%s has sent something else than the blob %s; it is fetched anew", peer, ref)
                else:
                    break
        took = self._clock.boot() - began
        log.info("the blob %s came from %s in %.3f s, %d bytes were here", ref, peer, took, taken_up)

    async def _fill(self, line: Line, ref: BlobRef, arrival: Arrival) -> None:
        """Ask the peer until all bytes are here, for as long as each try brings some."""
        fruitless = absences = 0
        while (before := arrival.offset) < ref.size:
            try:
                match line:
                    case DialledLine():
                        await self._get(line, ref, arrival)
                    case AnsweredLine():
                        await self._be_sent(line, ref, arrival)
            except Stalled as stalled:
                raise PeerUnreachable(f"{line.peer} does not send the blob {ref}: {stalled}") from stalled
            except Absent as absent:
                absences += 1
                if absences > 1:
                    raise NotFound(f"{line.peer} does not have the blob {ref} for this device") from absent
            except Cut as cut:
                fruitless = fruitless + 1 if arrival.offset <= before else 0
                log.info("the blob %s from %s was cut at byte %d: %s", ref, line.peer, arrival.offset, cut)
                if fruitless >= TRIES:
                    raise PeerUnreachable(f"{line.peer} does not send the blob {ref}: {cut}") from cut
            else:
                continue
            await asyncio.sleep(PAUSE_S)

    async def _get(self, line: DialledLine, ref: BlobRef, arrival: Arrival) -> None:
        await self._client.get(line, await self._key(line), ref, arrival)

    async def _key(self, line: DialledLine) -> str:
        try:
            async with asyncio.timeout(self._stall_s):
                return await asyncio.shield(line.key)
        except TimeoutError as error:
            raise Stalled(f"no key came for {self._stall_s:g} s") from error

    async def _be_sent(self, line: AnsweredLine, ref: BlobRef, arrival: Arrival) -> None:
        """Ask the peer for a PUT, and wait until it is through."""
        loop = asyncio.get_running_loop()
        due = Due(ref, arrival, loop.create_future(), loop.create_future())
        line.due[ref.digest] = due
        wanted = blobs.BlobWanted(digest=ref.digest, size=ref.size, start=arrival.offset)
        self._tell(line.peer, wanted, key=f"blob wanted {ref.digest}")
        try:
            try:
                async with asyncio.timeout(self._stall_s):
                    await due.begun
            except TimeoutError as error:
                raise Stalled(f"nothing came for {self._stall_s:g} s") from error
            await due.ended
        except BaseException:
            due.abandon()
            raise
        finally:
            line.due.pop(ref.digest, None)

    # Giving

    def _wanted(self, line: DialledLine, wanted: blobs.BlobWanted) -> None:
        """Send what the peer wants if it may have it; a wish that is repeated replaces the older one."""
        older = line.sending.pop(wanted.digest, None)
        if older is not None:
            older.cancel()
        if (
            wanted.start >= wanted.size
            or len(line.sending) >= 2 * MAX_TRANSFERS
            or not self._may_read(line.peer, wanted.digest)
        ):
            self._refuse(line, wanted.digest)
            return
        name = f"blob {wanted.digest[:12]} to {line.peer}"
        task = self._tasks.start(name, self._send(line, wanted))
        line.sending[wanted.digest] = task

        def forget(ended: asyncio.Task[None]) -> None:
            if line.sending.get(wanted.digest) is ended:
                del line.sending[wanted.digest]

        task.add_done_callback(forget)

    async def _send(self, line: DialledLine, wanted: blobs.BlobWanted) -> None:
        ref = BlobRef(wanted.digest, wanted.size)
        async with line.giving:
            try:
                await self._client.put(line, await self._key(line), ref, wanted.start)
            except (NotFound, Degraded) as error:
                log.warning("the blob %s cannot be given to %s: %s", ref, line.peer, error)
                self._refuse(line, wanted.digest)
            except (Absent, Cut, Stalled, MeshdError) as error:
                log.info("the blob %s did not reach %s: %s", ref, line.peer, str(error) or type(error).__name__)

    def _refuse(self, line: DialledLine, digest: str) -> None:
        # Few keys in turn: a peer that asks on and on must not fill the queue with answers.
        self._tell(line.peer, blobs.BlobMissing(digest=digest), key=f"blob missing {next(self._refusals)}")
