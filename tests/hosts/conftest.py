"""What every test of real hosts starts from."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.hosts import Lan, open_lan


@pytest.fixture
def lan(tmp_path: Path) -> Generator[Lan]:
    """Return a LAN without hosts; when the test is over, nothing of it is left."""
    with open_lan(tmp_path) as made:
        yield made
