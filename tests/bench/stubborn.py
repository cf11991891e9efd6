"""A kind of job that does not want to end: neither when it is asked, nor when it is told, nor what it has started.

Both sides of it, the daemon's `kind` and the worker's `program`. It comes with no release: `plug_in` makes a folder
which, in a daemon's PYTHONPATH, brings the kind as another package would. Workers do not look there; they find this
module because the checkout is installed.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import NoReturn

from meshd.kinds import GROUP
from meshd.kinds.base import Context, Document

NAME = "stubborn"

SLEEP = ("sleep", "600")

FAMILY = 3
"""Processes that the program starts."""


class Stubborn:
    """Takes any spec."""

    name = NAME
    deterministic = True
    retry_safe = True
    accelerated = False
    divisible = False
    program = __name__

    def validate(self, spec: Document) -> dict[str, object]:
        """Return the spec."""
        return dict(spec)

    def cost(self, resolved: Document) -> float | None:
        """Return that nobody knows."""
        del resolved

    def default_name(self, resolved: Document) -> str:
        """Return its name."""
        del resolved
        return NAME


class StubbornProgram:
    """Starts a family of which nobody listens to SIGTERM, and sleeps for ever."""

    def run(self, resolved: Document, context: Context) -> Document:
        """Report half of the work once the family is there; its best answer is the worker's process."""
        del resolved
        # Those who are started inherit it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # A child, one in a session of its own and without an environment to be known by, and an orphan of that sort.
        subprocess.Popen(SLEEP)
        subprocess.Popen(SLEEP, start_new_session=True, env={})
        subprocess.run(["sh", "-c", f"setsid {' '.join(SLEEP)} &"], env={}, check=True)
        context.report(0.5, best=str(os.getpid()))
        self._stay()

    def _stay(self) -> NoReturn:
        while True:
            time.sleep(600)


kind = Stubborn()
program = StubbornProgram()


def plug_in(folder: Path) -> None:
    """Make the folder what an installed package that brings the kind looks like."""
    package = folder / "meshd_bench-0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: meshd-bench\nVersion: 0\n", "utf-8")
    (package / "entry_points.txt").write_text(f"[{GROUP}]\n{NAME} = {__name__}:kind\n", "utf-8")
