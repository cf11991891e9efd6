import os
import sys
from pathlib import Path

import pytest

from meshd.client.connection import DaemonUnreachable, alive
from meshd.client.launch import StartFailed, launch, stop, wait_until_ready
from meshd.paths import find

ROOT = Path(__file__).resolve().parents[2]

FAKE = """
import asyncio, os, pathlib
from tests.support.services import Services, serve_home
print("begun")
asyncio.run(serve_home(pathlib.Path(os.environ["MESHD_HOME"]), Services()))
"""


def environ(home: Path) -> dict[str, str]:
    return {**os.environ, "MESHD_HOME": str(home), "PYTHONPATH": str(ROOT)}


def test_a_daemon_is_started_apart_from_us_and_ended_in_order(tmp_path: Path) -> None:
    own = environ(tmp_path / "home")
    paths = find(own)
    process, begins = launch(paths, own, command=(sys.executable, "-c", FAKE))
    try:
        status = wait_until_ready(process, begins, paths)

        assert status.pid == process.pid
        assert os.getsid(process.pid) == process.pid
        assert paths.daemon_log.read_text().startswith("begun")
        assert stop(paths).pid == process.pid
        process.wait(10)
        assert not alive(process.pid)
        with pytest.raises(DaemonUnreachable):
            stop(paths)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("program", "message", "hint", "status"),
    [
        ("print('error: no port\\nhint: set another'); raise SystemExit(1)", "no port", "set another", 1),
        (
            "print('error: settings:\\n  a: wrong\\n  b: wrong'); raise SystemExit(2)",
            "settings:\n  a: wrong\n  b: wrong",
            "",
            2,
        ),
        ("raise SystemExit('it broke')", "it broke", "", 1),
        ("import os; os.kill(os.getpid(), 9)", "meshd ended at once", "", 1),
    ],
)
def test_a_daemon_that_does_not_start_says_why(
    tmp_path: Path, program: str, message: str, hint: str, status: int
) -> None:
    own = environ(tmp_path / "home")
    paths = find(own)
    paths.create()
    paths.daemon_log.write_text("error: of an earlier run\nhint: of an earlier run\n")
    process, begins = launch(paths, own, command=(sys.executable, "-u", "-c", program))
    with pytest.raises(StartFailed) as caught:
        wait_until_ready(process, begins, paths)

    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint
    assert "earlier" not in caught.value.message + caught.value.hint
    assert caught.value.exit_status == status
