"""Level A's world: a heap of events, devices that crash and sleep, and lines that delay, drop, repeat and reorder."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.monitor import Monitor
from tests.simulation.options import Options, luck

if TYPE_CHECKING:
    from tests.simulation.core_device import CoreDevice

HEARTBEAT_NOTICES_S = (4.5, 10.0)
SETTLE_S = 900.0
LOOK_S = 5.0
RESTART_S = (0.5, 40.0)

MAX_EVENTS = 20_000
"""Nearly twenty times what the longest of thousands had: one that gets nowhere is broken, rather than waited for."""


class Crashed(Exception):
    """The device died in the middle of what it was doing."""


@dataclass(slots=True)
class Session:
    """Both ends of one session."""

    number: int
    ends: tuple[str, str]
    is_open: dict[str, bool]
    pairing: int
    """By which pairing the two trust each other in it."""

    arrives_at: dict[str, float] = field(default_factory=dict[str, float])
    held_up: dict[str, list[tuple[object, ...]]] = field(default_factory=dict[str, list[tuple[object, ...]]])

    def other(self, end: str) -> str:
        """Return who is at the other end."""
        return self.ends[1] if end == self.ends[0] else self.ends[0]


@dataclass(slots=True)
class CoreLine:
    """What lies between two devices."""

    ends: tuple[str, str]
    slow_s: float = 0.0
    blocked: set[str] = field(default_factory=set[str])
    session: Session | None = None
    is_due: bool = False
    """Whether it will be tried to have a session."""


class CoreWorld:
    """One history."""

    def __init__(self, name: str, options: Options) -> None:
        self.options = options
        self.rng = luck(name)
        self.now = 0.0
        self.monitor = Monitor(lambda: self.now)
        self.healed = False
        self.devices: dict[str, CoreDevice] = {}
        self._heap: list[tuple[float, int, CoreDevice | None, int, Callable[..., None], tuple[object, ...]]] = []
        self._order = itertools.count()
        self._sessions = itertools.count(1)
        self._draws = itertools.count(1)
        self.lines: dict[frozenset[str], CoreLine] = {}
        self._last_frame_at = 0.0

    def draw(self) -> int:
        """Return a number that nobody has got before."""
        return next(self._draws)

    # Time

    def at(self, time: float, what: Callable[..., None], *args: object) -> None:
        """Let something happen in the world."""
        heapq.heappush(self._heap, (time, next(self._order), None, 0, what, args))

    def later(self, device: "CoreDevice", delay: float, what: Callable[..., None], *args: object) -> None:
        """Let something happen at a device, unless it has died until then."""
        heapq.heappush(self._heap, (self.now + delay, next(self._order), device, device.life, what, args))

    def run(self) -> None:
        """Live through the time of trouble, heal, and see that everything comes to its end."""
        deadline = self.options.trouble_s + SETTLE_S
        heap, monitor = self._heap, self.monitor
        look_at, settle_at = LOOK_S, self.options.trouble_s
        while heap and monitor.violation is None:
            time, number, device, life, what, args = heapq.heappop(heap)
            if number > MAX_EVENTS:
                monitor.broken("liveness", f"{number} events: something goes round in circles")
            if device is not None:
                if device.life != life:
                    continue
                if device.asleep_until > time:
                    # A machine that sleeps does nothing; what was due comes when it wakes.
                    heapq.heappush(heap, (device.asleep_until, next(self._order), device, life, what, args))
                    continue
            self.now = time
            try:
                what(*args)
            except Crashed:
                pass
            except Exception as error:  # noqa: BLE001 - whatever a step raises is what it is tried for
                monitor.broken("I9", repr(error))
            if time >= look_at:
                look_at = time + LOOK_S
                self._note_who_can_talk()
                monitor.check_orphans()
            if time >= settle_at and self.healed:
                settle_at = time + 1.0
                if not monitor.open_jobs() and not self.leftovers():
                    break
                if time > deadline:
                    monitor.broken("liveness", "; ".join(self.leftovers()), next(iter(monitor.open_jobs()), None))
        if monitor.violation is None:
            left = self.leftovers()
            if left:
                monitor.broken("liveness", "; ".join(left))
            for owner in self.devices.values():
                owner.judge()
            monitor.all_at_rest({job for owner in self.devices.values() for job in owner.disk.jobs})

    def leftovers(self) -> list[str]:
        """Return what is still there of work that is over."""
        left = [f"job {job} has not ended" for job in self.monitor.open_jobs()]
        for device in self.devices.values():
            left += device.leftovers()
        return left

    def _note_who_can_talk(self) -> None:
        for line in self.lines.values():
            session = line.session
            asleep = any(self.devices[end].asleep_until > self.now for end in line.ends)
            talks = session is not None and all(session.is_open.values()) and not line.blocked and not asleep
            self.monitor.in_touch(*line.ends, can_talk=talks and not line.slow_s)

    # Lines

    def line(self, one: str, other: str) -> CoreLine:
        """Return what lies between two devices."""
        return self.lines[frozenset((one, other))]

    def latency_s(self, line: CoreLine) -> float:
        """Return how long the next frame is under way."""
        return self.rng.uniform(0.001, 0.01) + (self.rng.uniform(0.0, line.slow_s) if line.slow_s else 0.0)

    def keep_connected(self, line: CoreLine) -> None:
        """Have a session whenever both devices are there."""
        line.is_due = False
        one, two = (self.devices[end] for end in line.ends)
        ready = one.is_awake and two.is_awake and not line.blocked and self._are_paired(one, two)
        if ready and (line.session is None or not all(line.session.is_open.values())):
            old = line.session
            session = line.session = Session(
                next(self._sessions), line.ends, dict.fromkeys(line.ends, True), one.disk.peers[two.name]
            )
            for device in (one, two):
                if old is not None and old.is_open[device.name]:
                    self._close_end(old, device.name)
                device.opened(session)
        if line.session is None or not all(line.session.is_open.values()):
            self.connect_soon(line)

    def connect_soon(self, line: CoreLine) -> None:
        """Try after a while to have a session."""
        if not line.is_due:
            line.is_due = True
            pause = self.rng.uniform(0.5, 2.0) if self.healed else self.rng.uniform(0.5, 6.0)
            self.at(self.now + pause, self.keep_connected, line)

    def _are_paired(self, one: "CoreDevice", two: "CoreDevice") -> bool:
        """Return whether two devices know each other; who was unpaired hears so from the one who did it."""
        ours, theirs = one.disk.peers.get(two.name), two.disk.peers.get(one.name)
        if ours is not None and ours == theirs:
            return True
        for told, by, number in ((one, two, ours), (two, one, theirs)):
            if number is not None and by.disk.former.get(told.name) == number:
                self.monitor.sometime("a device heard late that it was unpaired")
                # Not in here: it may die of it.
                self.at(self.now, told.unpair, by.name, number)
        return False

    def send(self, session: Session, sender: str, frame: tuple[object, ...]) -> None:
        """Put a frame on the line."""
        if not session.is_open[sender]:
            return
        receiver = session.other(sender)
        line = self.line(sender, receiver)
        rng = self.rng
        if not self.healed and self.options.cuts and rng.random() < 0.004 * self.options.cuts:
            self.cut(line)
            return
        arrival = self.now + self.latency_s(line)
        copies = 1
        may_overtake = False
        if self.options.scrambled_frames and not self.healed:
            luck, share = rng.random(), 0.02 * self.options.scrambled_frames
            if luck < share and frame[0] not in {"resume", "start"}:
                return
            copies = 2 if luck < 2 * share else 1
            # Only what carries numbers may be overtaken: the rest relies on the order of a stream of bytes.
            may_overtake = 2 * share < luck < 3 * share and frame[0] in {"durable", "ack"}
        if may_overtake:
            arrival += rng.uniform(0.0, 2.0)
        else:
            arrival = session.arrives_at[receiver] = max(arrival, session.arrives_at.get(receiver, 0.0))
        device = self.devices[receiver]
        for _ in range(copies):
            heapq.heappush(
                self._heap, (arrival, next(self._order), device, device.life, self._arrive, (session, receiver, frame))
            )

    def _arrive(self, session: Session, receiver: str, frame: tuple[object, ...]) -> None:
        if not session.is_open[receiver]:
            return
        if session.other(receiver) in self.line(*session.ends).blocked or session.held_up.get(receiver):
            session.held_up.setdefault(receiver, []).append(frame)
            return
        self.devices[receiver].take(session, frame)

    def hang_up(self, session: Session, end: str, *, unpaired: bool = False) -> None:
        """End a session at one end; the other hears of it, or finds out."""
        if not session.is_open[end]:
            return
        self._close_end(session, end)
        other = session.other(end)
        line = self.line(*session.ends)
        is_heard = end not in line.blocked
        delay = self.latency_s(line) if is_heard else self.rng.uniform(*HEARTBEAT_NOTICES_S)
        at = max(self.now + delay, session.arrives_at.get(other, 0.0))
        self.at(at, self._close_end, session, other)
        if unpaired and is_heard:
            self.at(at, self.devices[other].unpair, end, session.pairing)

    def cut(self, line: CoreLine) -> None:
        """End the session at both ends; what was under way is lost."""
        session = line.session
        if session is not None:
            self.monitor.note("world", f"the line between {line.ends[0]} and {line.ends[1]} is cut")
            for end in line.ends:
                self._close_end(session, end)

    def _close_end(self, session: Session, end: str) -> None:
        if not session.is_open[end]:
            return
        device = self.devices[end]
        if device.asleep_until > self.now:
            # A machine that sleeps finds out when it wakes.
            self.at(device.asleep_until, self._close_end, session, end)
            return
        session.is_open[end] = False
        session.held_up.pop(end, None)
        self.connect_soon(self.line(*session.ends))
        device.closed(session)

    def block(self, line: CoreLine, senders: list[str]) -> None:
        """Let nothing through from these devices; each side finds out by itself, later."""
        self.monitor.note("world", f"nothing comes through from {' and '.join(senders)}")
        line.blocked.update(senders)
        session = line.session
        if session is not None:
            for end in line.ends:
                self.at(self.now + self.rng.uniform(*HEARTBEAT_NOTICES_S), self._notice, line, session, end)

    def _notice(self, line: CoreLine, session: Session, end: str) -> None:
        asleep = any(self.devices[name].asleep_until > self.now for name in line.ends)
        if line.blocked or asleep:
            self.hang_up(session, end)

    def heal_line(self, line: CoreLine) -> None:
        """Let everything through; what was held up arrives, unless its session is over by now."""
        line.blocked.clear()
        line.slow_s = 0.0
        session = line.session
        if session is not None:
            for end in line.ends:
                frames = session.held_up.pop(end, [])
                for frame in frames:
                    if session.is_open[end]:
                        device = self.devices[end]
                        self.later(device, 0.0, self._arrive, session, end, frame)

    def sleep(self, device: "CoreDevice", seconds: float) -> None:
        """Suspend a machine: it does nothing, and its boot clock goes on."""
        if device.is_up and device.asleep_until <= self.now:
            self.monitor.note(device.name, f"sleeps for {seconds:.1f} s")
            device.asleep_until = self.now + seconds
            self.monitor.sleeping(device.name, device.asleep_until)
            self.monitor.disturbed(device.name, device.asleep_until + 10.0)
            device.slept_since = self.now
            self.at(device.asleep_until, self._wake, device, device.life)
            for pair, line in self.lines.items():
                if device.name in pair and line.session is not None:
                    other = line.session.other(device.name)
                    self.at(self.now + self.rng.uniform(*HEARTBEAT_NOTICES_S), self._notice, line, line.session, other)

    def wake(self, device: "CoreDevice") -> None:
        """Let a machine go on."""
        if device.asleep_until > self.now:
            device.asleep_until = self.now
        if device.slept_since is not None:
            self.monitor.back(device.name, slept_s=self.now - device.slept_since)
            device.slept_since = None

    def _wake(self, device: "CoreDevice", life: int) -> None:
        if device.life == life:
            self.wake(device)
