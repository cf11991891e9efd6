"""One of the two processes of `tests.bench.bulk`: a device with blobs, and a server that streams without either.

It obeys the lines on its standard input, each a JSON array of a command and its arguments, and answers each with a
line of JSON.
"""

import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp
from aiohttp import web

from meshd.store.blobs import CHUNK_BYTES, BlobRef
from meshd_protocol.codec import EphemeralMessage
from meshd_protocol.ids import DeviceId
from meshd_protocol.machines.pairing import NewPeer
from meshd_protocol.messages import status
from tests.support.blob_device import BlobDevice, open_blob_device

EVERY_S = 0.01
"""Between two small messages: a busy mesh says less."""

Command = Callable[..., Awaitable[object]]


class Side:
    """The device, and what it is told to do."""

    def __init__(self, device: BlobDevice, port: int) -> None:
        self._device = device
        self._port = port
        self._peer = DeviceId("")
        self._pongs: dict[int, asyncio.Future[None]] = {}
        hear = device.hear

        def also_pings(peer: DeviceId, message: EphemeralMessage) -> None:
            match message:
                case status.Ping(number=number):
                    device.streams.tell(peer, status.Pong(number=number), key=f"pong {number}")
                case status.Pong(number=number):
                    self._pongs.pop(number).set_result(None)
                case _:
                    hear(peer, message)

        device.hear = also_pings
        self.commands: Mapping[str, Command] = {
            each.__name__: each for each in (self.who, self.meet, self.put, self.fetch, self.drop, self.bare, self.cpu)
        }

    async def who(self) -> object:
        """Return what the other side must know."""
        certificate = base64.b64encode(self._device.identity.certificate).decode()
        return [self._device.device, certificate, self._device.listener.port, self._port]

    async def meet(self, device: str, certificate: str, key: str, addresses: list[str]) -> object:
        """Be paired with the other side, and talk to it."""
        self._peer = DeviceId(device)
        known = NewPeer(self._peer, "other", base64.b64decode(certificate), base64.b64decode(key), 1)
        self._device.mesh.paired(await self._device.book.keep(known, addresses))
        async with asyncio.timeout(20):
            await self._device.online.wait()
        return None

    async def put(self, size: int) -> object:
        """Make a blob that the other side may read."""
        ref = await self._device.blobs.put(os.urandom(1 << 20) * (size >> 20))
        self._device.granted.add((self._peer, ref.digest))
        return [ref.digest, ref.size]

    async def fetch(self, digest: str, size: int) -> object:
        """Fetch a blob; return how long that took, and the round trips of messages meanwhile."""
        began = time.perf_counter()
        took = 0.0

        async def bring() -> None:
            nonlocal took
            await self._device.exchange.fetch(self._peer, BlobRef(digest, size))
            took = time.perf_counter() - began

        trips: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            bringing = tasks.create_task(bring(), name="bring")
            while not bringing.done():
                trips.append(await self._round_trip(len(trips)))
                await asyncio.sleep(EVERY_S)
        return [took, trips]

    async def _round_trip(self, number: int) -> float:
        pong = self._pongs[number] = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self._device.streams.tell(self._peer, status.Ping(number=number), key=f"ping {number}")
        await pong
        return time.perf_counter() - began

    async def drop(self, digest: str) -> object:
        """Forget a blob, so that it can be fetched once more."""
        await self._device.blobs.delete([digest])
        return None

    async def cpu(self) -> object:
        """Return how many seconds of a processor this side has used, and how many of them its loop."""
        return [time.process_time(), time.thread_time()]

    async def bare(self, port: int, size: int) -> object:
        """Read a stream of so many bytes from the other side's bare server; return how long that took."""
        url = f"https://127.0.0.1:{port}/bare?size={size}"
        async with aiohttp.ClientSession(read_bufsize=1 << 20) as session, session.get(url, ssl=False) as answer:
            began, left = time.perf_counter(), size
            async for data in answer.content.iter_any():
                left -= len(data)
        assert left == 0
        return time.perf_counter() - began


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    left = response.content_length = int(request.query["size"])
    await response.prepare(request)
    chunk = os.urandom(CHUNK_BYTES)
    while left:
        await response.write(chunk)
        left -= len(chunk)
    return response


async def _obey(folder: Path) -> None:
    async with open_blob_device(folder) as device:
        app = web.Application()
        app.add_routes([web.get("/bare", _stream)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        context = await asyncio.to_thread(device.identity.server_ssl_context)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        side = Side(device, runner.addresses[0][1])
        try:
            while line := await asyncio.to_thread(sys.stdin.readline):
                name, *arguments = json.loads(line)
                print(json.dumps(await side.commands[name](*arguments)), flush=True)
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_obey(Path(sys.argv[1])))
