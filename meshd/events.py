"""News within the daemon: one writer, many bounded readers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")

MAX_WAITING = 256
"""News that one reader may leave unread. A browser tab that sleeps must not keep memory; it is told to read afresh."""


class Bus(Generic[T]):
    """Hands each published value to every reader that listens at that moment."""

    def __init__(self) -> None:
        self._readers: dict[str | None, set[asyncio.Queue[T | None]]] = {}
        """By what they want to hear about; None: everything."""

    def is_heard(self, about: str) -> bool:
        """Return whether anybody would hear; what nobody hears need not be made."""
        return None in self._readers or about in self._readers

    def publish(self, value: T, about: str) -> None:
        """Tell all readers who want to hear about this; one that is too slow is cut off, its iteration ends."""
        for wanted in (None, about):
            for reader in tuple(self._readers.get(wanted, ())):
                if reader.qsize() >= MAX_WAITING:
                    self._cut(wanted, reader)
                else:
                    reader.put_nowait(value)

    @asynccontextmanager
    async def listen(self, about: str | None = None) -> AsyncGenerator[AsyncIterator[T]]:
        """Hear all that is published from now on, or only what is about this.

        The iterator ends when its reader was too slow or the bus closed.
        """
        queue: asyncio.Queue[T | None] = asyncio.Queue()
        self._readers.setdefault(about, set()).add(queue)
        try:
            yield _read(queue)
        finally:
            self._leave(about, queue)

    def close(self) -> None:
        """End every iteration."""
        for wanted, readers in tuple(self._readers.items()):
            for reader in tuple(readers):
                self._cut(wanted, reader)

    def _cut(self, wanted: str | None, reader: asyncio.Queue[T | None]) -> None:
        self._leave(wanted, reader)
        reader.put_nowait(None)

    def _leave(self, wanted: str | None, reader: asyncio.Queue[T | None]) -> None:
        readers = self._readers.get(wanted, set())
        readers.discard(reader)
        if not readers:
            self._readers.pop(wanted, None)


async def _read(queue: asyncio.Queue[T | None]) -> AsyncIterator[T]:
    while (value := await queue.get()) is not None:
        yield value
