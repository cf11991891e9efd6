"""A machine that can be suspended: its timers stand still while it sleeps, and its boot clock does not."""

import asyncio
import contextvars
from collections.abc import Callable

MACHINE: contextvars.ContextVar["Machine | None"] = contextvars.ContextVar("machine", default=None)
"""On which machine the running code runs; None: on none that ever sleeps."""


class Machine:
    """One machine, through all the lives of its daemon."""

    def __init__(self) -> None:
        self.slept_s = 0.0
        """How much its timers are behind the world."""

        self._since: float | None = None
        self._at_wake: list[Callable[[], object]] = []

    @property
    def is_asleep(self) -> bool:
        """Whether nothing runs on it."""
        return self._since is not None

    def sleep(self) -> None:
        """Stop everything on it."""
        self._since = asyncio.get_running_loop().time()

    def wake(self) -> float:
        """Go on where it was; return how long it has slept."""
        if self._since is None:
            return 0.0
        slept_s = asyncio.get_running_loop().time() - self._since
        self._since = None
        self.slept_s += slept_s
        waiting, self._at_wake = self._at_wake, []
        for each in waiting:
            each()
        return slept_s

    def at_wake(self, do: Callable[[], object]) -> None:
        """Do something once it is awake."""
        self._at_wake.append(do)
