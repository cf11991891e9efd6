"""Where attempts print to on this device: a folder each, kept with own jobs, and briefly for those of peers."""

import asyncio
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from meshd.jobs.executor import AttemptKey
from meshd.tasks import TaskSet
from meshd_protocol.ids import DeviceId, JobId

PEERS = "peers"
"""Where the attempts of peers print. No job has this id: it is too short for one."""


class Outputs:
    """The folder of these folders."""

    def __init__(self, *, device: DeviceId, folder: Path) -> None:
        self._device = device
        self._folder = folder
        self._tasks = TaskSet()

    async def sweep(self, jobs: Collection[str], attempts: Mapping[str, Collection[int]]) -> None:
        """Remove what was printed by attempts of peers, by those of other own jobs than these, and by unknown ones.

        `attempts` are all that are known of the jobs that have not ended.
        """
        await asyncio.to_thread(_remove_others, self._folder, frozenset(jobs), attempts)

    async def close(self) -> None:
        """Stop removing; what is left goes at the next start."""
        await self._tasks.close()

    def of(self, key: AttemptKey) -> Path:
        """Return where an attempt that runs here prints."""
        return Path(self.name_of(key))

    def name_of(self, key: AttemptKey) -> str:
        """Return the same as a text, which takes less time to make than a path."""
        if key.origin == self._device:
            return f"{self._folder}/{key.job}/{key.number}"
        return f"{self._folder}/{PEERS}/{key.origin}-{key.job}-{key.number}"

    def own(self, job: JobId, number: int) -> Path:
        """Return where an attempt of an own job prints if it runs here."""
        return self._folder / job / str(number)

    def is_own(self, key: AttemptKey) -> bool:
        """Return whether an attempt is of this device's own jobs."""
        return key.origin == self._device

    def remove(self, jobs: Iterable[JobId]) -> None:
        """Remove what these own jobs have printed."""
        folders = [self._folder / job for job in jobs]
        self._tasks.start("remove what jobs printed", asyncio.to_thread(remove_all, folders))


def remove_all(folders: Sequence[Path]) -> None:
    """Remove folders with what is in them, as far as that is possible. For a thread."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_others(folder: Path, jobs: frozenset[str], attempts: Mapping[str, Collection[int]]) -> None:
    if not folder.is_dir():
        return
    remove_all([found for found in folder.iterdir() if found.name not in jobs])
    for job, numbers in attempts.items():
        known = {str(number) for number in numbers}
        if (folder / job).is_dir():
            remove_all([found for found in (folder / job).iterdir() if found.name not in known])
