"""`python -m tests.soak --seconds 240 --seed 7`, or `--check FOLDER` to judge once more what a run has left."""

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from meshd.errors import MeshdError
from tests.soak.check import Report, check
from tests.soak.run import run

SHORTEST_S = 30.0
"""Less is not enough for one fault of each class."""

SHOWN = 40
"""What is broken at its root fails for every job."""


def main() -> int:
    """Do what the command line asks; return 0 when all held, 1 when something did not, 2 when it cannot run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=240.0, help="warm-up, chaos and quiet together (default: 240)")
    parser.add_argument("--seed", type=int, help="of the faults and the jobs; what comes of them differs all the same")
    parser.add_argument("--without-network", action="store_true", help="no cuts: daemons on loopback, without root")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a run in which all held, too")
    parser.add_argument("--check", type=Path, metavar="FOLDER", help="judge what an earlier run has left, and no more")
    arguments = parser.parse_args()
    if arguments.check is not None:
        return tell(check(arguments.check), arguments.check)
    if arguments.seconds < SHORTEST_S:
        parser.error(f"--seconds: at least {SHORTEST_S:g}")
    missing = "" if arguments.without_network else missing_for_network()
    if missing:
        print(f"The soak needs {missing} to make hosts and cut their network; --without-network does the rest without.")
        return 2
    signal.signal(signal.SIGTERM, _leave)
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    folder = Path(tempfile.mkdtemp(prefix=f"meshd-soak-{seed}-"))
    print(f"seed {seed}, evidence in {folder}", flush=True)
    try:
        run(
            folder,
            seconds=arguments.seconds,
            seed=seed,
            network=not arguments.without_network,
            say=lambda text: print(text, flush=True),
        )
    except (AssertionError, OSError, MeshdError, subprocess.SubprocessError):
        # What there is of it is judged all the same: it may tell why.
        traceback.print_exc()
    status = tell(check(folder), folder)
    if status == 0 and not arguments.keep:
        shutil.rmtree(folder)
    return status


def missing_for_network() -> str:
    """Return what this machine lacks; nothing, if hosts can be made."""
    if os.geteuid() != 0:
        return "root"
    if shutil.which("ip") is None:
        return "iproute2"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError:
        return "/dev/net/tun"
    return ""


def tell(report: Report, folder: Path) -> int:
    """Print a report, and return the exit status."""
    print("\n".join(report.lines))
    if not report.failures:
        print("all held")
        return 0
    print(f"\n{len(report.failures)} did not hold:")
    for failure in report.failures[:SHOWN]:
        print(f"- {failure}")
    if report.failures[SHOWN:]:
        print(f"- … and {len(report.failures) - SHOWN} more")
    print(f"\nevidence in {folder}; to judge it again: python -m tests.soak --check {folder}")
    return 1


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
