"""The files of jobs in memory."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from meshd.errors import BadInput, NotFound
from meshd.jobs.browsing import LogPage
from meshd_protocol.localapi import ArtifactView, BlobView


class FakeFiles:
    """Files in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.made: dict[str, bytes] = {}
        self.printed = b""

    async def blob(self, digest: str) -> BlobView:
        if digest not in self.blobs:
            raise NotFound("no such file")
        return BlobView(digest=digest, size=len(self.blobs[digest]))

    async def upload(self, digest: str, size: int, chunks: AsyncIterator[bytes]) -> BlobView:
        data = b"".join([chunk async for chunk in chunks])
        if hashlib.sha256(data).hexdigest() != digest or len(data) != size:
            raise BadInput("that is another file")
        self.blobs[digest] = data
        return BlobView(digest=digest, size=size)

    async def artifacts(self, job: str) -> list[ArtifactView]:
        return [self._view(name) for name in self.made]

    async def artifact(self, job: str, name: str) -> tuple[ArtifactView, AsyncGenerator[bytes]]:
        if name not in self.made:
            raise NotFound(f"no file {name!r}")

        async def chunks() -> AsyncGenerator[bytes]:
            yield self.made[name]

        return self._view(name), chunks()

    async def log(self, job: str, *, attempt: int | None, after: int, hold_s: float) -> LogPage:
        return LogPage(1, after, self.printed[after:], len(self.printed), done=True)

    def _view(self, name: str) -> ArtifactView:
        data = self.made[name]
        digest = hashlib.sha256(data).hexdigest()
        return ArtifactView(name=name, size=len(data), digest=digest, attempt=1, here=True, device="here")
