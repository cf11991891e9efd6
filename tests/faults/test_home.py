"""The folder of a daemon: one at a time, usable again after a kill, and one clear sentence when it cannot be used."""

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from meshd.__main__ import only_daemon
from meshd.errors import Degraded
from meshd.paths import find
from tests.faults.daemon import RealDaemon, a_daemon

posix = pytest.mark.skipif(os.name != "posix", reason="no data: file modes mean nothing on this system")


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[RealDaemon]:
    with a_daemon(tmp_path) as daemon:
        yield daemon


def sentence(daemon: RealDaemon, *prefix: str) -> tuple[str, str]:
    """Return the error and the hint of a daemon that does not start: all that it prints."""
    status, words = daemon.refused(prefix)
    assert status == 1, words
    error, *hint = words.splitlines()
    assert error.startswith("error: "), words
    assert len(hint) <= 1, words
    return error, hint[0] if hint else ""


def test_a_second_daemon_on_the_same_folder_refuses_and_names_the_process_that_has_it(daemon: RealDaemon) -> None:
    daemon.start()
    daemon.wait_until_ready()

    error, hint = sentence(daemon)

    assert f"another meshd already runs with {daemon.paths.data} (pid {daemon.pid})" in error
    assert "meshd down" in hint
    assert daemon.client.status().pid == daemon.pid


@posix
def test_what_a_killed_daemon_leaves_does_not_hinder_the_next_one(daemon: RealDaemon) -> None:
    daemon.start()
    daemon.wait_until_ready()
    daemon.kill()
    assert json.loads(daemon.paths.daemon_file.read_text())["pid"] == daemon.pid
    # As if the kill had come in the middle of writing them.
    drafts = [daemon.paths.daemon_file.with_suffix(".new"), daemon.paths.api_token.with_name("api-token.new")]
    for draft in drafts:
        draft.write_text("half")

    daemon.start()
    daemon.wait_until_ready()

    assert daemon.client.status().pid == daemon.pid
    assert not any(draft.exists() for draft in drafts)
    assert daemon.stop() == 0


def test_the_process_of_a_killed_daemon_is_not_named_as_the_one_that_runs(tmp_path: Path) -> None:
    home = find({"MESHD_HOME": str(tmp_path / "home")})
    home.create()
    home.daemon_file.write_text(json.dumps({"pid": 4_000_000, "port": 1}))

    with only_daemon(home), pytest.raises(Degraded, match="another meshd already runs") as caught:
        only_daemon(home)

    assert "4000000" not in caught.value.message


@posix
@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(daemon: RealDaemon, used: bool) -> None:
    home = daemon.paths.data
    if used:
        daemon.start()
        daemon.wait_until_ready()
        daemon.stop()
    else:
        home.mkdir()
    home.chmod(0o500)
    try:
        error, _ = sentence(daemon, *without_privilege())
    finally:
        home.chmod(0o700)

    assert str(home) in error


def without_privilege() -> list[str]:
    """Return what to put before a command that is to heed file modes: root does not, unless it lacks a capability."""
    if os.geteuid() != 0:
        return []
    if sys.platform != "linux" or shutil.which("setpriv") is None:
        pytest.skip("no setpriv: root heeds no file modes (Debian: util-linux)")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(daemon: RealDaemon) -> None:
    daemon.paths.data.write_text("in the way")

    error, _ = sentence(daemon)

    assert f"{daemon.paths.data} cannot be used" in error


def test_a_damaged_database_is_refused_and_left_alone(daemon: RealDaemon) -> None:
    daemon.start()
    daemon.wait_until_ready()
    daemon.kill()
    database = daemon.paths.database
    log = database.with_name(database.name + "-wal")
    assert log.stat().st_size
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        content = bytearray(database.read_bytes())
        content[4096 * 2 : 4096 * 9] = b"\xff" * 4096 * 7
        database.write_bytes(content)
        before = {path.name: path.read_bytes() for path in (database, log)}

        error, hint = sentence(daemon)

        assert {path.name: path.read_bytes() for path in (database, log)} == before
    connection.close()
    assert f"{database} is damaged" in error
    assert "meshd has not changed it" in hint
