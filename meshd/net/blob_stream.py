"""A blob as the body of an HTTP message: poured into a store, or told from one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp
from aiohttp import web

from meshd.store.blobs import BATCH_BYTES, Arrival, BlobRef, BlobStore

STALL_S = 30.0
"""A body of which nothing moves for so long is given up: as long as a lease."""

BROKEN = (aiohttp.ClientError, web.RequestPayloadError, OSError, EOFError)
"""What aiohttp raises when a connection ends early. `TimeoutError` is among them."""


class Cut(Exception):
    """The connection ended before the body did. What came is kept, and the rest can be asked for."""


class Stalled(Exception):
    """Nothing came for too long. What came before is kept."""


async def pour(body: aiohttp.StreamReader, arrival: Arrival, *, stall_s: float = STALL_S) -> None:
    """Write what comes into `arrival`, until the body ends.

    Raises:
        Cut, Stalled: there is more to come.
        BadInput, Degraded: as `Arrival.write`.
    """
    loop = asyncio.get_running_loop()
    ended: Cut | Stalled | None = None
    # Two that are used again and again: the one is filled while the disk and the digest work on the other. New memory
    # for each batch would cost more than the copy.
    filling, spare = memoryview(bytearray(BATCH_BYTES)), memoryview(bytearray(BATCH_BYTES))
    size = 0
    try:
        async with asyncio.TaskGroup() as tasks:
            writing: asyncio.Task[None] | None = None
            try:
                async with asyncio.timeout(stall_s) as patience:
                    while chunk := (await body.readchunk())[0]:
                        rest = memoryview(chunk)
                        while rest:
                            taken = min(len(rest), BATCH_BYTES - size)
                            filling[size : size + taken] = rest[:taken]
                            rest = rest[taken:]
                            size += taken
                            if size == BATCH_BYTES:
                                if writing is not None:
                                    await writing
                                writing = tasks.create_task(arrival.write([filling]))
                                filling, spare, size = spare, filling, 0
                        patience.reschedule(loop.time() + stall_s)
            except TimeoutError:
                ended = Stalled(f"nothing came for {stall_s:g} s")
            except BROKEN as error:
                ended = Cut(str(error) or type(error).__name__)
            if writing is not None:
                await writing
            if size:
                await arrival.write([filling[:size]])
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if ended is not None:
        raise ended


async def tell(
    store: BlobStore, ref: BlobRef, start: int, patience: asyncio.Timeout, *, stall_s: float = STALL_S
) -> AsyncGenerator[memoryview]:
    """Yield the chunks of a blob from byte `start` on, for a writer that has `patience` with each.

    They are not compared with the digest: whoever receives them does that, and asks again for what does not fit.

    Raises:
        NotFound, Degraded: as `BlobStore.chunks`.
    """
    loop = asyncio.get_running_loop()
    async with aclosing(store.chunks(ref, start, checked=False)) as chunks:
        async for chunk in chunks:
            yield chunk
            # A write returns at once for as long as the socket takes more: without this, nobody else gets a turn.
            await asyncio.sleep(0)
            patience.reschedule(loop.time() + stall_s)
