import os
import subprocess
import sys
from pathlib import Path

import pytest

from meshd.paths import Paths, find


def test_one_variable_puts_everything_into_one_folder(tmp_path: Path) -> None:
    paths = find({"MESHD_HOME": str(tmp_path / "pc")})

    every = [getattr(paths, name) for name in Paths.__slots__]
    assert all(each == tmp_path / "pc" or (tmp_path / "pc") in each.parents for each in every)
    assert len(set(every)) == len(every)


def test_a_relative_home_means_the_same_wherever_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert find({"MESHD_HOME": "pc"}).data == tmp_path / "pc"


def test_without_it_each_platform_has_its_own_places() -> None:
    paths = find({"MESHD_HOME": ""})

    assert paths.data.is_absolute()
    assert paths.data.name == "meshd"
    assert paths.config_file.name == "config.toml"


@pytest.mark.skipif(os.name != "posix", reason="rights as POSIX has them")
def test_the_folders_are_for_their_user_alone_also_those_that_were_open(tmp_path: Path) -> None:
    paths = find({"MESHD_HOME": str(tmp_path / "pc")})
    paths.data.mkdir(mode=0o755)
    paths.create()
    paths.create()

    for folder in (paths.data, paths.blobs, paths.logs, paths.identity):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_status_in_a_shell_prompt_imports_nothing_that_takes_time() -> None:
    heavy = ("aiohttp", "asyncio", "click", "cryptography", "dataclasses", "http.client", "msgspec", "rich", "typing")
    program = f"import sys, meshd.cli.main, meshd.cli.status; print([m for m in {heavy} if m in sys.modules])"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"
