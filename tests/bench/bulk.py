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
    bare: list[float] = []
    took: dict[str, list[float]] = {"fetched by who dialled": [], "fetched by who was dialled": []}
    trips: list[float] = []
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as folder, open_sides(Path(folder)) as (laptop, pc):
        port = pc.ask("who")[3]
        digest, _ = pc.ask("put", size)
        laptop.ask("put", size)
        for _ in range(given.rounds):
            bare += cast("list[float]", laptop.ask("bare", port, size))
        for direction, (wants, gives) in zip(took, ((laptop, pc), (pc, laptop)), strict=True):
            for _ in range(given.rounds):
                digest, _ = gives.ask("put", size)
                seconds, between = wants.ask("fetch", digest, size)
                took[direction].append(cast("float", seconds))
                trips += cast("list[float]", between)
                for side in (laptop, pc):
                    side.ask("drop", digest)
    return report(size, bare, took, sorted(trips))


def report(size: int, bare: Sequence[float], took: dict[str, list[float]], trips: Sequence[float]) -> int:
    """Print the figures; return the exit status."""
    fastest = size / 1e6 / statistics.median(bare)
    tell("bulk: bare aiohttp stream over TLS", fastest, "MB/s")
    p99 = trips[math.ceil(0.99 * len(trips)) - 1]
    status = int(p99 > P99_GOAL_S)
    for direction, seconds in took.items():
        rate = size / 1e6 / statistics.median(seconds)
        tell(f"bulk: {direction}", rate, "MB/s")
        tell(f"bulk: {direction}, of the bare stream", rate / fastest, "")
        status |= int(rate < SHARE_GOAL * fastest)
    tell("bulk: messages meanwhile p50", 1000 * statistics.median(trips), "ms")
    tell("bulk: messages meanwhile p99", 1000 * p99, "ms")
    tell("load average", os.getloadavg()[0], "")
    return status


if __name__ == "__main__":
    sys.exit(main())
