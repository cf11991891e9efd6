"""An event loop in which waiting takes no time: the wait it was asked for becomes time that has passed."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, NoReturn, TypeVar

from tests.simulation.machine import MACHINE, Machine

T = TypeVar("T")

MAX_TURNS = 60_000
"""Turns of the loop in one history. Most need 1,500 and none 6,000: more go round in circles."""


class Deadlock(Exception):
    """No task can run and no timer is set: somebody waits for what will never come."""


class _JumpingSelector(selectors.BaseSelector):
    """Watches nothing and never sleeps."""

    def __init__(self) -> None:
        self._loop: VirtualTimeLoop | None = None
        self._keys: dict[int, selectors.SelectorKey] = {}

    def attach(self, loop: "VirtualTimeLoop") -> None:
        self._loop = loop

    def register(self, fileobj: Any, events: int, data: object = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = key = selectors.SelectorKey(fileobj, number, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert self._loop is not None
        self._loop.passed(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time()`, `asyncio.sleep` and `asyncio.timeout` follow virtual time; threads do not exist."""

    def __init__(self) -> None:
        self._now = 0.0
        self._turns = 0
        selector = _JumpingSelector()
        selector.attach(self)
        super().__init__(selector)
        # Timers less than this apart would fire together, in no order of ours.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._now

    def begin_anew(self) -> None:
        """Allow as many turns as at first."""
        self._turns = 0

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call back at a time; whose machine sleeps until then, or before, is called by that machine's own time."""
        machine = MACHINE.get() if context is None else context.get(MACHINE)
        if machine is None:
            return super().call_at(when, callback, *args, context=context)
        handles: list[asyncio.TimerHandle] = []
        due = when - machine.slept_s
        handles.append(super().call_at(when, self._due, machine, due, handles, callback, args, context=context))
        return handles[0]

    def _due(
        self,
        machine: Machine,
        due: float,
        handles: list[asyncio.TimerHandle],
        callback: Callable[..., object],
        args: tuple[Any, ...],
    ) -> None:
        if handles[0].cancelled():
            return
        if machine.is_asleep or self._now - machine.slept_s < due - 1e-9:
            context = copy_context()

            def again() -> None:
                at = due + machine.slept_s
                super(VirtualTimeLoop, self).call_at(
                    at, self._due, machine, due, handles, callback, args, context=context
                )

            if machine.is_asleep:
                machine.at_wake(again)
            else:
                again()
        else:
            callback(*args)

    def passed(self, timeout: float | None) -> None:
        """Let the time pass for which a real loop would have slept."""
        if timeout is None:
            raise Deadlock("no task can run and no timer is set")
        self._turns += 1
        if self._turns > MAX_TURNS:
            raise Deadlock(f"{MAX_TURNS} turns of the loop, and no end")
        self._now += max(0.0, timeout)

    def run_in_executor(self, executor: object, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Run it at once: what production moves to a thread takes no virtual time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            with no_running_loop():
                result = func(*args)
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def call_soon_threadsafe(self, callback: object, *args: object, context: Context | None = None) -> NoReturn:
        raise RuntimeError("there are no threads in a simulation")


@contextmanager
def no_running_loop() -> Generator[None]:
    """Hide the loop from the guard against blocking calls: what runs in here is in memory and waits for nothing."""
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(running)


def simulate(main: Coroutine[object, object, T]) -> T:
    """Run `main` to its end in virtual time."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            _end_all(loop)
        finally:
            loop.close()


def _end_all(loop: VirtualTimeLoop) -> None:
    """Cancel what is left, quietly: it belongs to a world that has ended."""
    loop.set_exception_handler(lambda _, __: None)
    loop.begin_anew()
    for _ in range(20):
        tasks = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=0))
    raise Deadlock("tasks of a world that has ended do not end")
