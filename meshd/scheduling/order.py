"""Which waiting attempt or job is next on a device: priority, then fairness between origins, then age."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from meshd_protocol.ids import DeviceId

T = TypeVar("T")


def next_up(
    waiting: Iterable[T],
    *,
    priority: Callable[[T], int],
    origin: Callable[[T], DeviceId],
    age: Callable[[T], int],
    running: Mapping[DeviceId, int],
) -> T | None:
    """Return who is next: the highest priority; among those the origin with the least running; then the oldest.

    `age` is a number that grows with each arrival: the smallest has waited longest.
    """
    return min(waiting, key=lambda item: (-priority(item), running.get(origin(item), 0), age(item)), default=None)
