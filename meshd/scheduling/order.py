"""Which waiting attempt or job is next on a device: priority, then fairness between origins, then age."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

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


MOST_LEFT = 64
"""Who have left a queue and are not forgotten, beyond as many as wait: to forget each at once costs a look at all."""


class Queue(Generic[T]):
    """Those who wait, with the ones at the head at hand: who is next is found without a look at all the others."""

    def __init__(
        self, *, priority: Callable[[T], int], origin: Callable[[T], DeviceId], age: Callable[[T], int]
    ) -> None:
        """No two are of the same age; none of the three changes while one waits."""
        self._priority = priority
        self._origin = origin
        self._age = age
        self._items: dict[int, T] = {}
        self._ages: dict[tuple[int, DeviceId], list[int]] = {}
        """A heap for each priority and origin; those who have left are still in it, until they would be first."""

        self._left = 0
        """How many those are, at most."""

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        """Yield all, in no order."""
        return iter(self._items.values())

    def put(self, item: T) -> None:
        """Let one wait."""
        age = self._age(item)
        if age not in self._items:
            self._items[age] = item
            heapq.heappush(self._ages.setdefault((self._priority(item), self._origin(item)), []), age)

    def remove(self, item: T) -> None:
        """Let one wait no longer, if it does."""
        if self._items.pop(self._age(item), None) is not None:
            self._left += 1
            if self._left > len(self._items) + MOST_LEFT:
                self._sort_anew()

    def _sort_anew(self) -> None:
        self._left = 0
        self._ages.clear()
        for age, item in sorted(self._items.items()):
            self._ages.setdefault((self._priority(item), self._origin(item)), []).append(age)

    def next_up(self, running: Mapping[DeviceId, int]) -> T | None:
        """Return who is next, as the function of this name does."""
        heads: list[T] = []
        for sort, ages in tuple(self._ages.items()):
            while ages and ages[0] not in self._items:
                heapq.heappop(ages)
            if ages:
                heads.append(self._items[ages[0]])
            else:
                del self._ages[sort]
        return next_up(heads, priority=self._priority, origin=self._origin, age=self._age, running=running)
