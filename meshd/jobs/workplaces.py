"""The files of attempts that run here: their inputs laid out, and what they leave taken into the blobs."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from meshd.errors import BadInput, Degraded, MeshdError
from meshd.execution import output
from meshd.execution.outcome import Cancelled, Failed, Outcome
from meshd.jobs.executor import AttemptKey
from meshd.jobs.file_refs import LOG_NAME, MAX_REFS_BYTES, write_refs
from meshd.jobs.outputs import Outputs, remove_all
from meshd.jobs.pins import Pins
from meshd.kinds.workshop import InputFile, Made, Places
from meshd.store.blobs import BlobRef
from meshd_protocol.messages.jobs import FileRef


class BlobFiles(Protocol):
    """Blobs that are files, as this module needs them."""

    def path(self, ref: BlobRef) -> Path:
        """Return where the blob is, or would be."""
        ...

    async def has(self, ref: BlobRef) -> bool:
        """Return whether the blob is here."""
        ...

    async def adopt(self, file: Path) -> BlobRef:
        """Take a file away and keep what is in it; see `meshd.store.blob_files.FileBlobs.adopt`."""
        ...

    async def used(self) -> int:
        """Return how many bytes all blobs have."""
        ...


class Workplaces:
    """Prepares for attempts what they work with, and keeps what they leave."""

    def __init__(self, *, blobs: BlobFiles, pins: Pins, folder: Path, outputs: Outputs, quota_bytes: int) -> None:
        """Make outboxes in `folder`."""
        self._blobs = blobs
        self._pins = pins
        self._folder = folder
        self._outputs = outputs
        self._quota_bytes = quota_bytes
        self._numbers = itertools.count(1)

    async def load(self) -> None:
        """Remove what an earlier run of this daemon has left."""
        await asyncio.to_thread(remove_all, [self._folder])

    async def open(self, key: AttemptKey, inputs: Sequence[InputFile]) -> Places:
        """Return what an attempt is to work with.

        Raises:
            BadInput: an input is not here.
            Degraded: the disk refuses.
        """
        paths: dict[str, str] = {}
        for each in inputs:
            ref = BlobRef(each.digest, each.size)
            if not await self._blobs.has(ref):
                raise BadInput(f"the input {each.name!r} is not here any more", hint="submit the job again")
            paths[each.digest] = str(self._blobs.path(ref))
        outbox = self._folder / f"{next(self._numbers)}"
        try:
            await asyncio.to_thread(outbox.mkdir, mode=0o700, parents=True)
        except OSError as error:
            raise Degraded(f"no place to work in: {error.strerror}", hint="free some disk space") from error
        return Places(paths, str(outbox), str(self._outputs.of(key)))

    async def close(self, key: AttemptKey, places: Places, outcome: Outcome) -> Outcome:
        """Keep what the attempt has left; return how it ended with these files, or why they cannot be kept.

        Their blobs are pinned, for whoever hears of the outcome.
        """
        outbox = Path(places.outbox)
        try:
            log = await self._take_log(key)
            if isinstance(outcome, Cancelled):
                return Cancelled(log)
            try:
                files = (*await self._take(outbox, outcome.made), *log)
            except MeshdError as error:
                kind = "bad_input" if isinstance(error, BadInput) else "disk_full"
                message = error.in_full
                return Failed(kind, f"what it has made cannot be kept: {message}", files=log)
            return replace(outcome, files=files)
        finally:
            gone = [outbox] if self._outputs.is_own(key) else [outbox, self._outputs.of(key)]
            await asyncio.to_thread(remove_all, gone)

    def output(self, key: AttemptKey) -> str:
        """Return the folder for what an attempt prints that has no files."""
        return self._outputs.name_of(key)

    async def keep_output(self, key: AttemptKey, outcome: Outcome) -> Outcome:
        """Keep what such an attempt has printed; return how it ended with that."""
        if self._outputs.is_own(key):
            return outcome
        files = await self._take_log(key)
        await asyncio.to_thread(remove_all, [self._outputs.of(key)])
        return replace(outcome, files=files)

    async def _take(self, outbox: Path, made: Sequence[Made]) -> tuple[FileRef, ...]:
        size = sum(each.size for each in made)
        if size and await self._blobs.used() + size > self._quota_bytes:
            raise Degraded(
                f"{size:,} bytes are more than the quota of {self._quota_bytes:,} bytes for files leaves",
                hint="delete old jobs there, or raise blob_quota_gb",
            )
        files: list[FileRef] = []
        try:
            for each in made:
                blob = await self._blobs.adopt(outbox / Path(each.file).name)
                self._pins.pin([blob.digest])
                files.append(FileRef(role="artifact", name=each.name, digest=blob.digest, size=blob.size))
            if len(write_refs(files)) > MAX_REFS_BYTES:
                raise BadInput(f"the names of {len(files):,} files are too long", hint="pack them into one")
        except BaseException:
            self._pins.release(file.digest for file in files)
            raise
        return tuple(files)

    async def _take_log(self, key: AttemptKey) -> tuple[FileRef, ...]:
        """Make what a peer's attempt has printed one file, which its origin can fetch."""
        if self._outputs.is_own(key):
            return ()
        try:
            whole = await asyncio.to_thread(output.join, self._outputs.of(key))
            if whole is None:
                return ()
            blob = await self._blobs.adopt(whole)
        except (OSError, MeshdError):
            # The disk is full: how the attempt ended is worth more than what it printed.
            return ()
        self._pins.pin([blob.digest])
        return (FileRef(role="log", name=LOG_NAME, digest=blob.digest, size=blob.size),)
