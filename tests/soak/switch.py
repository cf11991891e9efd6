"""Hosts joined by air instead of a bridge: a user-space switch that delays, drops, doubles and reorders what passes.

`Air` decides what becomes of each frame and does nothing else; `Switch` owns one TAP device a host and moves the
frames. The kernel's own netem would do much of this, where it is built in.
"""

import fcntl
import heapq
import itertools
import os
import selectors
import struct
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random
from types import TracebackType

from meshd.clock import Clock, SystemClock

TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
"""From <linux/if_tun.h>: Ethernet frames, without a header of the driver's own."""

MAX_FRAME = 65_536
"""More than any frame of a TAP device."""

FRAMES_AT_ONCE = 64
"""Of one host before the next has its turn."""

MAX_IN_FLIGHT = 20_000
"""Frames that may wait for their time: half a second of a fast transfer. More are dropped, as in any queue."""

LATE = 3.0
"""A frame that is overtaken takes so many times as long as it should."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to frames on their way; shares are 0..1."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    """At most so much more or less than the delay."""

    loss: float = 0.0
    doubled: float = 0.0
    overtaken: float = 0.0
    """Share of frames that arrive late, behind others that were sent after them."""


CALM = Weather()


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where and when a frame comes out."""

    at: float
    host: str


class Air:
    """What becomes of frames: pure but for its memory of who is where."""

    def __init__(self, hosts: Iterable[str], *, random: Random) -> None:
        self.weather = CALM
        self.seen: Counter[str] = Counter()
        """How many frames were carried, lost, doubled, overtaken and cut off."""

        self._hosts = tuple(hosts)
        self._random = random
        self._cuts: frozenset[tuple[str, str]] = frozenset()
        self._home: dict[bytes, str] = {}
        self._free_at: dict[tuple[str, str], float] = {}

    def cut(self, ways: Iterable[tuple[str, str]]) -> None:
        """Let nothing pass these ways, each from one host to another, and everything pass all others."""
        self._cuts = frozenset(ways)

    def is_cut(self, sender: str, receiver: str) -> bool:
        """Return whether nothing passes from the one to the other."""
        return (sender, receiver) in self._cuts

    def carry(self, frame: bytes, sender: str, now: float) -> list[Arrival]:
        """Return where and when a frame arrives: nowhere, or at several hosts, or twice."""
        self._home[frame[6:12]] = sender
        known = self._home.get(frame[:6])
        receivers = [known] if known is not None else self._hosts
        arrivals: list[Arrival] = []
        for receiver in receivers:
            if receiver != sender:
                arrivals += self._carry_to(receiver, sender, now)
        return arrivals

    def _carry_to(self, receiver: str, sender: str, now: float) -> list[Arrival]:
        weather = self.weather
        if self.is_cut(sender, receiver):
            self.seen["cut off"] += 1
            return []
        if self._happens(weather.loss):
            self.seen["lost"] += 1
            return []
        way = (sender, receiver)
        takes = max(0.0, weather.delay_s + self._random.uniform(-1.0, 1.0) * weather.jitter_s)
        if self._happens(weather.overtaken):
            self.seen["overtaken"] += 1
            at = now + takes * LATE
        else:
            # Jitter alone does not reorder: a frame waits for the one before it, as in a queue.
            at = self._free_at[way] = max(now + takes, self._free_at.get(way, 0.0))
        times = 1
        if self._happens(weather.doubled):
            self.seen["doubled"] += 1
            times = 2
        self.seen["carried"] += 1
        return [Arrival(at, receiver)] * times

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share


class Switch:
    """The TAP devices of some hosts, and a thread that carries frames between them; `with` it."""

    def __init__(self, air: Air, *, clock: Clock | None = None) -> None:
        self.air = air
        self._clock = clock or SystemClock()
        self._taps: dict[str, int] = {}
        self._selector = selectors.DefaultSelector()
        self._waiting: list[tuple[float, int, str, bytes]] = []
        self._order = itertools.count()
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._carry_all, name="switch", daemon=True)

    def plug_in(self, host: str, entered: AbstractContextManager[None], *, device: str = "eth0") -> None:
        """Make a network device in the namespace that the block `entered` enters; before the `with` block."""
        with entered:
            tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TAP | IFF_NO_PI))
        self._taps[host] = tap
        self._selector.register(tap, selectors.EVENT_READ, host)

    def __enter__(self) -> "Switch":
        """Begin to carry."""
        self._selector.register(self._stop_read, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Carry nothing more; the devices go."""
        os.write(self._stop_write, b"x")
        self._thread.join()
        self._selector.close()
        for descriptor in (*self._taps.values(), self._stop_read, self._stop_write):
            os.close(descriptor)

    def _carry_all(self) -> None:
        while True:
            self._deliver()
            for key, _ in self._selector.select(self._until_next()):
                if key.data is None:
                    return
                self._take(key.fd, str(key.data))

    def _until_next(self) -> float | None:
        return max(0.0, self._waiting[0][0] - self._clock.boot()) if self._waiting else None

    def _take(self, tap: int, host: str) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame = os.read(tap, MAX_FRAME)
            except OSError:
                # Nothing more at the moment, or the device is down.
                return
            for arrival in self.air.carry(frame, host, self._clock.boot()):
                if len(self._waiting) < MAX_IN_FLIGHT:
                    heapq.heappush(self._waiting, (arrival.at, next(self._order), arrival.host, frame))

    def _deliver(self) -> None:
        now = self._clock.boot()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, host, frame = heapq.heappop(self._waiting)
            try:
                os.write(self._taps[host], frame)
            except OSError:
                # The device is down: nobody receives.
                continue
