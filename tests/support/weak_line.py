"""A way between two devices that a test can cut or hold up: a TCP proxy on 127.0.0.1."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class WeakLine:
    """Forwards connections to a port."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: set[asyncio.StreamWriter] = set()
        self._moved = asyncio.Event()
        self.port = 0
        self.cuts_after: int | None = None
        """A connection that has carried so many bytes in one direction is cut, once."""

        self.holds_after: int | None = None
        """A connection that has carried so many bytes in one direction carries no more."""

        self.carried = 0
        """Bytes of all connections, both ways."""

        self.connections = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cut everything."""
        for writer in self._open:
            writer.transport.abort()

    def lead_to(self, port: int) -> None:
        """Let new connections end elsewhere."""
        self._target = port

    def let_go(self) -> None:
        """Carry on with what was held."""
        self.holds_after = None
        self._moved.set()
        self._moved = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, back))
                group.create_task(self._forward(there, writer))
        except* OSError:
            pass
        finally:
            for end in (writer, back):
                self._open.discard(end)
                end.transport.abort()

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        mine = 0
        while data := await source.read(1 << 16):
            while self.holds_after is not None and mine >= self.holds_after:
                await self._moved.wait()
            target.write(data)
            await target.drain()
            mine += len(data)
            self.carried += len(data)
            if self.cuts_after is not None and mine >= self.cuts_after:
                self.cuts_after = None
                raise ConnectionResetError
        raise ConnectionResetError


@asynccontextmanager
async def weak_line(port: int) -> AsyncGenerator[WeakLine]:
    """Forward to 127.0.0.1:`port` inside the block."""
    line = WeakLine(port)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        line.cut()
