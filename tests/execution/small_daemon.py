"""A daemon in miniature, to be killed: it runs one attempt with a family, and prints all processes."""

import asyncio
import sys
from pathlib import Path

from tests.execution.workshop import family, open_workshop
from tests.support.eventually import eventually


async def main(folder: Path) -> None:
    async with open_workshop(folder) as workshop, asyncio.TaskGroup() as tasks:
        tasks.create_task(workshop.do("family", timeout_s=0))
        await eventually(lambda: len(family(workshop.reports)) == 3)
        print(*workshop.pids(), *family(workshop.reports), workshop.spawner.reaper_pid, flush=True)


asyncio.run(main(Path(sys.argv[1])))
