"""Level B: whole job sides of two to four devices in virtual time, in a world that is against them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from meshd.errors import MeshdError
from meshd.net.channel import ChannelClosed
from meshd_protocol.errors import ProtocolError
from tests.simulation.daemon import new_daemon_tasks
from tests.simulation.history import History, digest_of
from tests.simulation.monitor import Monitor
from tests.simulation.nodes_world import World
from tests.simulation.options import Options, draw, luck
from tests.simulation.virtual_time import Deadlock, VirtualTimeLoop, simulate

MAX_JOBS = 7
TROUBLE_S = (30.0, 110.0)
"""Short histories, many of them: almost every fault shows within a few leases."""

FORESEEN = (MeshdError, ProtocolError, ChannelClosed)
"""What may end a task that nobody waits for any more."""


def run_history(seed: int) -> History:
    """Live through one history."""
    name = f"B {seed}"
    options = draw(luck(name), max_jobs=MAX_JOBS, trouble_s=TROUBLE_S)
    return digest_of("B", seed, options, live_through(name, options, World.run))


def live_through(name: str, options: Options, script: Callable[[World], Coroutine[object, object, None]]) -> Monitor:
    """Let `script` happen to a new world, and return what its monitor has seen."""
    monitors: list[Monitor] = []

    async def live() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.set_task_factory(new_daemon_tasks)  # pyright: ignore[reportArgumentType] - nobody passes generators
        monitor = Monitor(loop.time)
        monitors.append(monitor)

        def unhandled(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            error = context.get("exception")
            if error is not None and not isinstance(error, FORESEEN):
                monitor.broken("I9", f"{context.get('message')}: {error!r}")

        loop.set_exception_handler(unhandled)
        handler = _Errors(monitor)
        logger = logging.getLogger("meshd")
        level, propagate = logger.level, logger.propagate
        logger.addHandler(handler)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
        try:
            await script(World(name, options, monitor))
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate

    try:
        simulate(live())
    except Deadlock as error:
        monitors[0].broken("liveness", str(error))
    return monitors[0]


class _Errors(logging.Handler):
    """Nothing that production logs as an error with a traceback may be unforeseen."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__(logging.ERROR)
        self._monitor = monitor

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, FORESEEN):
            self._monitor.broken("I9", f"{record.getMessage()}: {error!r}")
