"""Puts, receives and deletes real blobs and keeps a diary: `python -m tests.faults.blobs_child FOLDER DIARY ROUNDS`."""

import asyncio
import hashlib
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from meshd.errors import MeshdError
from meshd.store.blob_files import FileBlobs
from meshd.store.blobs import Arrival, BlobRef
from tests.faults.diary import Pen

SIZES = (0, 10, 5_000, 70_000)
TRIES = 4
"""How often an arrival is taken up again before the sender gives up."""


def content(number: int) -> bytes:
    """Return the bytes of blob `number`: other ones for each."""
    rng = random.Random(number)  # noqa: S311 - the same in the child and in the parent
    return rng.randbytes(SIZES[number % len(SIZES)]) + number.to_bytes(4, "big")


def ref_of(number: int) -> BlobRef:
    """Return the name of blob `number`."""
    data = content(number)
    return BlobRef(hashlib.sha256(data).hexdigest(), len(data))


async def put(blobs: FileBlobs, number: int) -> None:
    """Put a blob."""
    await blobs.put(content(number))


async def receive(blobs: FileBlobs, pen: Pen, number: int) -> None:
    """Receive a blob in pieces, from where the last try ended, as a sender over the network would."""
    for further in reversed(range(TRIES)):
        try:
            async with blobs.receive(ref_of(number)) as arrival:
                await _arrive(arrival, pen, content(number))
                return
        except MeshdError as error:
            pen.trouble(f"{number} on its way", error)
            if not further:
                raise


async def _arrive(arrival: Arrival, pen: Pen, data: bytes) -> None:
    """Write what is missing; go on in the same arrival after one trouble."""
    for further in (True, False):
        try:
            while arrival.offset < len(data):
                rest = data[arrival.offset :]
                half = (len(rest) + 1) // 2
                await arrival.write([rest[:half], rest[half : half + 1000]])
            await arrival.finish()
        except MeshdError as error:
            if not further:
                raise
            pen.trouble("an arrival", error)
        else:
            return


async def main(folder: Path, pen: Pen, rounds: int) -> None:
    """Do one thing after the other, in one thread: strace counts the calls of each."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    blobs = FileBlobs(folder)
    for number in range(rounds):
        try:
            await (put(blobs, number) if number % 2 else receive(blobs, pen, number))
        except Exception as error:  # noqa: BLE001 - what it is, the diary tells
            pen.trouble(number, error)
        else:
            pen.note("kept", number)
        if number % 10 == 9:
            gone = number - 5
            pen.note("delete", gone)
            await blobs.delete([ref_of(gone).digest])
    pen.note("ended")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Pen(Path(sys.argv[2])), int(sys.argv[3])))
