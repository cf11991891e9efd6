"""The tree tells the truth: every module says what it is, stays small, and needs what pyproject.toml says."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = [ROOT / "meshd", ROOT / "protocol" / "meshd_protocol", ROOT / "tray" / "meshd_tray"]
MODULES = sorted(file for package in PACKAGES for file in package.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

MAX_LINES = 450
"""About as much as a reader holds in mind; code bases we admire have their median file at 80 to 300."""

LONGER_WITH_REASON: dict[str, str] = {
    "meshd/jobs/executor.py": "who may start next, and what becomes of it: one table of entries, read on every change",
    "meshd/jobs/holdings.py": "peers' attempts from offer to end: every word about one goes through its lease",
    "meshd/jobs/origin.py": "where events of own jobs become rows, offers and news",
    "meshd/net/streams.py": "both directions of one conversation, which share its state",
    "tests/support/hosts.py": "a LAN, its hosts and their daemons: a test reads one vocabulary",
}
"""Files above the limit, by path from the root, each with the reason why it is not two."""

NOT_A_CONCEPT = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}
"""Names under which anything could be put, and under which nobody looks."""


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def lock_pins(lock: str) -> set[tuple[str, str]]:
    text = (ROOT / lock).read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", text, flags=re.MULTILINE))


def requirement_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0].lower()


def released(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version(package).split(".")[:3] if part.isdigit())


def test_every_module_says_what_it_is() -> None:
    trees = {name_of(file): ast.parse(file.read_text(encoding="utf-8")) for file in MODULES}

    assert [name for name, tree in trees.items() if not ast.get_docstring(tree)] == []


def test_a_file_is_short_or_says_why_not() -> None:
    lengths = {name_of(file): file.read_text(encoding="utf-8").count("\n") for file in [*MODULES, *TESTS]}

    assert {name for name, lines in lengths.items() if lines > MAX_LINES} == set(LONGER_WITH_REASON)


def test_every_file_is_named_after_a_concept() -> None:
    words = {name_of(file): set(re.split(r"[/_.]", name_of(file))) for file in [*MODULES, *TESTS]}

    assert [name for name in words if words[name] & NOT_A_CONCEPT] == []


def texts() -> Iterator[tuple[str, str]]:
    """Yield path and text of every file that people write here."""
    folders = [*PACKAGES, ROOT / "tests", ROOT / "docs", ROOT / "protocol", ROOT / ".github", ROOT / ".ci"]
    files = {file for folder in folders for file in folder.rglob("*") if "__pycache__" not in file.parts}
    files |= {*ROOT.glob("*.md"), *ROOT.glob("*.py"), ROOT / "Makefile", ROOT / "pyproject.toml"}
    for file in sorted(files):
        if file.is_file() and file.suffix in {
            "",
            ".md",
            ".py",
            ".toml",
            ".sql",
            ".yml",
            ".js",
            ".css",
            ".html",
        }:
            yield name_of(file), file.read_text(encoding="utf-8")


def test_nothing_points_at_one_persons_machine_or_at_work_to_be_done_some_day() -> None:
    folders = r"(?:home|root|work|Users)"
    private = re.compile(rf"(?<![\w.$}}/])/{folders}/\w|\b(?:TO" rf"DO|FIX" rf"ME|XX" rf"X)\b")

    found = {name: match.group() for name, text in texts() if (match := private.search(text))}

    assert found == {}


@pytest.mark.parametrize(
    ("package", "floor"),
    [("aiohttp", (3, 14, 3)), ("msgpack", (1, 2, 1)), ("zeroconf", (0, 150))],
)
def test_what_reads_bytes_from_the_network_is_no_version_with_a_known_hole(
    package: str, floor: tuple[int, ...]
) -> None:
    stated = f"{package}>={'.'.join(str(part) for part in floor)}"

    assert released(package) >= floor
    assert stated in PYPROJECT["project"]["dependencies"], "the floor holds for those who install meshd, too"


def test_the_development_group_full_is_the_extras_jax_and_tray() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]

    assert PYPROJECT["dependency-groups"]["full"] == [*extras["jax"], *extras["tray"]]


def test_pip_installs_what_uv_installs() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = {(package["name"], package["version"]) for package in lock["package"]}
    run, develop = lock_pins("requirements.lock"), lock_pins("requirements-dev.lock")
    groups = PYPROJECT["dependency-groups"]
    needed = [*PYPROJECT["project"]["dependencies"], *groups["full"], *groups["build"]]

    assert run | develop <= locked, "run `make lock`"
    assert {requirement_name(line) for line in needed} <= {name for name, _ in run}, "run `make lock`"
    assert {requirement_name(line) for line in groups["dev"]} <= {name for name, _ in develop}, "run `make lock`"


def test_run_py_needs_only_the_standard_library() -> None:
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    from_ = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.split(".")[0] for name in plain | from_} <= sys.stdlib_module_names
