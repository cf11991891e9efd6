"""What befalls devices, disks and lines, as often as a history's options say; then it ends."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.line import Line

if TYPE_CHECKING:
    from tests.simulation.nodes_world import Device, World

ROT_AGAIN_S = 2.0
"""Until a disk that had no blobs is looked at again: most of a history's time there are none."""


class Troubles:
    """The faults of one history."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.rng

    def plan(self) -> None:
        """Draw what will happen, and when."""
        world, options = self._world, self._world.options
        for device in world.devices:
            self.often(options.crashes * 1.5, world.crash, device)
            self.often(options.graceful_restarts, self._restart, device)
            self.often(options.full_disks * 1.5, self._fill_disk, device)
            self.often(options.slow_disks * 1.5, self._slow_disk, device)
            self.often(options.clock_jumps, self._jump, device)
            self.often(options.wipes * 0.6, world.wipe, device)
            self.often(options.pauses * 1.2, self._sleep, device)
            self.often(options.rot * 4.0, self._rot, device)
        for line in world.lines.values():
            self.often(options.cuts * 3.0, self._cut, line)
            self.often(options.partitions * 2.0, self._partition, line)
            self.often(options.slow_lines * 1.5, self._slow_line, line)
            if options.silences:
                self._silence(line)

    def often(self, expected: float, what: Callable[..., None], *args: object) -> None:
        """Let it happen about so many times in the time of trouble."""
        share = expected
        while share > 0:
            if self._rng.random() < share:
                self._world.at(self._rng.uniform(1.0, self._world.options.trouble_s), what, *args)
            share -= 1.0

    def _rot(self, device: "Device") -> None:
        """Damage a blob, as soon as there is one."""
        if not device.blobs.rot():
            later = self._world.now() + ROT_AGAIN_S
            if later < self._world.options.trouble_s:
                self._world.at(later, self._rot, device)

    def end(self) -> None:
        """Mend everything."""
        for line in self._world.lines.values():
            line.heal()
            line.slow_s = 0.0
        for device in self._world.devices:
            device.disk.slow_s = 0.0
            device.disk.connection.full = device.blobs.full = False

    def _during(self, span: tuple[float, float], undo: Callable[[], None]) -> float:
        """Undo a trouble after a while; return when."""
        until = min(self._world.options.trouble_s, self._world.now() + self._rng.uniform(*span))
        self._world.at(until, undo)
        return until

    # Devices

    def _restart(self, device: "Device") -> None:
        """End the daemon as its user does, and start it again."""
        world, daemon = self._world, device.serving
        if daemon is None:
            return
        world.monitor.note(device.id, "its daemon is stopped by its user")
        world.monitor.disturbed(device.id, world.now() + 10.0)

        async def stop() -> None:
            await daemon.stop()
            world.later(0.0, world.end, device, daemon, (0.5, 3.0))

        daemon.spawn(stop(), f"stop {device.id}")

    def _sleep(self, device: "Device") -> None:
        self._world.sleep(device, self._rng.choice((3.0, 20.0, 60.0)))

    def _jump(self, device: "Device") -> None:
        self._world.monitor.note(device.id, "its wall clock jumps")
        device.clock.wall_offset += self._rng.choice((-1.0, 1.0)) * self._rng.choice((30.0, 3600.0, 86400.0))

    def _fill_disk(self, device: "Device") -> None:
        monitor, connection = self._world.monitor, device.disk.connection
        monitor.note(device.id, "its disk is full")
        connection.full, connection.full_at_commit = True, self._rng.random() < 0.5
        device.blobs.full = True

        def empty() -> None:
            monitor.note(device.id, "its disk has room again")
            connection.full = device.blobs.full = False

        monitor.disturbed(device.id, self._during((1.0, 40.0), empty) + 8.0)

    def _slow_disk(self, device: "Device") -> None:
        device.disk.slow_s = self._rng.choice((0.1, 1.0, 5.0))

        def mend() -> None:
            device.disk.slow_s = 0.0

        self._world.monitor.disturbed(device.id, self._during((2.0, 20.0), mend) + 10.0)

    # Lines

    def _cut(self, line: Line) -> None:
        self._world.monitor.note("world", "a line is cut")
        line.cut()

    def _partition(self, line: Line) -> None:
        self.block(line, self._rng.choice(((1.0, 9.0), (10.0, 60.0), (45.0, 80.0))))

    def block(self, line: Line, span: tuple[float, float]) -> None:
        """Let nothing through for a while, at times in one direction only."""
        one, other = sorted(next(pair for pair, known in self._world.lines.items() if known is line))
        self._world.monitor.note("world", f"the line between {one} and {other} is blocked")
        senders = [one, other]
        if self._rng.random() < self._world.options.one_way:
            senders = [self._rng.choice(senders)]
        for sender in senders:
            line.block(sender)
        self._world.monitor.in_touch(one, other, can_talk=False)
        self._during(span, line.heal)

    def _silence(self, line: Line) -> None:
        """Cut the devices off for longer than a lease, while they work for each other; the last words came slowly."""
        world, options = self._world, self._world.options
        start = options.trouble_s * self._rng.uniform(0.3, 0.5)

        def crawl() -> None:
            line.slow_s = self._rng.choice((0.0, 3.0))

        def block() -> None:
            for device in sorted(next(pair for pair, known in world.lines.items() if known is line)):
                line.block(device)

        def heal() -> None:
            line.slow_s = 0.0
            line.heal()

        world.at(start - self._rng.uniform(5.0, 12.0), crawl)
        world.at(start, block)
        world.at(min(options.trouble_s, start + self._rng.uniform(45.0, 70.0)), heal)

    def _slow_line(self, line: Line) -> None:
        line.slow_s = self._rng.choice((0.2, 1.0, 3.0))

        def mend() -> None:
            line.slow_s = 0.0

        self._during((3.0, 30.0), mend)
