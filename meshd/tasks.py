"""Tasks with a parent and a name, that outlive one error."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

log = logging.getLogger(__name__)

RESTART_MIN_S = 0.5
RESTART_MAX_S = 30.0
"""A part that fails at once and always must not fill the log; one that fails once is back before anyone notices."""


async def supervise(name: str, service: Callable[[], Awaitable[None]]) -> None:
    """Run `service` until it returns; start it again, with growing pauses, each time it raises.

    The error boundary of the daemon: an unexpected error in one part is logged with its traceback, and the
    other parts go on.
    """
    pause = RESTART_MIN_S
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await service()
        except Exception:
            lived = asyncio.get_running_loop().time() - started
            if lived > RESTART_MAX_S:
                pause = RESTART_MIN_S
            log.exception("%s failed; it starts again in %.1f s", name, pause)
        else:
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, RESTART_MAX_S)


async def cancel_and_wait(*tasks: asyncio.Task[object]) -> None:
    """Cancel the tasks and wait until each has cleaned up; their errors are their own business."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class TaskSet:
    """Named tasks with one owner, started at any time, ended together by `close`.

    For work that begins with an event from outside (a connection, a message), where no TaskGroup is open.
    """

    def __init__(self) -> None:
        # In the order of their start, so that a simulation ends them in the same order each time.
        self._tasks: dict[asyncio.Task[None], None] = {}

    def start(self, name: str, service: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Start `service` as a task; an error that it does not handle is logged."""

        async def guarded() -> None:
            try:
                await service
            except Exception:
                log.exception("%s failed", name)

        task = asyncio.create_task(guarded(), name=name)
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        # A task that is cancelled before its first step never awaits the service.
        task.add_done_callback(lambda _: service.close())
        return task

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        await cancel_and_wait(*self._tasks)
