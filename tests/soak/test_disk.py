"""A full disk is full to the last byte, and has room again when it is released."""

import errno
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.soak.disk import LimitedFiles, mounted

WRITER = """
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "ab", buffering=0) as file:
            file.write(b"x")
        print(0, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Generator[subprocess.Popen[str]]:
    """Return a process that writes a byte when it is asked to, and says how that went."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        yield started
        started.kill()


def ask(writer: subprocess.Popen[str]) -> int:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()
    return int(writer.stdout.readline())


def test_the_files_of_a_process_do_not_grow_while_they_are_limited(writer: subprocess.Popen[str]) -> None:
    disk = LimitedFiles(lambda: writer.pid)

    assert ask(writer) == 0
    disk.fill()
    assert ask(writer) == errno.EFBIG
    disk.release()
    assert ask(writer) == 0


def test_a_process_that_has_ended_has_no_files_to_limit() -> None:
    disk = LimitedFiles(lambda: None)
    disk.fill()
    disk.release()


@pytest.mark.hosts
def test_a_small_disk_takes_not_one_byte_more_when_it_is_full(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    with mounted(folder) as disk:
        (folder / "before").write_bytes(b"x" * 5000)
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (folder / "after").write_bytes(b"x")
        assert (folder / "before").stat().st_size == 5000
        disk.release()
        (folder / "after").write_bytes(b"x" * 100_000)
    assert list(folder.iterdir()) == []
