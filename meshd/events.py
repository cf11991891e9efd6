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
        self._readers: set[asyncio.Queue[T | None]] = set()

    @property
    def has_readers(self) -> bool:
        """Whether anybody would hear; what nobody hears need not be made."""
        return bool(self._readers)

    def publish(self, value: T) -> None:
        """Tell all readers; one that is too slow is cut off, its iteration ends."""
        for reader in tuple(self._readers):
            if reader.qsize() >= MAX_WAITING:
                self._cut(reader)
            else:
                reader.put_nowait(value)

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[AsyncIterator[T]]:
        """Hear all that is published from now on; the iterator ends when its reader was too slow or the bus closed."""
        queue: asyncio.Queue[T | None] = asyncio.Queue()
        self._readers.add(queue)
        try:
            yield _read(queue)
        finally:
            self._readers.discard(queue)

    def close(self) -> None:
        """End every iteration."""
        for reader in tuple(self._readers):
            self._cut(reader)

    def _cut(self, reader: asyncio.Queue[T | None]) -> None:
        self._readers.discard(reader)
        reader.put_nowait(None)


async def _read(queue: asyncio.Queue[T | None]) -> AsyncIterator[T]:
    while (value := await queue.get()) is not None:
        yield value
