"""What running attempts print, followed from one device to another while somebody looks."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from meshd.execution import output
from meshd.jobs.executor import AttemptKey
from meshd.net.streams import Streams
from meshd.tasks import TaskSet
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.messages import jobs as wire

LOOK_S = 0.05
"""How often a file that somebody follows is looked at: what appears within that seems to appear at once."""

HOLD_S = 2.0
"""How long an answer waits for something to be printed."""

ANSWER_S = 4.0
"""How long an answer is waited for: it may come through a slow network after `HOLD_S`."""

FOLLOWED = 64
"""Attempts of one peer that it may follow at once; more than screens show."""


async def grown(folder: Path, after: int, limit: int, *, is_over: Callable[[], bool], hold_s: float) -> output.Output:
    """Return what an attempt has printed from byte `after` on, as soon as there is something; or nothing at its end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + hold_s
    while True:
        over = is_over()
        part = await asyncio.to_thread(output.read, folder, after, limit)
        if part.data or over or loop.time() >= until:
            return part
        await asyncio.sleep(LOOK_S)


class Tails:
    """The follower's side: asks for more, and waits for it."""

    def __init__(self, *, streams: Streams) -> None:
        self._streams = streams
        self._asked: dict[tuple[DeviceId, str, int, int], asyncio.Future[wire.LogPart]] = {}

    async def ask(self, peer: DeviceId, job: JobId, attempt: int, after: int) -> wire.LogPart | None:
        """Return what comes after byte `after`; None when there is no answer in time."""
        key = peer, job, attempt, after
        answer = self._asked.get(key)
        if answer is None:
            answer = self._asked[key] = asyncio.get_running_loop().create_future()
            wanted = wire.LogWanted(job=job, attempt=attempt, after=after)
            self._streams.tell(peer, wanted, key=f"log wanted {job} {attempt} {after}")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.shield(answer)
        except TimeoutError:
            return None
        finally:
            if self._asked.get(key) is answer:
                del self._asked[key]

    def heard(self, peer: DeviceId, part: wire.LogPart) -> None:
        """Take an answer; one that nobody waits for is dropped."""
        answer = self._asked.get((peer, part.job, part.attempt, part.after))
        if answer is not None and not answer.done():
            answer.set_result(part)


class Printers:
    """The other side: answers as soon as an attempt that runs here has printed more."""

    def __init__(
        self, *, streams: Streams, folder_of: Callable[[AttemptKey], Path], runs: Callable[[AttemptKey], bool]
    ) -> None:
        self._streams = streams
        self._folder_of = folder_of
        self._runs = runs
        self._answering: dict[AttemptKey, asyncio.Task[None]] = {}
        self._tasks = TaskSet()

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._tasks.close()

    def wanted(self, key: AttemptKey, message: wire.LogWanted) -> None:
        """Answer a question; a newer one about the same attempt replaces it."""
        older = self._answering.pop(key, None)
        if older is not None:
            older.cancel()
        elif sum(other.origin == key.origin for other in self._answering) >= FOLLOWED:
            return
        task = self._answering[key] = self._tasks.start(f"log of {key.job}", self._answer(key, message))

        def forget(ended: asyncio.Task[None]) -> None:
            if self._answering.get(key) is ended:
                del self._answering[key]

        task.add_done_callback(forget)

    async def _answer(self, key: AttemptKey, message: wire.LogWanted) -> None:
        part = await grown(
            self._folder_of(key),
            message.after,
            wire.MAX_LOG_PART_BYTES,
            is_over=lambda: not self._runs(key),
            hold_s=HOLD_S,
        )
        self._streams.tell(
            key.origin,
            wire.LogPart(
                job=message.job,
                attempt=message.attempt,
                after=message.after,
                offset=part.offset,
                data=part.data,
                end=part.end,
            ),
            key=f"log {key.job} {key.number}",
        )
