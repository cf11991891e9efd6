"""run.py makes `.venv` once, makes it again when it no longer fits, and says what is missing."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run


def absent(name: str) -> None:
    """Stand for a search that finds nothing."""


class Installs:
    """A folder of the project's own in which "installing" makes an interpreter that is only a file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[list[str]] = []
        self.fails = False

    def __call__(self, locks: list[str]) -> None:
        self.calls.append(locks)
        self.python.parent.mkdir(parents=True, exist_ok=True)
        self.python.touch()
        if self.fails:
            raise subprocess.CalledProcessError(1, "pip")

    @property
    def python(self) -> Path:
        return self.root / ".venv" / "bin" / "python"


@pytest.fixture
def installs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installs:
    for name in ["pyproject.toml", "uv.lock", *run.LOCKS["test"]]:
        (tmp_path / name).write_text(name, encoding="utf-8")
    fake = Installs(tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "STAMP", tmp_path / ".venv" / ".ready")
    monkeypatch.setattr(run, "PYTHON", fake.python)
    monkeypatch.setattr(run, "install_with_pip", fake)
    monkeypatch.setattr(shutil, "which", absent)
    return fake


def test_a_second_call_installs_nothing(installs: Installs) -> None:
    run.set_up("demo")
    run.set_up("demo")

    assert installs.calls == [["requirements.lock"]]


def test_what_the_tests_need_serves_the_demo_and_not_the_reverse(installs: Installs) -> None:
    for command in ("demo", "test", "demo", "test"):
        run.set_up(command)

    assert installs.calls == [run.LOCKS["demo"], run.LOCKS["test"]]


def test_a_changed_lock_installs_again_in_place(installs: Installs) -> None:
    run.set_up("demo")
    kept = installs.root / ".venv" / "kept"
    kept.touch()
    (installs.root / "uv.lock").write_text("newer", encoding="utf-8")
    run.set_up("demo")

    assert len(installs.calls) == 2
    assert kept.exists()


def test_an_environment_without_its_python_is_remade(installs: Installs) -> None:
    run.set_up("demo")
    rubbish = installs.root / ".venv" / "rubbish"
    rubbish.touch()
    installs.python.unlink()
    run.set_up("demo")

    assert len(installs.calls) == 2
    assert not rubbish.exists()


def test_an_environment_left_half_made_is_remade(installs: Installs) -> None:
    installs.fails = True
    with pytest.raises(SystemExit, match="could not be set up"):
        run.set_up("demo")
    rubbish = installs.root / ".venv" / "rubbish"
    rubbish.touch()
    installs.fails = False
    run.set_up("demo")

    assert len(installs.calls) == 2
    assert not rubbish.exists()


def test_a_python_with_neither_venv_nor_pip_is_told_which_package_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", absent)

    with pytest.raises(SystemExit, match="apt install python3-venv"):
        run.install_with_pip(run.LOCKS["demo"])


def test_an_unknown_command_shows_the_two_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "dance"])

    assert run.main() == 2
    assert "run.py demo" in capsys.readouterr().err
