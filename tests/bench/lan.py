"""The LAN of a bench: nothing of it is left, and what its daemons print is shown only when something goes wrong."""

import io
import os
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import NoReturn

from tests.support.hosts import Lan, open_lan


@contextmanager
def open_bench() -> Generator[Lan]:
    """Make a LAN; leaving the block, by SIGTERM or Ctrl-C too, ends every process and removes it.

    What is printed to stdout in the block is kept back: the figures come after it.
    """
    if os.geteuid() != 0:
        sys.exit("This needs root and `ip netns` (Debian: iproute2): the hosts are network namespaces.")
    signal.signal(signal.SIGTERM, _leave)
    printed = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="meshd-bench-") as folder:
        try:
            with redirect_stdout(printed), open_lan(Path(folder)) as lan:
                yield lan
        except Exception:
            note(printed.getvalue())
            raise


def note(text: str) -> None:
    """Tell whoever waits how it goes, beside the figures."""
    print(text, file=sys.stderr, flush=True)


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
