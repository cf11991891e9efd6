"""The devices as this one knows them: what each last said of itself, how far away it is, and this device's own word."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from meshd.clock import Clock
from meshd.errors import PeerUnreachable
from meshd.jobs.executor import Executor
from meshd.jobs.experience import Experience
from meshd.jobs.introduction import AlwaysReady, Introduction, Readiness, everything_permitted
from meshd.jobs.model import Job
from meshd.jobs.outlook import outlook
from meshd.jobs.ratebook import RateBook
from meshd.jobs.slots import NothingKnown, Surroundings
from meshd.kinds.base import Kind
from meshd.net.streams import Streams
from meshd.scheduling.rates import believed
from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd.trust.names import meant, only
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.messages import status as wire

TELL_S = 0.2
"""Changes of load are told at most this often: a placement decision is no finer."""

ANSWER_S = 5.0
"""A peer that does not answer a ping for this long is not there in any useful sense."""

PING_S = 30.0
"""How often the round trip to each peer is measured anew."""


class _Called(NamedTuple):
    device: DeviceId
    name: str


@dataclass(slots=True)
class Impression:
    """What a peer last said, and how long its answer to a ping took."""

    status: wire.Status | None = None
    latency_s: float | None = None
    heard_at: float = 0.0
    """When that was, on the clock that counts sleep."""

    is_of_session: bool = False
    """Whether it was said in the session that is open: what it lets others do may have changed while it was away."""


class Roster:
    """Gathers what placement and screens need to know of all devices."""

    def __init__(
        self,
        *,
        device: DeviceId,
        name: str,
        peers: Callable[[], Sequence[tuple[DeviceId, str]]],
        kinds: Sequence[Kind],
        executor: Executor,
        rates: RateBook,
        streams: Streams,
        clock: Clock,
        slots: int,
        machine: Surroundings | None = None,
        readiness: Readiness | None = None,
        experience: Experience | None = None,
        may: Callable[[DeviceId, str], bool] = everything_permitted,
    ) -> None:
        self._device = device
        self._name = name
        self._peers = peers
        self._streams = streams
        self._clock = clock
        self._experience = experience
        self._introduction = Introduction(
            name=name,
            kinds=kinds,
            executor=executor,
            rates=rates,
            slots=slots,
            machine=machine or NothingKnown(),
            readiness=readiness or AlwaysReady(),
            may=may,
        )
        self._impressions: dict[DeviceId, Impression] = {}
        self._pinged: dict[DeviceId, tuple[int, float]] = {}
        self._waiting: dict[DeviceId, set[asyncio.Future[float]]] = {}
        self._counted: dict[JobId, KindSnapshot] = {}
        """The accelerator for which each open job was placed last."""

        self._number = 0
        self._changed = asyncio.Event()
        self._on_change: Callable[[], None] = lambda: None

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` when something that placement looks at has changed."""
        self._on_change = on_change

    def changed(self) -> None:
        """Note that this device's own load or rates have changed."""
        self._changed.set()
        self._on_change()

    async def run(self) -> None:
        """Tell the peers of changes, and measure the way to them, for ever."""
        last_ping = self._clock.boot()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await self._changed.wait()
            self._changed.clear()
            status = self.own_status()
            open_peers = [peer for peer, _ in self._peers() if self._streams.is_open(peer)]
            for peer in open_peers:
                self._streams.tell(peer, self._introduction.to(peer, status), key="status")
            if self._clock.boot() - last_ping >= PING_S:
                last_ping = self._clock.boot()
                for peer in open_peers:
                    self._ping(peer)
            await asyncio.sleep(TELL_S)

    def opened(self, peer: DeviceId) -> None:
        """Introduce this device to a peer whose session has opened."""
        self._streams.tell(peer, self._introduction.to(peer, self.own_status()), key="status")
        self._ping(peer)

    def closed(self, peer: DeviceId) -> None:
        """Note that the session is over."""
        self.impression(peer).is_of_session = False
        self._pinged.pop(peer, None)
        for waiting in self._waiting.get(peer, ()):
            if not waiting.done():
                waiting.set_exception(PeerUnreachable(f"the connection to {peer} was lost while it was asked"))
        self._on_change()

    def forget(self, peer: DeviceId) -> None:
        """Forget a device that is no longer paired."""
        self._impressions.pop(peer, None)
        if self._experience is not None:
            self._experience.forget(peer)

    def hear(self, peer: DeviceId, message: wire.Status | wire.Ping | wire.Pong) -> None:
        """Take what a peer says of itself."""
        impression = self._impressions.setdefault(peer, Impression())
        match message:
            case wire.Status():
                impression.status, impression.heard_at = message, self._clock.boot()
                impression.is_of_session = True
                self._on_change()
            case wire.Ping(number=number):
                self._streams.tell(peer, wire.Pong(number=number), key="pong")
            case wire.Pong(number=number):
                asked, at = self._pinged.get(peer, (0, 0.0))
                if asked == number:
                    impression.latency_s = self._clock.boot() - at
                    for waiting in self._waiting.get(peer, ()):
                        if not waiting.done():
                            waiting.set_result(impression.latency_s)

    def impression(self, peer: DeviceId) -> Impression:
        """Return what is known of a peer."""
        return self._impressions.get(peer, Impression())

    def heard_at(self, peer: DeviceId) -> float:
        """Return when a peer has last told of its load, on the clock that counts sleep."""
        return self.impression(peer).heard_at

    async def round_trip_s(self, peer: DeviceId) -> float:
        """Return how long a peer takes to answer, measured now.

        Raises:
            PeerUnreachable: there is no session with it, or it does not answer.
        """
        if not self._streams.is_open(peer):
            raise PeerUnreachable(f"there is no connection to {peer}")
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(peer, set())
        waiting.add(answered)
        try:
            self._ping(peer)
            async with asyncio.timeout(ANSWER_S):
                return await answered
        except TimeoutError:
            raise PeerUnreachable(f"{peer} has not answered for {ANSWER_S:g} s") from None
        finally:
            waiting.discard(answered)
            if not waiting:
                self._waiting.pop(peer, None)

    def own_status(self) -> wire.Status:
        """Return what this device says of itself."""
        return self._introduction.status()

    def snapshot(self, on_the_way: Mapping[DeviceId, int], kind: str | None = None) -> MeshSnapshot:
        """Return the devices as they are now, with these attempts on their way to them; for all kinds, or for one."""
        own = self._introduction.status(kind)
        local = outlook(
            self._device,
            self._name,
            own,
            is_local=True,
            is_online=True,
            rtt_s=0.0,
            coming=on_the_way.get(self._device, 0),
            rate_of=lambda line: line.rate,
        )
        best = {
            kind: max((line.rate for line in own.kinds if line.kind == kind and line.rate is not None), default=None)
            for kind in {line.kind for line in own.kinds}
        }
        peers = [self._seen(peer, name, on_the_way.get(peer, 0), best, kind) for peer, name in self._peers()]
        return MeshSnapshot((local, *peers))

    def find(self, name: str) -> DeviceId | None:
        """Return the device that a person means by a name or an id, None when there is none.

        Raises:
            Conflict: it can be any of several.
        """
        devices = [_Called(device, name) for device, name in ((self._device, self._name), *self._peers())]
        found = only(name, meant(name, devices))
        return None if found is None else found.device

    def names(self) -> list[str]:
        """Return what the devices are called, in order."""
        return sorted([self._name, *(name for _, name in self._peers())])

    def forbids(self, peer: DeviceId, kind: str) -> bool:
        """Return whether a peer that is online runs jobs of this kind, and not those of this device."""
        known = self.impression(peer)
        lines = [] if known.status is None else [line for line in known.status.kinds if line.kind == kind]
        is_known = self._streams.is_open(peer) and known.is_of_session and bool(lines)
        return is_known and not any(line.permitted for line in lines)

    def counted_on(self, job: JobId, where: KindSnapshot | None) -> None:
        """Note for which accelerator a job was placed."""
        if where is not None:
            self._counted[job] = where

    def tracked(self, job: Job) -> None:
        """Take note of a job's new state: how long it took on a peer tells how fast that is."""
        if not job.has_ended:
            return
        where = self._counted.pop(job.id, None)
        attempt = job.attempts[0] if len(job.attempts) == 1 else None
        if where is None or attempt is None or attempt.device == self._device or self._experience is None:
            return
        status = self.impression(attempt.device).status
        self._experience.saw(job, attempt, where, on_battery=status is not None and not status.plugged)

    def _seen(
        self, peer: DeviceId, name: str, coming: int, own: Mapping[str, float | None], kind: str | None
    ) -> DeviceSnapshot:
        impression = self.impression(peer)
        status = impression.status
        if status is not None and kind is not None:
            status = replace(status, kinds=[line for line in status.kinds if line.kind == kind])
        on_battery = status is not None and not status.plugged

        def rate_of(line: wire.KindStatus) -> float | None:
            seen = None
            if self._experience is not None:
                seen = self._experience.get(peer, line.kind, line.accelerator, on_battery=on_battery)
            return believed(line.rate, seen, own.get(line.kind))

        return outlook(
            peer,
            name,
            status,
            is_local=False,
            is_online=self._streams.is_open(peer),
            rtt_s=impression.latency_s or 0.0,
            coming=coming,
            rate_of=rate_of,
        )

    def _ping(self, peer: DeviceId) -> None:
        self._number += 1
        self._pinged[peer] = (self._number, self._clock.boot())
        self._streams.tell(peer, wire.Ping(number=self._number), key="ping")
