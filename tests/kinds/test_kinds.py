"""Kinds are found by name, those of other packages too, and a broken one is no worse than a message."""

import importlib
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from meshd import kinds
from meshd.errors import BadInput
from meshd.kinds.traits import may_be_killed

WELL = """
class Well:
    name, deterministic, retry_safe, accelerated, divisible, program = "well", True, True, False, False, "well"
    def validate(self, spec): return dict(spec)
    def cost(self, resolved): return None
    def default_name(self, resolved): return "well"
kind = Well()
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Install a package with a good kind and three bad ones."""
    (tmp_path / "well.py").write_text(WELL)
    (tmp_path / "bursting.py").write_text("raise RuntimeError('no licence')")
    (tmp_path / "hollow.py").write_text("kind = object()")
    info = tmp_path / "others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[meshd.kinds]\nwell = well:kind\nbursting = bursting:kind\nhollow = hollow:kind\n"
        "missing = missing:kind\necho = bursting:kind\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    kinds.forget()
    yield
    kinds.forget()
    for name in ("well", "bursting", "hollow"):
        sys.modules.pop(name, None)


def test_an_unknown_kind_is_bad_input_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="no kind of job called 'dance'") as caught:
        kinds.find("dance")

    assert caught.value.hint == f"known: {', '.join(kinds.names())}"
    assert {"echo", "lineups"} <= set(kinds.names())


@pytest.mark.usefixtures("packages")
def test_a_kind_of_another_package_is_found() -> None:
    assert kinds.find("well").default_name({}) == "well"


@pytest.mark.usefixtures("packages")
def test_a_kind_that_does_not_load_is_reported_and_harms_no_other() -> None:
    assert {name: why.partition(":")[0] for name, why in kinds.broken().items()} == {
        "bursting": "RuntimeError",
        "hollow": "hollow",
        "missing": "ModuleNotFoundError",
    }
    with pytest.raises(BadInput, match="no licence"):
        kinds.find("bursting")
    assert "bursting" in kinds.names()


@pytest.mark.usefixtures("packages")
def test_nobody_takes_the_name_of_a_kind_that_comes_with_meshd() -> None:
    assert type(kinds.find("echo")).__module__ == "meshd.kinds.echo"


def test_only_what_leaves_nothing_half_done_may_be_killed() -> None:
    assert [name for name in ("command", "echo", "lineups") if may_be_killed(kinds.find(name))] == ["lineups"]
