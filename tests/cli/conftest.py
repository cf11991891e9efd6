"""A home of its own for each command, and the services of a daemon to talk to."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.services import Services, running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("MESHD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MESHD_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def services(home: Path) -> Generator[Services]:
    with running(home) as services:
        yield services
