"""What attempts of peers print is kept for their origins as one file, whatever their kind."""

import asyncio
from pathlib import Path

import pytest

from meshd.execution.outcome import Cancelled, Failed, Outcome, Succeeded
from meshd.execution.output import OutputWriter
from meshd.jobs.executor import AttemptKey
from meshd.jobs.outputs import Outputs
from meshd.jobs.pins import Pins
from meshd.jobs.workplaces import Workplaces
from meshd.store.blob_files import FileBlobs
from meshd.store.blobs import BlobRef
from meshd_protocol.ids import AttemptNumber, DeviceId, JobId

HERE, PEER = DeviceId("herehereherehere"), DeviceId("peerpeerpeerpeer")
JOB = JobId("aaaaaaaaaaaa")

pytestmark = pytest.mark.asyncio


def open_workplaces(folder: Path) -> tuple[Workplaces, Outputs, FileBlobs]:
    (folder / "blobs").mkdir()
    blobs, outputs = FileBlobs(folder / "blobs"), Outputs(device=HERE, folder=folder / "logs")
    pins = Pins(blobs=blobs)
    workplaces = Workplaces(blobs=blobs, pins=pins, folder=folder / "outbox", outputs=outputs, quota_bytes=1 << 20)
    return workplaces, outputs, blobs


def say_hello(folder: Path) -> None:
    writer = OutputWriter(folder)
    writer.append(b"hello\n")
    writer.close()


@pytest.mark.parametrize("outcome", [Succeeded(b"{}", 1.0, printed=True), Failed("crashed", "it broke"), Cancelled()])
async def test_what_a_peers_attempt_printed_becomes_a_blob(tmp_path: Path, outcome: Outcome) -> None:
    workplaces, outputs, blobs = await asyncio.to_thread(open_workplaces, tmp_path)
    key = AttemptKey(PEER, JOB, AttemptNumber(1))
    await asyncio.to_thread(say_hello, outputs.of(key))

    kept = await workplaces.keep_output(key, outcome)

    (file,) = kept.files
    assert (file.role, file.size) == ("log", 6)
    assert await blobs.read(BlobRef(file.digest, file.size)) == b"hello\n"
    assert not await asyncio.to_thread(outputs.of(key).exists)


async def test_what_an_own_attempt_printed_stays_where_it_is(tmp_path: Path) -> None:
    workplaces, outputs, _ = await asyncio.to_thread(open_workplaces, tmp_path)
    key = AttemptKey(HERE, JOB, AttemptNumber(1))
    await asyncio.to_thread(say_hello, outputs.of(key))
    outcome: Outcome = Succeeded(b"{}", 1.0, printed=True)

    assert await workplaces.keep_output(key, outcome) == outcome
    assert await asyncio.to_thread(outputs.of(key).exists)


async def test_an_attempt_that_printed_nothing_has_no_file(tmp_path: Path) -> None:
    workplaces, _, _ = await asyncio.to_thread(open_workplaces, tmp_path)
    kept = await workplaces.keep_output(AttemptKey(PEER, JOB, AttemptNumber(1)), Failed("crashed", "it broke"))
    assert isinstance(kept, Failed)
    assert kept.files == ()
