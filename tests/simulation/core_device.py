"""Level A's device: the decisions are production's pure functions, the driver around them is as small as it can be.

What is on its disk is plain values; a transaction is a function that changes them and leaves effects, and the
device may die between any two of those.
"""

from collections.abc import Callable

from meshd_protocol.limits import HEARTBEAT_S
from tests.simulation.core_disk import CoreDisk, Effects
from tests.simulation.core_executor import CoreExecutor
from tests.simulation.core_origin import CoreOrigin
from tests.simulation.core_streams import CoreStreams
from tests.simulation.core_world import CoreWorld, Crashed, Session
from tests.simulation.workers import KINDS

INSIST_S = 2.0


class CoreDevice:
    """One device, through all its lives."""

    def __init__(self, world: CoreWorld, name: str) -> None:
        rng = world.rng
        self.name = name
        self.world = world
        self.disk = CoreDisk()
        self.life = 0
        self.boot_id = ""
        self.is_up = False
        self.is_full = False
        self.asleep_until = 0.0
        self.slept_since: float | None = None
        self.rate = 1.0 + (rng.uniform(-0.02, 0.02) if world.options.clock_drift else 0.0)
        self.started_at = rng.uniform(0.0, 1e6)
        self.wall_offset = 1_700_000_000.0
        self.speed = 1.0
        self._forget_memory()

    # Clocks

    def boot(self) -> float:
        return self.started_at + self.world.now * self.rate

    def wall(self) -> float:
        return self.wall_offset + self.world.now

    @property
    def is_awake(self) -> bool:
        """Whether it serves anybody now."""
        return self.is_up and self.asleep_until <= self.world.now

    # Life and death

    def _forget_memory(self) -> None:
        self.origin = CoreOrigin(self)
        self.executor = CoreExecutor(self)
        self.streams = CoreStreams(self)

    def start(self) -> None:
        """Read the disk, then serve."""
        if self.is_up:
            return
        self.life += 1
        self.boot_id = f"boot{self.life}of{self.name}"[:12]
        self._forget_memory()
        self.is_up = True
        self.world.monitor.note(self.name, "its daemon starts")
        self.world.monitor.back(self.name)
        if not self.commit(self._load):
            self.die(again_in=2.0)
            return
        self.world.later(self, HEARTBEAT_S, self._beat)

    def _load(self, effects: Effects) -> None:
        self.executor.load(effects)
        self.origin.load(effects)

    def _beat(self) -> None:
        self.world.later(self, HEARTBEAT_S, self._beat)
        self.executor.beat()
        # What peers tell of their load wakes placement in production; here time does.
        if self.origin.has_waiting_jobs():
            self.origin.wake()

    def die(self, *, again_in: float | None = None) -> None:
        """End at once, with all that is only in memory."""
        if not self.is_up:
            return
        self.is_up = False
        self.life += 1
        self._forget_memory()
        world = self.world
        world.monitor.crashed(self.name)
        for line in world.lines.values():
            if line.session is not None and self.name in line.ends:
                world.hang_up(line.session, self.name)
        if again_in is None:
            again_in = 1.0 if world.healed else world.rng.uniform(0.5, 40.0)
        self.asleep_until = 0.0
        self.slept_since = None
        world.at(world.now + again_in, self.start)

    def wipe(self) -> None:
        """Lose the database; it stays paired."""
        self.die()
        peers = self.disk.peers
        self.disk = CoreDisk(peers=peers)
        self.world.monitor.wiped(self.name)
        for peer in peers:
            self.world.monitor.paired(self.name, peer, KINDS)

    # Transactions

    def commit(self, change: Callable[[Effects], None]) -> bool:
        """Change the disk, then do what follows; return False when the disk does not take it."""
        world = self.world
        if self.is_full:
            world.monitor.sometime("a disk refused a write")
            return False
        effects: Effects = []
        change(effects)
        risk = 0.0 if world.healed else 0.004 * world.options.commit_crashes
        life = self.life
        for effect in effects:
            if risk and world.rng.random() < risk:
                world.monitor.note(self.name, "dies between a commit and what follows")
                world.monitor.sometime("a crash between commit and effect")
                self.die()
                raise Crashed
            effect()
            if self.life != life:
                raise Crashed
        return True

    def insist(self, change: Callable[[Effects], None], done: Callable[[], None]) -> None:
        """Change the disk as soon as it takes it."""
        if self.commit(change):
            done()
        else:
            self.world.later(self, INSIST_S, self.insist, change, done)

    # Pairing

    def pair(self, peer: str, number: int) -> None:
        """Trust a device, from this pairing on; one that is trusted already keeps its streams."""

        def keep(effects: Effects) -> None:
            self.disk.peers[peer] = number
            self.disk.former.pop(peer, None)
            self.world.monitor.paired(self.name, peer, KINDS)
            effects.append(lambda: self.streams.hang_up(peer))

        if self.is_awake:
            self.commit(keep)

    def unpair(self, peer: str, pairing: int | None = None) -> None:
        """Trust a device no longer, with all that follows; unless it is trusted by another pairing than this by now."""

        def forget(effects: Effects) -> None:
            disk = self.disk
            disk.former[peer] = disk.peers.pop(peer)
            for table in (disk.outbound, disk.outbox, disk.inbound):
                table.pop(peer, None)
            for key in [key for key in disk.held if key[0] == peer]:
                del disk.held[key]
            self.world.monitor.unpaired(self.name, peer)
            effects.append(lambda: self.executor.forget(peer))
            effects.append(lambda: self.origin.forget(peer))
            effects.append(lambda: self.streams.hang_up(peer, unpaired=True))

        if self.is_awake and peer in self.disk.peers and pairing in {None, self.disk.peers[peer]}:
            self.commit(forget)

    # Sessions

    def opened(self, session: Session) -> None:
        """Begin to talk."""
        self.streams.opened(session)

    def closed(self, session: Session) -> None:
        """Note that a session is over."""
        peer = self.streams.closed(session)
        if peer is not None:
            self.executor.closed(peer)
            self.origin.closed(peer)

    def take(self, session: Session, frame: tuple[object, ...]) -> None:
        """Take a frame from the line."""
        self.streams.take(session, frame)

    # The end

    def leftovers(self) -> list[str]:
        """Return what is still there of work that is over."""
        if not self.is_up:
            return [f"{self.name} is not up"]
        left = [f"{len(box)} messages of {self.name} wait for {peer}" for peer, box in self.disk.outbox.items() if box]
        left += [f"{self.name} holds {key} on disk" for key in self.disk.held]
        left += [f"{self.name} has a checkpoint of {job}" for job in self.disk.partials]
        left += [f"{len(self.disk.blobs)} blobs of {self.name}"] * bool(self.disk.blobs)
        left += [f"{self.name} holds {key}" for key in self.executor.holdings]
        left += [f"{self.name} has a lease on {key}" for key in self.origin.leases._watched]  # pyright: ignore[reportPrivateUsage]
        return left

    def judge(self) -> None:
        """Let the monitor see what is on the disk."""
        for job in self.disk.jobs.values():
            number, answer = self.disk.results.get(job.id, (None, None))
            self.world.monitor.at_rest(job.id, job.state, number)
            if job.state == "completed":
                self.world.monitor.checkpoints.result(job.id, answer)
