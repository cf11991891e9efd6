"""What no durable round trip between two devices can beat: one message there, on disk, and one back.

A bare aiohttp WebSocket over TLS in a process of its own, with one row in a transaction with `synchronous=FULL` before
each answer. No job, no lease, no worker, no second disk.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from meshd.trust.identity import load_or_create_identity

MESSAGE = os.urandom(225)
"""As long as an offer."""

ROUND_TRIPS = 500


@contextmanager
def open_limit(folder: Path) -> Generator[int]:
    """Start the server; return its port."""
    command = [sys.executable, "-m", "tests.bench.limit", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


async def round_trips(port: int) -> list[float]:
    """Return how long each of some round trips takes."""
    took: list[float] = []
    async with aiohttp.ClientSession() as session, session.ws_connect(f"https://127.0.0.1:{port}/", ssl=False) as line:
        for _ in range(ROUND_TRIPS):
            began = time.perf_counter()
            await line.send_bytes(MESSAGE)
            await line.receive_bytes()
            took.append(time.perf_counter() - began)
    return took[ROUND_TRIPS // 10 :]


async def _serve(folder: Path) -> None:
    (folder / "limit").mkdir()
    identity = await asyncio.to_thread(load_or_create_identity, folder / "limit" / "identity")
    with closing(sqlite3.connect(folder / "limit" / "limit.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE message (number INTEGER PRIMARY KEY, body BLOB)")

        async def echo(request: web.Request) -> web.WebSocketResponse:
            line = web.WebSocketResponse()
            await line.prepare(request)
            async for message in line:
                connection.execute("INSERT INTO message (body) VALUES (?)", (message.data,))
                await line.send_bytes(message.data)
            return line

        app = web.Application()
        app.add_routes([web.get("/", echo)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=identity.server_ssl_context()).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
