"""What it costs when one job prints a lot: `python -m tests.bench.logs`.

A command prints a hundred thousand lines a second for ten seconds, paced, while somebody follows it and the daemon is
asked for its health fifty times a second. The delay of those answers stands for the event loop's lag: it has the whole
way through HTTP in it besides. Afterwards every line must be on disk, in order.

Prints a JSON line a figure; the exit status is 1 when a promise is not kept. Takes half a minute.
"""

import argparse
import http.client
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from meshd_protocol.localapi import END_STATES, JobRequest
from tests.bench.figures import Figure, tell
from tests.faults.daemon import RealDaemon, a_daemon

LINES_A_SECOND = 100_000
SECONDS = 10
LOOK_S = 0.02
GOAL_LAG_MS = 50.0
GOAL_MEMORY_MIB = 32.0

PRINT = """
import sys, time
rate, seconds = int(sys.argv[1]), int(sys.argv[2])
began = time.monotonic()
for tenth in range(seconds * 10):
    lines = range(tenth * rate // 10, (tenth + 1) * rate // 10)
    sys.stdout.write("".join(f"line {n:09d} of a job that prints a lot\\n" for n in lines))
    sys.stdout.flush()
    time.sleep(max(0.0, began + (tenth + 1) / 10 - time.monotonic()))
print(f"took {time.monotonic() - began:.2f} s", file=sys.stderr)
"""
"""Paced by tenths of a second: what comes in between is as fast as the pipe takes it."""


class Watch(threading.Thread):
    """Asks the daemon again and again how it is."""

    def __init__(self, daemon: RealDaemon) -> None:
        super().__init__(daemon=True)
        self.lags_ms: list[float] = []
        self.stopped = threading.Event()
        port, _ = daemon.client.connection.find()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def run(self) -> None:
        """Ask until it is enough."""
        while not self.stopped.wait(LOOK_S):
            began = time.perf_counter()
            self._connection.request("GET", "/health")
            self._connection.getresponse().read()
            self.lags_ms.append((time.perf_counter() - began) * 1000)


def measure(daemon: RealDaemon, *, rate: int, seconds: int) -> list[Figure]:
    """Let one job print; return the figures."""
    process = psutil.Process(daemon.pid)
    quiet = Watch(daemon)
    quiet.start()
    time.sleep(2.0)
    quiet.stopped.set()
    quiet.join()
    before = most = process.memory_info().rss
    watch = Watch(daemon)
    watch.start()
    spec: dict[str, object] = {"argv": [sys.executable, "-c", PRINT, str(rate), str(seconds)]}
    began = time.perf_counter()
    job = daemon.client.submit(JobRequest(kind="command", spec=spec)).id
    after, seen = 0, 0
    while not (page := daemon.client.log(job, after=after, hold_s=1.0)).done or page.data:
        after = page.offset + len(page.data)
        seen += page.data.count(b"\n")
        most = max(most, process.memory_info().rss)
    took_s = time.perf_counter() - began
    watch.stopped.set()
    watch.join()
    while (view := daemon.client.look(job)).state not in END_STATES:
        time.sleep(LOOK_S)
    assert view.state == "completed", view.error
    lost = rate * seconds - in_order(daemon, job)
    return [
        Figure("lines that were printed", "1/s", [rate * seconds / took_s]),
        Figure("lines that are not on disk", "", [lost], goal=0),
        Figure("lines that a follower has not seen", "", [rate * seconds + 1 - seen]),
        Figure("answer of /health, quiet", "ms", quiet.lags_ms),
        Figure("answer of /health, while it prints", "ms", watch.lags_ms, goal=GOAL_LAG_MS, share=0.99),
        Figure("memory of the daemon, more than before", "MiB", [(most - before) / 2**20], goal=GOAL_MEMORY_MIB),
    ]


def in_order(daemon: RealDaemon, job: str) -> int:
    """Return how many lines lie on disk, each after the one before."""
    data = b"".join(file.read_bytes() for file in sorted((daemon.paths.logs / "jobs" / job / "1").glob("*.log")))
    lines = [line for line in data.splitlines() if line.startswith(b"line ")]
    return sum(line[5:14] == b"%09d" % number for number, line in enumerate(lines))


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.logs", description=__doc__)
    parser.add_argument("--rate", type=int, default=LINES_A_SECOND, help="lines a second")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, a_daemon(Path(folder)) as daemon:
        daemon.start()
        daemon.wait_until_ready()
        figures = measure(daemon, rate=arguments.rate, seconds=arguments.seconds)
        daemon.stop()
    return tell(figures)


if __name__ == "__main__":
    sys.exit(main())
