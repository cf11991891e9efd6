"""The lines between devices: latency, directions that can be blocked, cuts that lose what is under way."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field

from meshd.net.channel import ChannelClosed
from meshd_protocol import codec
from meshd_protocol.errors import Code
from meshd_protocol.ids import DeviceId
from meshd_protocol.messages import jobs
from meshd_protocol.messages import session as wire
from meshd_protocol.messages.base import Message
from tests.simulation.monitor import Monitor

HEARTBEAT_NOTICES_S = (4.5, 10.0)
"""How long after a direction was blocked one side's heartbeat finds out: measured on real sockets."""


@dataclass(slots=True)
class Line:
    """What lies between two devices."""

    rng: random.Random
    slow_s: float = 0.0
    blocked: set[DeviceId] = field(default_factory=set[DeviceId])
    """The devices from which nothing comes through."""

    asleep: set[DeviceId] = field(default_factory=set[DeviceId])
    """The devices whose machines sleep."""

    ends: list["LineSession"] = field(default_factory=list["LineSession"])
    """The ends of every session on it that are not over."""

    def latency_s(self) -> float:
        """Return how long the next frame is under way."""
        return self.rng.uniform(0.0005, 0.004) + (self.rng.uniform(0.0, self.slow_s) if self.slow_s else 0.0)

    def block(self, sender: DeviceId) -> None:
        """Let nothing through from this device; each side finds out by itself, later."""
        self.blocked.add(sender)
        for end in list(self.ends):
            end.doubt()

    def heal(self) -> None:
        """Let everything through; what was held up arrives, unless its session is over by now."""
        self.blocked.clear()
        for end in list(self.ends):
            end.flow()

    def sleep(self, device: DeviceId) -> None:
        """Let a device take and send nothing; the other side finds out by itself, later."""
        self.asleep.add(device)
        for end in list(self.ends):
            if end.peer == device:
                end.doubt()

    def wake(self, device: DeviceId) -> None:
        """Let a device take what has come, or find out that its sessions are over."""
        self.asleep.discard(device)
        for end in list(self.ends):
            if end.owner == device:
                end.wake()

    def cut(self) -> None:
        """End every session at both ends; what was under way is lost."""
        for end in list(self.ends):
            end.hear_end(None)


class LineSession:
    """One end of a session: see `meshd.net.streams.Session`. Frames pass through the codec, as on the wire."""

    def __init__(self, owner: DeviceId, peer: DeviceId, line: Line, monitor: Monitor, number: int) -> None:
        self.owner = owner
        self.peer = peer
        self.number = number
        self._line = line
        self._monitor = monitor
        self._other: LineSession | None = None
        self._inbox: deque[bytes] = deque()
        self._held_up: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._ended = False
        self._last_arrival = 0.0
        self._doubted = False
        self._over_at_wake: Code | None = None
        self._told: Code | None = None
        line.ends.append(self)

    def join(self, other: "LineSession") -> None:
        self._other = other

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes or goes here."""
        return self._ended

    @property
    def told(self) -> Code | None:
        """Return why the other side ended the session, if it has and said so."""
        return self._told

    def post(self, message: Message) -> None:
        if self._ended:
            raise ChannelClosed(None, "the session is over")
        if isinstance(message, wire.Durable):
            for seq, _ in enumerate(message.frames, start=message.seq):
                self._monitor.streams.sent(self.owner, self.peer, seq)
        loop = asyncio.get_running_loop()
        # A stream of bytes: nothing overtakes.
        self._last_arrival = max(self._last_arrival + 1e-6, loop.time() + self._line.latency_s())
        assert self._other is not None
        loop.call_at(self._last_arrival, self._other.arrive, codec.encode(message), context=Context())

    async def send(self, message: Message) -> None:
        self.post(message)
        await asyncio.sleep(0)

    async def receive(self) -> Message:
        while not self._inbox:
            if self._ended:
                raise ChannelClosed(None, "the session is over")
            self._filled.clear()
            await self._filled.wait()
        message = codec.decode(self._inbox.popleft())
        if isinstance(message, wire.Durable):
            for seq, frame in enumerate(message.frames, start=message.seq):
                self._monitor.streams.arrived(self.owner, self.peer, seq)
                if message.answered and isinstance(offer := codec.decode(frame), jobs.Offer):
                    self._monitor.leased_with_its_offer(self.owner, (self.peer, offer.job, offer.attempt))
        return message

    async def close(self, code: Code = Code.LEAVING, reason: str = "") -> None:
        """End the session; the other end hears of it if it can."""
        self.hang_up(code)

    def hang_up(self, code: Code = Code.LEAVING) -> None:
        """End it here, and there once that is known."""
        if self._ended:
            return
        self.over()
        other = self._other
        assert other is not None
        if self.owner in self._line.blocked:
            other.doubt()
        else:
            delay_s = max(0.0, self._last_arrival - self._now()) + self._line.latency_s()
            self._later(delay_s, other.hear_end, code)

    def vanish(self) -> None:
        """End it here without a word, as a machine does that loses its power."""
        if not self._ended:
            self.over()
            assert self._other is not None
            self._other.doubt(for_good=True)

    def hear_end(self, code: Code | None) -> None:
        """Find the session over, for the reason that the other side gives; a machine that sleeps finds out later."""
        if self.owner in self._line.asleep:
            self._over_at_wake = code or Code.LEAVING
        elif code is None:
            self.over()
        else:
            # What came before the end is still read.
            self._told = self._told or code
            self._finish()

    def wake(self) -> None:
        """Take what has come while the machine slept."""
        if self._over_at_wake is not None:
            # What the other side said was lost: this side sends something, and hears that nobody is there.
            self._later(self._line.rng.uniform(0.0, 5.0), self.over)
        elif self.peer not in self._line.blocked:
            self.flow()

    def over(self) -> None:
        """End it here; what has not been received is lost."""
        self._inbox.clear()
        self._finish()

    def _finish(self) -> None:
        if not self._ended:
            self._ended = True
            self._held_up.clear()
            self._filled.set()
            self._line.ends.remove(self)

    def arrive(self, frame: bytes) -> None:
        """Take a frame from the line."""
        if self._ended:
            return
        if self.peer in self._line.blocked or self.owner in self._line.asleep or self._held_up:
            self._held_up.append(frame)
        else:
            self._inbox.append(frame)
            self._filled.set()

    def flow(self) -> None:
        """Take what was held up."""
        if self.owner in self._line.asleep:
            return
        self._inbox.extend(self._held_up)
        self._held_up.clear()
        self._filled.set()

    def doubt(self, *, for_good: bool = False) -> None:
        """Hear nothing from the other side, and give it up when its heartbeat stays away."""
        if not self._doubted:
            self._doubted = True
            self._later(self._line.rng.uniform(*HEARTBEAT_NOTICES_S), self._give_up, for_good)

    def _give_up(self, for_good: bool) -> None:
        self._doubted = False
        if self.owner in self._line.asleep:
            self._over_at_wake = Code.LEAVING
        # What the other side has ended stays silent, though the line may be well again.
        elif for_good or self._line.blocked or self._line.asleep or (self._other and self._other.is_over):
            self.hang_up()

    def _later(self, delay_s: float, callback: Callable[..., object], *args: object) -> None:
        # On no machine: the line's time goes on while machines sleep.
        asyncio.get_running_loop().call_later(delay_s, callback, *args, context=Context())

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def open_line(
    one: DeviceId, two: DeviceId, line: Line, monitor: Monitor, number: int
) -> tuple[LineSession, LineSession]:
    """Return the session as `one` has it, and as `two` has it."""
    first, second = LineSession(one, two, line, monitor, number), LineSession(two, one, line, monitor, number)
    first.join(second)
    second.join(first)
    return first, second
