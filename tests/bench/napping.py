"""What sharing a job costs by itself: `python -m tests.bench.napping`.

Two daemons on loopback, and a job whose units sleep (`tests.bench.naps`), alone and shared. Processors have next to
nothing to do, so that a busy machine changes little: what is missing to twice as fast is time in which a device waits
for another one. `python -m tests.bench.spread` shows the same of real work, and needs a quiet machine.

Prints a JSON line a figure, and what each attempt did; the exit status is 1 when a promise is not kept.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

from meshd import __main__ as daemon
from meshd import kinds, node
from meshd.errors import PeerRefused
from meshd.execution.spawner import open_spawner
from meshd_protocol.localapi import JobRequest, JobView
from tests.bench.lan import note
from tests.execution.workshop import TEST_ARGV
from tests.faults.daemon import RealDaemon
from tests.support.hosts import until

SECONDS = 18.0
GAIN = 1.8
PATIENCE_S = 60.0
KINDS: Mapping[str, str] = {**kinds.BUILT_IN, "naps": "tests.bench.naps"}
AS_DAEMON = "--daemon"


class NappingDaemon(RealDaemon):
    """A daemon that takes jobs of the kind `naps`."""

    program: Sequence[str] = ("-m", "tests.bench.napping", AS_DAEMON)


def be_daemon() -> int:
    """Be the daemon of `MESHD_HOME`."""
    sys.argv = sys.argv[:1]
    with (
        patch.object(kinds, "BUILT_IN", KINDS),
        patch.object(node, "open_spawner", partial(open_spawner, argv=TEST_ARGV)),
    ):
        return daemon.main()


@contextmanager
def open_pair(folder: Path) -> Generator[tuple[RealDaemon, RealDaemon]]:
    """Have two daemons that are paired: the laptop, which may have such jobs done on the pc, and the pc."""
    opened: list[RealDaemon] = []
    for name in ("laptop", "pc"):
        (folder / name).mkdir()
        home = folder / name / "home"
        opened.append(NappingDaemon(home, folder / name / "log", MESHD_NAME=name, MESHD_RATES="naps=1.0"))
    laptop, pc = opened
    try:
        for each in opened:
            each.start()
            each.wait_until_ready()
        laptop.client.accept(pc.client.open_code().code, address=f"127.0.0.1:{pc.client.status().peer_port}")
        pc.client.permit("laptop", "naps", allowed=True)
        until(lambda: is_taken(laptop), within_s=PATIENCE_S, what="the pc takes naps")
        yield laptop, pc
    finally:
        for each in opened:
            each.kill()


def ran(laptop: RealDaemon, where: str, seconds: float) -> JobView:
    """Return a job that has ended."""
    job = laptop.client.submit(JobRequest(kind="naps", spec={"seconds": seconds}, placement=where)).id
    for _ in laptop.client.follow(job, timeout_s=PATIENCE_S):
        pass
    view = laptop.client.job(job)
    assert view.state == "completed", view.error
    return view


def is_taken(laptop: RealDaemon) -> bool:
    """Return whether the pc does such jobs for the laptop."""
    try:
        ran(laptop, "pc", 0.1)
    except PeerRefused:
        return False
    return True


def main() -> int:
    """Measure and print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.napping", description="What sharing a job costs.")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--repetitions", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as folder, open_pair(Path(folder)) as (laptop, _):
        ran(laptop, "local", 0.1)
        alone = ran(laptop, "local", given.seconds)
        shared = [ran(laptop, "auto", given.seconds) for _ in range(given.repetitions)]
    for view in shared:
        tell_story(view)
    assert all(view.result == alone.result for view in shared)
    one, both = alone.duration_s or 0.0, sorted(view.duration_s or 0.0 for view in shared)
    gain = one / both[len(both) // 2]
    line = {"metric": "gain of a second device that sleeps", "unit": "times", "p50": round(gain, 3)}
    print(json.dumps(line | {"alone": one, "together": both, "load": round(os.getloadavg()[0], 1)}), flush=True)
    return int(gain < GAIN)


def tell_story(view: JobView) -> None:
    """Print who has computed what, and when."""
    note(f"{view.duration_s:.2f} s from {view.started_at}")
    for each in view.attempts:
        note(f"  {each.number} {each.device} {each.started_at} {each.ended_at} {each.state} {each.reason}")


if __name__ == "__main__":
    sys.exit(be_daemon() if AS_DAEMON in sys.argv else main())
