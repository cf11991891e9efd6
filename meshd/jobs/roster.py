"""The devices as this one knows them: what each last said of itself, how far away it is, and this device's own word."""

import asyncio
import contextlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from meshd import __version__
from meshd.clock import Clock
from meshd.errors import PeerUnreachable
from meshd.jobs.executor import Executor
from meshd.jobs.ratebook import RateBook
from meshd.kinds.base import Kind
from meshd.net.streams import Streams
from meshd.scheduling.snapshot import DeviceSnapshot, KindSnapshot, MeshSnapshot
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import status as wire

TELL_S = 0.2
"""Changes of load are told at most this often: a placement decision is no finer."""

ANSWER_S = 5.0
"""A peer that does not answer a ping for this long is not there in any useful sense."""

PING_S = 30.0
"""How often the round trip to each peer is measured anew."""


@dataclass(slots=True)
class Impression:
    """What a peer last said, and how long its answer to a ping took."""

    status: wire.Status | None = None
    latency_s: float | None = None


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
    ) -> None:
        self._device = device
        self._name = name
        self._peers = peers
        self._kinds = kinds
        self._executor = executor
        self._rates = rates
        self._streams = streams
        self._clock = clock
        self._slots = slots
        self._impressions: dict[DeviceId, Impression] = {}
        self._pinged: dict[DeviceId, tuple[int, float]] = {}
        self._waiting: dict[DeviceId, set[asyncio.Future[float]]] = {}
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
                self._streams.tell(peer, status, key="status")
            if self._clock.boot() - last_ping >= PING_S:
                last_ping = self._clock.boot()
                for peer in open_peers:
                    self._ping(peer)
            await asyncio.sleep(TELL_S)

    def opened(self, peer: DeviceId) -> None:
        """Introduce this device to a peer whose session has opened."""
        self._streams.tell(peer, self.own_status(), key="status")
        self._ping(peer)

    def closed(self, peer: DeviceId) -> None:
        """Note that the session is over."""
        self._pinged.pop(peer, None)
        for waiting in self._waiting.get(peer, ()):
            if not waiting.done():
                waiting.set_exception(PeerUnreachable(f"the connection to {peer} was lost while it was asked"))
        self._on_change()

    def forget(self, peer: DeviceId) -> None:
        """Forget a device that is no longer paired."""
        self._impressions.pop(peer, None)

    def hear(self, peer: DeviceId, message: wire.Status | wire.Ping | wire.Pong) -> None:
        """Take what a peer says of itself."""
        impression = self._impressions.setdefault(peer, Impression())
        match message:
            case wire.Status():
                impression.status = message
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
        kinds: list[wire.KindStatus] = []
        for kind in self._kinds:
            rate = self._rates.get(kind.name)
            kinds.append(
                wire.KindStatus(
                    kind=kind.name,
                    free=self._executor.free(kind),
                    wait_s=self._executor.wait_s(kind),
                    rate=None if rate is None else rate.rate,
                    source="" if rate is None else rate.source,
                )
            )
        return wire.Status(
            name=self._name,
            version=__version__,
            platform=f"{platform.system()} {platform.machine()}",
            kinds=kinds,
            slots=self._slots,
            busy=self._executor.busy,
            queued=self._executor.queued,
        )

    def snapshot(self, on_the_way: Mapping[DeviceId, int]) -> MeshSnapshot:
        """Return the devices as they are now, with these attempts on their way to them."""
        local = _device(self._device, self._name, self.own_status(), 0.0, on_the_way, is_local=True, is_online=True)
        peers = [
            _device(
                peer,
                name,
                self.impression(peer).status,
                self.impression(peer).latency_s or 0.0,
                on_the_way,
                is_local=False,
                is_online=self._streams.is_open(peer),
            )
            for peer, name in self._peers()
        ]
        return MeshSnapshot((local, *peers))

    def _ping(self, peer: DeviceId) -> None:
        self._number += 1
        self._pinged[peer] = (self._number, self._clock.boot())
        self._streams.tell(peer, wire.Ping(number=self._number), key="ping")


def _device(
    device: DeviceId,
    name: str,
    status: wire.Status | None,
    rtt_s: float,
    on_the_way: Mapping[DeviceId, int],
    *,
    is_local: bool,
    is_online: bool,
) -> DeviceSnapshot:
    coming = on_the_way.get(device, 0)
    kinds: dict[str, KindSnapshot] = {}
    for kind in () if status is None else status.kinds:
        kinds[kind.kind] = KindSnapshot(free=max(0, kind.free - coming), wait_s=kind.wait_s, rate=kind.rate)
    return DeviceSnapshot(
        device=device,
        name=name,
        is_local=is_local,
        # A peer that has not said yet what it can do cannot be given anything.
        is_online=is_online and status is not None,
        kinds=kinds,
        rtt_s=rtt_s,
        paused=status is not None and status.paused,
    )
