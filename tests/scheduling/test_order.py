"""Who waits in a queue comes out of it in the order that a look at all of them gives."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from meshd.scheduling.order import MOST_LEFT, Queue, next_up
from meshd_protocol.ids import DeviceId


@dataclass(frozen=True)
class One:
    age: int
    priority: int
    origin: DeviceId


DEEDS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 15)),
        st.tuples(st.just("remove"), st.integers(0, 15)),
        st.just(("start", 0)),
    ),
    max_size=60,
)
SORTS = st.lists(st.tuples(st.integers(-1, 1), st.sampled_from(["laptop", "pc"])), min_size=16, max_size=16)


@given(SORTS, DEEDS)
def test_the_first_of_a_queue_is_the_first_of_all_who_wait(
    sorts: list[tuple[int, str]], deeds: list[tuple[str, int]]
) -> None:
    ones = [One(age, priority, DeviceId(origin)) for age, (priority, origin) in enumerate(sorts)]
    queue = Queue[One](priority=lambda one: one.priority, origin=lambda one: one.origin, age=lambda one: one.age)
    waiting: set[One] = set()
    running: Counter[DeviceId] = Counter()
    for deed, number in deeds:
        one = ones[number]
        if deed == "put":
            queue.put(one)
            waiting.add(one)
        elif deed == "remove":
            queue.remove(one)
            waiting.discard(one)
        first = next_up(
            waiting,
            priority=lambda one: one.priority,
            origin=lambda one: one.origin,
            age=lambda one: one.age,
            running=running,
        )
        assert queue.next_up(running) == first
        assert set(queue) == waiting
        assert len(queue) == len(waiting)
        if deed == "start" and first is not None:
            queue.remove(first)
            waiting.discard(first)
            running[first.origin] += 1


def test_a_queue_forgets_who_has_left() -> None:
    queue = Queue[One](priority=lambda one: one.priority, origin=lambda one: one.origin, age=lambda one: one.age)
    laptop = DeviceId("laptop")
    queue.put(One(0, 0, laptop))
    for age in range(1, 2000):
        one = One(age, age % 50, laptop)
        queue.put(one)
        queue.remove(one)
    kept = sum(len(ages) for ages in queue._ages.values())  # pyright: ignore[reportPrivateUsage]
    assert kept <= MOST_LEFT + 2
    assert queue.next_up({}) == One(0, 0, laptop)
