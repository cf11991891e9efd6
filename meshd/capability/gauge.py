"""The newest reading of the machine, taken every few seconds in a thread of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

from meshd.capability.reading import Probe, Reading, is_news

LOOK_S = 5.0
"""Between two looks, each of some 2 ms: a job waits no longer than that for memory which somebody has freed."""


class Gauge:
    """Looks at the machine again and again; whoever asks gets what the last look has shown."""

    def __init__(self, *, probe: Probe, every_s: float = LOOK_S) -> None:
        self._probe = probe
        self._every_s = every_s
        self._told = Reading()
        self._on_look: Callable[[], None] = lambda: None
        self._on_news: Callable[[], None] = lambda: None
        self.reading = Reading()
        """What is known now; before the first look, nothing."""

        self.looks = 0
        """How often it has looked, so that others can tell what a reading cannot know yet."""

    def watch(self, *, on_look: Callable[[], None], on_news: Callable[[], None]) -> None:
        """Call `on_news` when something has changed that others should hear of, then `on_look` after every look."""
        self._on_look, self._on_news = on_look, on_news

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Look once, now."""
        self.reading = await self._ask()
        self.looks += 1
        if is_news(self._told, self.reading):
            self._told = self.reading
            self._on_news()
        self._on_look()

    async def _ask(self) -> Reading:
        """Ask in a thread that nobody waits for: a GPU driver that hangs must not keep the daemon from ending."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reading] = loop.create_future()

        def tell(reading: Reading | None, error: BaseException | None) -> None:
            if answer.done():
                return
            if reading is not None:
                answer.set_result(reading)
            elif error is not None:
                answer.set_exception(error)

        def ask() -> None:
            reading, error = None, None
            try:
                reading = self._probe.look()
            except Exception as raised:  # noqa: BLE001 - it belongs to whoever awaits the answer
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(tell, reading, error)

        threading.Thread(target=ask, name="look at the machine", daemon=True).start()
        return await answer
