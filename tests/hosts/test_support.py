"""The hosts themselves: what a test leaves behind does not stay, and does not go unnoticed."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.hosts import Daemon, open_lan

pytestmark = pytest.mark.hosts


def namespaces() -> str:
    """Return the namespaces that this process has made: another run of the tests may be making its own."""
    found = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    return "\n".join(line for line in found.splitlines() if line.startswith(f"meshd-{os.getpid()}-"))


def test_a_process_that_outlives_its_test_fails_it_and_is_ended(tmp_path: Path) -> None:
    left: list[subprocess.Popen[bytes]] = []
    before = namespaces()

    def leave_a_process() -> None:
        with open_lan(tmp_path) as lan:
            command = ["ip", "netns", "exec", lan.add_host().namespace, "sh", "-c", "echo inside; exec sleep 600"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            left.append(process)
            assert process.stdout is not None
            with process.stdout as said:
                assert said.readline() == b"inside\n"

    with pytest.raises(AssertionError, match="no process is left"):
        leave_a_process()
    assert left[0].wait(5) == -9
    assert not set(namespaces().split()) - set(before.split())


def test_nothing_is_left_of_a_lan_whose_test_has_failed(tmp_path: Path) -> None:
    used: list[Daemon] = []
    before = namespaces()

    def fail() -> None:
        with open_lan(tmp_path) as lan:
            used.extend(lan.start("laptop"))
            used[0].ended(used[0].echo("local"))
            assert used[0].workers()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert used[0].host.namespace not in namespaces()
    assert not set(namespaces().split()) - set(before.split())
