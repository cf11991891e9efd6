"""How much memory workers hold, with all that they have started. For threads: it reads /proc."""

import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence

import psutil

from meshd.execution.reaper import living


def held_by(workers: Sequence[int]) -> list[int]:
    """Return the bytes that each worker and its descendants hold at most; 0 for one that is gone.

    What they share counts as often as they share it: `really_held_by` knows better, and takes longer.
    """
    families = _families(workers)
    return [sum(_resident(pid) for pid in family) for family in families]


def really_held_by(worker: int) -> int:
    """Return the bytes that a worker and its descendants hold, each page they share among them counted once."""
    (family,) = _families([worker])
    return sum(_proportional(pid) for pid in family)


def _families(workers: Sequence[int]) -> list[list[int]]:
    """Return each worker with its descendants: a worker adopts those whose parents die."""
    if sys.platform != "linux":
        return [[worker, *_children(worker)] for worker in workers]
    children: dict[int, list[int]] = defaultdict(list)
    for pid, parent in living():
        children[parent].append(pid)
    return [list(_with_descendants(worker, children)) for worker in workers]


def _with_descendants(pid: int, children: dict[int, list[int]]) -> Iterator[int]:
    yield pid
    for child in children.get(pid, ()):
        yield from _with_descendants(child, children)


def _children(worker: int) -> list[int]:
    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process(worker).children(recursive=True)]
    return []


def _resident(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def _proportional(pid: int) -> int:
    try:
        memory = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0
    return getattr(memory, "pss", memory.rss)
