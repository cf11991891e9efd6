"""Nothing acknowledged is lost when the disk fails at its Nth call. In full: `python -m tests.faults.disk`."""

from pathlib import Path

import pytest

from tests.faults.disk import SCENARIOS, ScenarioName, Sweep
from tests.faults.strace import Call, read_log, strace

SAMPLE = (1, 2, 4, 9, 12, 17, 25, 41, 90, 200)


@pytest.mark.skipif(strace() is not None, reason=str(strace()))
@pytest.mark.parametrize(
    ("scenario", "call", "error", "mode"),
    [
        ("new", "fdatasync", "EIO", ""),
        ("commits", "pwrite64", "ENOSPC", ""),
        ("commits", "fdatasync", "EIO", "+"),
        ("checkpoints", "pwrite64", "EIO", ""),
        ("blobs", "write", "ENOSPC", ""),
        ("blobs", "fsync", "EIO", ""),
    ],
)
def test_nothing_acknowledged_is_lost_when_the_disk_fails(
    tmp_path: Path, scenario: ScenarioName, call: str, error: str, mode: str
) -> None:
    found = Sweep(tmp_path).run(SCENARIOS[scenario], call, error, mode, SAMPLE)

    assert not found.wrong, "\n".join(found.wrong)
    assert found.struck == found.runs == len(SAMPLE)
    assert found.kept
    assert found.refused
    # A disk that lies to the end may have kept what it refused last.
    assert mode or not found.ghosts


def test_calls_that_were_made_to_fail_are_told_from_the_others(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    log.write_text(
        '11   openat(AT_FDCWD</x>, "/y/mesh.db", O_RDONLY) = 7</y/mesh.db>\n'
        "12   fdatasync(7</y/mesh.db> <unfinished ...>\n"
        '11   pwrite64(8</y/mesh.db-wal>, "a"..., 24, 56) = -1 EIO (Input/output error) (INJECTED)\n'
        "12   <... fdatasync resumed>)          = -1 EIO (Input/output error) (INJECTED)\n"
        "12   +++ exited with 0 +++\n"
    )

    assert read_log(log) == [
        Call(11, "openat", "/y/mesh.db", failed=False),
        Call(11, "pwrite64", "/y/mesh.db-wal", failed=True),
        Call(12, "fdatasync", "/y/mesh.db", failed=True),
    ]
