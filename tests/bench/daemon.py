"""How light the daemon is: `python -m tests.bench.daemon [IDLE_SECONDS]` prints one JSON line a figure.

Two daemons with homes of their own, paired over loopback. The command's time is told as a ratio to `python -c pass`
of the same run; memory and processor time are the daemon's with the process beside it that watches over workers.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from meshd.client.local import Client
from meshd.paths import find

ROUNDS = 15
IDLE_S = 60.0


def tell(metric: str, value: float, unit: str) -> None:
    print(json.dumps({"metric": metric, "value": round(value, 4), "unit": unit}), flush=True)


def timed(command: list[str], environ: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def environ_of(home: Path, name: str) -> dict[str, str]:
    return os.environ | {
        "MESHD_HOME": str(home),
        "MESHD_NAME": name,
        "MESHD_API_PORT": "0",
        "MESHD_PEER_PORT": "0",
        "MESHD_CALIBRATE": "false",
    }


def tree(pid: int) -> list[psutil.Process]:
    daemon = psutil.Process(pid)
    return [daemon, *daemon.children(recursive=True)]


def main() -> None:
    idle_s = float(sys.argv[1]) if len(sys.argv) > 1 else IDLE_S
    meshd = [str(Path(sys.executable).with_name("meshd"))]
    with tempfile.TemporaryDirectory() as folder:
        homes = {name: environ_of(Path(folder) / name, name) for name in ("laptop", "pc")}
        try:
            for name, environ in homes.items():
                tell(f"up until ready, {name}", timed([*meshd, "up"], environ), "s")
            laptop, pc = (Client(find(environ)) for environ in homes.values())
            code = pc.open_code().code
            laptop.accept(code, address=f"127.0.0.1:{pc.status().peer_port}")
            ratios = [
                timed([*meshd, "status"], homes["laptop"]) / timed([sys.executable, "-c", "pass"], homes["laptop"])
                for _ in range(ROUNDS)
            ]
            tell("meshd status / python -c pass, median", statistics.median(ratios), "ratio")
            processes = tree(laptop.status().pid)
            before = sum(sum(process.cpu_times()[:2]) for process in processes)
            time.sleep(idle_s)
            after = sum(sum(process.cpu_times()[:2]) for process in processes)
            tell("processor of an idle daemon with one peer", 100 * (after - before) / idle_s, "% of a core")
            tell("memory of an idle daemon, without workers", processes[0].memory_info().rss / 1e6, "MB")
            tell("memory with its reaper", sum(process.memory_info().rss for process in processes) / 1e6, "MB")
        finally:
            for environ in homes.values():
                subprocess.run([*meshd, "down"], env=environ, stdout=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
