"""The pages and the code say the same: what one side has and the other lacks is an error here."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from meshd.cli import failure
from meshd.cli.app import COMMANDS, meshd
from meshd.config import PREFIX, Config, load
from meshd.jobs.model import OPEN_ATTEMPT
from meshd_protocol import codec, limits
from meshd_protocol.errors import Code
from meshd_protocol.messages import jobs, pairing, session, status
from meshd_protocol.messages.base import Message
from meshd_protocol.version import PROTOCOL_VERSION
from tests.support import diagram

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / "protocol").glob("*.md"), *ROOT.glob("*.md")])
SOURCES = sorted(
    file for folder in ("meshd", "protocol", "tray") for file in (ROOT / folder).rglob("*.py") if file.is_file()
)

SPEC = (ROOT / "protocol" / "SPEC.md").read_text(encoding="utf-8")
CONFIGURATION = (DOCS / "guide" / "configuration.md").read_text(encoding="utf-8")
COMMAND_LINE = (DOCS / "guide" / "command-line.md").read_text(encoding="utf-8")
TROUBLESHOOTING = (DOCS / "guide" / "troubleshooting.md").read_text(encoding="utf-8")

MESSAGES: list[type[Message]] = [
    kind
    for module in (pairing, session, jobs, status)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
]

TOLD = {
    "Conflict",
    "DaemonUnreachable",
    "Degraded",
    "NotFound",
    "PeerRefused",
    "PeerUnreachable",
    "StartFailed",
    "TimedOut",
}
"""Errors that are not about what was typed: whoever meets one looks it up."""

FOR_PROGRAMS = ("meshd/api/", "meshd/execution/pool.py", "meshd/net/blob", "meshd/store/blob")
"""Where errors are raised that no person sees: answers to HTTP requests, and calls between parts."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    return re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as the forge makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Configuration


@pytest.mark.parametrize("key", Config.__struct_fields__)
def test_every_setting_and_its_variable_are_in_the_table(key: str) -> None:
    assert f"| `{key}` | `{PREFIX}{key.upper()}` |" in CONFIGURATION


def test_no_setting_is_described_that_does_not_exist() -> None:
    described = re.findall(r"^\| `(\w+)` \| `MESHD_\w+` \|", CONFIGURATION, flags=re.MULTILINE)

    assert described == list(Config.__struct_fields__)


def test_the_examples_are_valid_files(tmp_path: Path) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```", CONFIGURATION, flags=re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.toml"
        file.write_text(example)
        load(file, {})


def test_every_variable_of_the_environment_is_described() -> None:
    named = {
        variable for file in SOURCES for variable in re.findall(r"\bMESHD_[A-Z_]*[A-Z]\b", file.read_text("utf-8"))
    }

    assert {variable for variable in named if f"`{variable}`" not in CONFIGURATION} == set()


# Command line


def command(name: str) -> click.Command:
    found = meshd.get_command(click.Context(meshd), name)
    assert found is not None
    return found


def section(name: str) -> str:
    """Return what the page says about one command."""
    found = re.search(rf"^### `meshd {name}`\n(.*?)(?=^##|\Z)", COMMAND_LINE, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"command-line.md has no section for meshd {name}"
    return found.group(1)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_options_is_described(name: str) -> None:
    about = section(name)
    options = {
        spelling
        for each in command(name).params
        if isinstance(each, click.Option)
        for spelling in (*each.opts, *each.secondary_opts)
    }

    missing = {spelling for spelling in options - {"--json"} if f"`{spelling}" not in about}
    assert missing == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_is_described_that_does_not_exist(name: str) -> None:
    described = set(re.findall(r"(?<![\w-])`(--?[a-z][a-z-]*)", section(name)))
    options = {spelling for each in command(name).params for spelling in (*each.opts, *each.secondary_opts)}

    assert described <= options


def test_no_command_is_described_that_does_not_exist() -> None:
    assert set(re.findall(r"^### `meshd (\w+)`", COMMAND_LINE, flags=re.MULTILINE)) == set(COMMANDS)


def test_every_exit_code_is_described() -> None:
    codes = {0, *(value for name, value in vars(failure).items() if name.isupper() and isinstance(value, int))}
    described = re.findall(r"^\| (\d+) \|", COMMAND_LINE, flags=re.MULTILINE)

    assert {int(code) for code in described} == codes


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the arguments of every call of meshd that a page shows: at a prompt, and in code within a sentence."""
    for block in code_blocks(text):
        for line in block.splitlines():
            call = re.fullmatch(r"\$ meshd (.+)", line)
            if call is not None:
                yield shlex.split(call.group(1))
    # A capital letter stands for something else: `meshd COMMAND`. The first column of a table may quote messages.
    for call in re.findall(r"`meshd ([a-z-][^`]*)`", re.sub(r"^\|[^|]*\|", "", prose(text), flags=re.MULTILINE)):
        yield shlex.split(call)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_call_of_meshd_on_a_page_is_one_that_meshd_understands(page: Path) -> None:
    for arguments in commands_in(page.read_text(encoding="utf-8")):
        if arguments[0].startswith("-"):
            assert arguments in (["--version"], ["--help"], ["-h"]), arguments
            continue
        assert arguments[0] in COMMANDS, arguments
        called = command(arguments[0])
        parser = called.make_parser(click.Context(called))
        _, left, _ = parser.parse_args(arguments[1:])
        assert left == [], arguments


# Protocol


@pytest.mark.parametrize("code", Code)
def test_every_error_code_is_in_the_spec(code: Code) -> None:
    assert f"| `{code}` |" in SPEC


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_and_each_of_its_fields_is_in_the_spec(kind: type[Message]) -> None:
    tag = kind.__struct_config__.tag
    if tag is not None:
        assert f"`{tag}`" in SPEC
    # Fields of lists stand together in braces.
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", prose(SPEC)))))
    assert {field for field in kind.__struct_fields__ if field not in words} == set()


def test_the_spec_tells_durable_messages_from_all_others() -> None:
    durable = {str(kind.__struct_config__.tag) for kind in codec.DurableMessage.__args__}
    told = re.search(r"Durable messages are (.+?)\. All others", SPEC, flags=re.DOTALL)

    assert told is not None
    assert set(re.findall(r"`([\w-]+)`", told.group(1))) == durable


def test_the_spec_knows_the_newest_version() -> None:
    history = re.findall(r"^\| (\d+) \| \d{4}-\d\d-\d\d \|", SPEC, flags=re.MULTILINE)

    assert [int(version) for version in history] == list(range(1, PROTOCOL_VERSION + 1))


def test_the_limits_of_the_spec_are_those_of_the_code() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", SPEC.partition("## 11.")[2], flags=re.MULTILINE))
    mib, kib = 1 << 20, 1 << 10

    assert rows["frame, structure, frame of a stranger"] == (
        f"{limits.MAX_FRAME_BYTES // mib} MiB, {limits.MAX_STRUCTURE_BYTES // kib} KiB, "
        f"{limits.MAX_UNAUTHENTICATED_FRAME_BYTES // kib} KiB"
    )
    assert rows["document"] == f"{limits.MAX_DOCUMENT_BYTES:,} bytes"
    assert rows["containers, items, fields"] == (
        f"{limits.MAX_CONTAINERS:,}, {limits.MAX_ITEMS:,}, {limits.MAX_FIELDS}"
    )
    assert rows["attempts held for one origin"] == f"{limits.MAX_HELD:,}"
    assert rows["durable messages under way"] == f"{limits.MAX_WINDOW}"
    assert rows["step of a pairing or greeting"] == f"{limits.HANDSHAKE_STEP_S:g} s"
    assert rows["code: lifetime, tries"] == f"{limits.CODE_TTL_S:g} s by default, {limits.CODE_TRIES}"
    assert rows["heartbeat"] == f"{limits.HEARTBEAT_S:g} s"
    assert rows["lease, the origin's margin"] == f"{limits.LEASE_S:g} s, {(limits.LEASE_MARGIN - 1) * 100:.0f}%"
    assert rows["grace of a deterministic attempt after a lost session"] == f"{limits.SESSION_GRACE_S:g} s"
    assert rows["attempts that a job may lose"] == f"{limits.MAX_LOSSES}"


@pytest.mark.parametrize("vectors", sorted((ROOT / "protocol" / "vectors").iterdir()), ids=lambda file: file.name)
def test_every_file_of_vectors_is_in_the_spec(vectors: Path) -> None:
    assert f"vectors/{vectors.name}" in SPEC


# Drawings


@pytest.mark.parametrize("name", diagram.PAGES)
def test_a_drawing_shows_what_the_code_does(name: str) -> None:
    drawn = (diagram.FOLDER / name).read_text(encoding="utf-8")

    assert drawn == diagram.page(name), f"draw it anew: {diagram.COMMAND}"


def test_there_is_no_drawing_that_nobody_draws() -> None:
    assert {file.name for file in diagram.FOLDER.iterdir()} == set(diagram.PAGES)


def test_the_drawing_of_a_machine_finds_its_ends_and_its_ways() -> None:
    drawn = diagram.page("attempt.md")

    assert all(f" {state} --> lost: Lost" in drawn for state in OPEN_ATTEMPT)
    assert "    cancelled --> [*]" in drawn
    assert "    lost --> [*]" not in drawn


# Errors


def pieces(argument: ast.expr) -> list[str]:
    """Return what is certain to stand in a message, whatever is filled in."""
    match argument:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return [str(part.value) for part in values if isinstance(part, ast.Constant)]
        case _:
            return []


def messages_raised(file: Path) -> Iterator[str]:
    """Yield the longest certain piece of each message that a person may look up."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in TOLD:
                certain = pieces(first)
                if certain:
                    yield max(certain, key=len).strip(" :;,()'").partition(": ")[0].partition(" (")[0]
            case _:
                continue


@pytest.mark.parametrize("file", [file for file in SOURCES if any(messages_raised(file))], ids=name_of)
def test_every_error_that_a_person_may_look_up_is_in_troubleshooting(file: Path) -> None:
    if name_of(file).startswith(FOR_PROGRAMS):
        return
    # What is shown in a page may have figures where the code fills them in.
    known = re.sub(r"[\s`]+", " ", TROUBLESHOOTING)

    assert [message for message in messages_raised(file) if message not in known] == []


def test_every_message_in_troubleshooting_is_one_that_meshd_says() -> None:
    said = "\n".join(
        node.value
        for file in SOURCES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    first_columns = re.findall(r"^\|([^|]*)\|", TROUBLESHOOTING, flags=re.MULTILINE)
    quoted = [message for column in first_columns for message in re.findall(r"`([^`]+)`", column)]

    # Figures and dots stand for what is filled in.
    parts = {part.strip() for message in quoted for part in re.split(r"\d+|…", message) if len(part.strip()) > 5}
    assert {part for part in parts if part not in said} - {"meshd peers"} == set()


# Links and names


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)

    assert broken == []


def test_every_page_can_be_reached_from_the_first_one() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)\s:#]+)", prose(page.read_text(encoding="utf-8")))
        waiting += [(page.parent / target).resolve() for target in targets]

    assert [name_of(page) for page in PAGES if page not in reached] == []


def test_every_file_and_every_test_that_a_page_names_exists() -> None:
    tests = {
        name
        for file in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    }
    missing: list[str] = []
    for page in PAGES:
        for name in re.findall(r"`([^`\s]+)`", page.read_text(encoding="utf-8")):
            # The labels of keys and signatures look like paths, and are none: `meshd/pair/1/confirmA`.
            if re.fullmatch(r"(?!meshd/\w+/\d)(meshd|meshd_protocol|protocol|tests|tray)/[\w/.]+", name):
                where = ROOT / "protocol" / name if name.startswith("meshd_protocol/") else ROOT / name
                missing += [] if where.exists() else [f"{name_of(page)}: {name}"]
            elif re.fullmatch(r"test_\w+", name) and name not in tests:
                missing.append(f"{name_of(page)}: {name}")

    assert missing == []


def test_decisions_are_short_and_listed() -> None:
    folder = DOCS / "decisions"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    files = sorted(file.name for file in folder.glob("[0-9]*.md"))

    assert listed == files
    # Numbers are given out beforehand to those who work at the same time: one may be left over.
    assert len({name[:4] for name in files}) == len(files)
    assert [name for name in files if (folder / name).read_text(encoding="utf-8").count("\n") >= 25] == []
