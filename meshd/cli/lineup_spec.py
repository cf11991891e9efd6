"""The spec that `meshd optimize` sends: a file, and over it what the options say."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import TypeAlias, cast

import msgspec

from meshd.cli.rules import exposures, groups, share, stacks
from meshd.errors import BadInput

MAX_FILE_BYTES = 900_000
"""A salary file has 100 KB at most, and a request to the daemon 1 MiB."""

Value: TypeAlias = str | int | float | Path | tuple[str, ...] | None
"""What an option can have been given."""

_TOP = {
    "lineups": "lineup_count",
    "objective": "objective",
    "scenarios": "scenarios",
    "holdout": "holdout",
    "seed": "seed",
    "randomness": "randomness",
    "site": "site",
    "swap": "swap",
}
_FILES = {"projections": "projections_csv", "grid": "grid", "entries": "entries_csv"}
_MODEL = {"track": "preset", "laps": "laps"}
_RULES = {
    "salary_cap": "salary_cap",
    "salary_min": "salary_min",
    "max_exposure": "global_exposure_max",
    "min_exposure": "global_exposure_min",
    "max_from_team": "max_from_team",
    "min_from_team": "min_from_team",
    "max_overlap": "max_overlap",
}
_LISTS = {"lock": "locked", "exclude": "excluded", "withdrawn": "withdrawn"}
_TOP_LISTS = {"started": "started"}
_LINEUPS = {"exclude_lineups": "exclude_lineups", "existing": "existing_lineups"}
"""What each option is called in a spec."""


def spec_of(file: Path, options: Mapping[str, Value]) -> dict[str, object]:
    """Return the spec of a salary file, or of a JSON file with a spec, with what the options add.

    Raises:
        BadInput: a file cannot be read, or an option is written in a wrong way.
    """
    given = {name: value for name, value in options.items() if value is not None and value != ()}
    for name, value in given.items():
        if isinstance(value, float) and not isfinite(value):
            raise BadInput(f"--{name}: {value} is not a number of points", hint="for example 3.5")
    spec = _from_file(read_text(file), file)
    spec |= {_TOP[name]: value for name, value in given.items() if name in _TOP}
    spec |= {
        _FILES[name]: read_text(value) for name, value in given.items() if name in _FILES and isinstance(value, Path)
    }
    model = {_MODEL[name]: value for name, value in given.items() if name in _MODEL}
    rules: dict[str, object] = {_RULES[name]: value for name, value in given.items() if name in _RULES}
    for name, value in given.items():
        match name, value:
            case "max_exposure" | "min_exposure", str():
                rules[_RULES[name]] = share(value, "--" + name.replace("_", "-"))
            case "exposure", tuple():
                rules["exposure"] = exposures(value)
            case "group", tuple():
                rules["groups"] = groups(value)
            case "stack", tuple():
                rules["stacks"] = stacks(value)
            case _, tuple() if name in _TOP_LISTS:
                spec[_TOP_LISTS[name]] = list(value)
            case _, tuple():
                rules[_LISTS[name]] = list(value)
            case _, Path() if name in _LINEUPS:
                rules[_LINEUPS[name]] = read_text(value)
            case _:
                pass
    for field, more in (("model", model), ("constraints", rules)):
        if more:
            own = spec.get(field)
            spec[field] = {**(cast("dict[str, object]", own) if isinstance(own, dict) else {}), **more}
    return spec


def _from_file(text: str, file: Path) -> dict[str, object]:
    if not text.lstrip().startswith("{"):
        return {"slate_csv": text}
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"{file} is not a JSON object: {error}", hint='for example {"drivers": [ … ]}') from None


def read_text(file: Path) -> str:
    """Return the text of a file that a spreadsheet or a browser has saved.

    Raises:
        BadInput: it is not text, or far too large.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"{file} is larger than {MAX_FILE_BYTES:,} bytes", hint="a salary file has 100,000 at most")
    if data.startswith(b"PK\x03\x04"):
        raise BadInput(
            f"{file} is a spreadsheet or a ZIP archive, not a CSV file", hint="open it, and save the table as CSV UTF-8"
        )
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(
            f"{file} is not UTF-8 text: line {line} holds the byte 0x{data[error.start]:02x}",
            hint="send the file as it was downloaded, or save it again as CSV UTF-8",
        ) from None
    if "\0" in text:
        raise BadInput(f"{file} is not a text file", hint="export the slate as CSV")
    return text
