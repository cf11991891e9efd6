"""Rules for every test: the event loop never blocks, examples are bounded, and CI skips nothing unnoticed."""

import functools
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

pytest_plugins = ["pytester"]

IN_CI = os.environ.get("CI", "").lower() == "true"

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real salary files and race logs, which are too many and not ours to keep in the repository."""

CI_MAY_SKIP = ("no GPU", "no data")
"""How a skip's reason starts when a machine may rightly lack something. Anything else CI must have."""

# No deadline: on two shared cores a slow example says nothing. CI draws the same examples each time, so that
# its failures come from the change; at a desk they are new each time, and find what CI will not.
settings.register_profile("desk", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if IN_CI else "desk")


@pytest.fixture(scope="session", autouse=True)
def no_blocking_in_the_loop() -> Generator[None]:
    """Fail a test in which our code sleeps, or waits for a file, socket or database, in an event loop."""
    # Only calls with our code on the stack: pytest and its plugins may do as they like.
    with blockbuster_ctx(scanned_modules=["meshd", "meshd_protocol", "meshd_tray"]):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data beside the repository, or skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no data: ../shared/data is not there")
    return SHARED_DATA


@functools.cache
def can_make_hosts() -> bool:
    """Return whether this process may create a network namespace, found out by creating one."""
    name = f"meshd-probe-{os.getpid()}"
    try:
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    except OSError:
        return False
    if made.returncode == 0:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=True)
    return made.returncode == 0


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `hosts` where no network namespaces can be made."""
    if item.get_closest_marker("hosts") is not None and not can_make_hosts():
        pytest.skip("no hosts: needs root and `ip netns` (Debian: iproute2)")


def pytest_configure(config: pytest.Config) -> None:
    """Let a module that CI must not skip fail without hiding the results of the others."""
    if IN_CI:
        config.option.continue_on_collection_errors = True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that CI may not have into a failure."""
    report = yield
    if not hasattr(report, "wasxfail"):
        refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole module that CI may not have into an error."""
    report = yield
    refuse_skip(report)
    return report


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make `report` a failure if it is a skip, this is CI, and the reason is not one that CI may have."""
    if not (IN_CI and report.skipped):
        return
    reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(CI_MAY_SKIP):
        report.outcome = "failed"
        report.longrepr = f"CI may not skip this: {reason}"
