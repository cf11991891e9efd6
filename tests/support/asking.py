"""The local API on a real port, and a client that it lets in."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from meshd.api.app import serve
from tests.support.services import Services

TOKEN = "t" * 43


@asynccontextmanager
async def asking(services: Services) -> AsyncGenerator[aiohttp.ClientSession]:
    """Serve, and ask there with the token that it takes."""
    runner, port = await serve(services.app(TOKEN), 0)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{port}", headers=headers) as http:
            yield http
    finally:
        await runner.cleanup()
