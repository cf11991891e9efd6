"""How fast blobs travel: `python -m tests.bench.bulk`, 256 MiB there and back between two processes.

Each has a device with its database, session, listener and folder of blobs. What is fetched is hashed by both sides and
on disk at the end. Beside it, in the same run, a bare aiohttp stream over TLS, of memory to nowhere. While a blob
travels, small messages go to and fro over the session every 10 ms.

Prints `{"metric", "value", "unit"}` lines; the exit status is 1 when a goal is not met. Takes about half a minute.
"""

import argparse
import base64
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from tests.bench.echo import tell

SIZE = 256 << 20
ROUNDS = 5

SHARE_GOAL = 0.4
"""Of the bare stream, which neither hashes nor writes."""

P99_GOAL_S = 0.05
"""A heartbeat or a job's message that waits for longer would be felt."""


class Process:
    """One side."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._in, self._out = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)

    def ask(self, *command: object) -> list[object]:
        """Return the answer to a command, as a list."""
        self.send(*command)
        return self.receive()

    def send(self, *command: object) -> None:
        """Give a command."""
        self._in.write(json.dumps(command) + "\n")
        self._in.flush()

    def receive(self) -> list[object]:
        """Return the answer to the command before."""
        line = self._out.readline()
        assert line, "a side has ended: see above"
        answer: object = json.loads(line)
        return cast("list[object]", answer) if isinstance(answer, list) else [answer]


@dataclass
class Figures:
    """What one way to move the bytes has taken, a round an entry."""

    seconds: list[float] = field(default_factory=list[float])
    wants: list[Sequence[float]] = field(default_factory=list[Sequence[float]])
    gives: list[Sequence[float]] = field(default_factory=list[Sequence[float]])
    """Seconds of a processor: of the whole process, and of its event loop."""

    @contextmanager
    def measured(self, wants: Process, gives: Process) -> Generator[None]:
        """Note how much of the processors both sides use inside the block."""
        before = [cast("list[float]", side.ask("cpu")) for side in (wants, gives)]
        yield
        after = [cast("list[float]", side.ask("cpu")) for side in (wants, gives)]
        for kept, old, new in zip((self.wants, self.gives), before, after, strict=True):
            kept.append([b - a for a, b in zip(old, new, strict=True)])

    def rate(self, size: int) -> float:
        """Return MB/s."""
        return size / 1e6 / statistics.median(self.seconds)

    def tell_processor(self, what: str, size: int) -> None:
        """Print what a GB costs each side: it hardly depends on what else the machine does."""
        for side, rounds in (("receiver", self.wants), ("sender", self.gives)):
            for part, used in zip(("whole", "loop"), zip(*rounds, strict=True), strict=True):
                tell(f"bulk: {what}, {side}, {part}", statistics.median(used) * 1e9 / size, "processor s/GB")


@contextmanager
def open_sides(folder: Path) -> Generator[tuple[Process, Process]]:
    """Start both processes, paired: the first one dials the second."""
    processes: list[subprocess.Popen[str]] = []
    try:
        for name in ("laptop", "pc"):
            (folder / name).mkdir()
            command = [sys.executable, "-m", "tests.bench.bulk_side", str(folder / name)]
            processes.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
            )
        laptop, pc = (Process(process) for process in processes)
        key = base64.b64encode(os.urandom(32)).decode()
        one, other = laptop.ask("who"), pc.ask("who")
        # The one that is dialled answers only when it is talked to, so nobody waits for its answer first.
        pc.send("meet", one[0], one[1], key, [])
        laptop.ask("meet", other[0], other[1], key, [f"127.0.0.1:{other[2]}"])
        pc.receive()
        yield laptop, pc
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bulk", description="How fast blobs travel.")
    parser.add_argument("--mebibytes", type=int, default=SIZE >> 20, help="of the blob (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each figure the median (%(default)s)")
    given = parser.parse_args()
    size = given.mebibytes << 20
    bare = Figures()
    took = {"fetched by who dialled": Figures(), "fetched by who was dialled": Figures()}
    trips: list[float] = []
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as folder, open_sides(Path(folder)) as (laptop, pc):
        port = pc.ask("who")[3]
        for _ in range(given.rounds):
            # In turn, so that whatever else the machine does meets all of them.
            with bare.measured(laptop, pc):
                bare.seconds += cast("list[float]", laptop.ask("bare", port, size))
            for figures, (wants, gives) in zip(took.values(), ((laptop, pc), (pc, laptop)), strict=True):
                digest, _ = gives.ask("put", size)
                with figures.measured(wants, gives):
                    seconds, between = wants.ask("fetch", digest, size)
                figures.seconds.append(cast("float", seconds))
                trips += cast("list[float]", between)
                for side in (laptop, pc):
                    side.ask("drop", digest)
    return report(size, bare, took, sorted(trips))


def report(size: int, bare: Figures, took: dict[str, Figures], trips: Sequence[float]) -> int:
    """Print the figures; return the exit status."""
    fastest = bare.rate(size)
    tell("bulk: bare aiohttp stream over TLS", fastest, "MB/s")
    bare.tell_processor("bare aiohttp stream over TLS", size)
    p99 = trips[math.ceil(0.99 * len(trips)) - 1]
    status = int(p99 > P99_GOAL_S)
    for direction, figures in took.items():
        rate = figures.rate(size)
        tell(f"bulk: {direction}", rate, "MB/s")
        tell(f"bulk: {direction}, of the bare stream", rate / fastest, "")
        figures.tell_processor(direction, size)
        status |= int(rate < SHARE_GOAL * fastest)
    tell("bulk: messages meanwhile p50", 1000 * statistics.median(trips), "ms")
    tell("bulk: messages meanwhile p99", 1000 * p99, "ms")
    tell("load average", os.getloadavg()[0], "")
    return status


if __name__ == "__main__":
    sys.exit(main())
