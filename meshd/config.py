"""The settings of this device: a TOML file, with `MESHD_*` variables of the environment over it."""

import difflib
import os
import re
import socket
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, cast, get_type_hints

import msgspec
from msgspec import Meta, field

from meshd.errors import UsageError
from meshd.paths import HOME_VARIABLE

PREFIX = "MESHD_"

MAX_FILE_BYTES = 1 << 20
"""A settings file has a few lines; a larger one is a mistake."""

Port = Annotated[int, Meta(ge=0, le=65535)]
"""0: any free one."""

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _host_name() -> str:
    """Return this machine's name as others may see it: the first label, printable, at most 64 characters."""
    label = socket.gethostname().split(".")[0]
    return "".join(c for c in label if unicodedata.category(c)[0] != "C")[:64].strip() or "unnamed"


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Named settings for jobs; None: not set."""

    placement: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] | None = None
    timeout_s: Annotated[float, Meta(ge=0, le=30 * 86400)] | None = None
    retries: Annotated[int, Meta(ge=0, le=100)] | None = None
    offload_timeout_s: Annotated[float, Meta(ge=10, le=120)] | None = None
    spread: bool | None = None
    spec: dict[str, object] = {}
    """Fields of the spec, of whichever kind."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, checked, with its default filled in."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f]$")] = field(
        default_factory=_host_name
    )
    """What other devices call this one; default: the host name."""

    api_port: Port = 62222
    """Where the local API listens, on 127.0.0.1 only; the next free port when it is taken."""

    peer_port: Port = 62223
    """Where other devices connect; the next free port when it is taken."""

    addresses: list[str] = []
    """`host` or `host:port` of devices that discovery cannot see: on VPNs and other subnets."""

    discovery: bool = True
    """Whether to announce this device and to look for others (mDNS)."""

    slots: Annotated[int, Meta(ge=1, le=1024)] = field(default_factory=_cores)
    """How many attempts run at once; default: one a core."""

    pairing_ttl_s: Annotated[float, Meta(ge=5, le=3600)] = 300.0
    """How long a pairing code is good for."""

    offload_timeout_s: Annotated[float, Meta(ge=10, le=120)] = 30.0
    """A peer that shows no progress for this long is too slow, and the job moves on."""

    calibrate: bool = True
    """Whether to measure at the first start how fast this device is."""

    rates: dict[str, Annotated[float, Meta(gt=0, le=1e18)]] = {}
    """Declared rates by kind of job, in units per second, instead of measured ones; `kind/gpu` and `kind/cpu` declare
    what a kind does on GPUs, and on all processors."""

    min_battery_percent: Annotated[float, Meta(ge=0, le=101)] = 50.0
    """On battery, take jobs of others only from this charge on; 0: always, 101: never on battery."""

    idle_worker_s: Annotated[float, Meta(ge=0, le=86400)] = 600.0
    """A worker that has had nothing to do for this long is ended, to free its memory."""

    blob_quota_gb: Annotated[float, Meta(ge=0.001, le=1e6)] = 50.0
    """How much room files of jobs may take on this disk: what they need, and what they make."""

    keep_days: Annotated[float, Meta(ge=0, le=36500)] = 0.0
    """Delete jobs that ended longer ago than this many days; 0: keep them."""

    keep_jobs: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Delete the oldest of the jobs that have ended when there are more of them than this; 0: keep them."""

    profiles: dict[str, Profile] = {}
    """Named settings for jobs, for `--profile NAME`."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"


class BadConfig(UsageError):
    """The settings are not usable; the message names every problem, so that one reading is enough."""

    code = "config"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  ".join(["the settings are not usable:", *problems]) if problems[1:] else problems[0])
        self.problems = problems


def load(file: Path, environ: Mapping[str, str]) -> Config:
    """Return the settings of `file` (which may be absent) with those of the environment over them.

    Raises:
        BadConfig: with every problem at once, each with its key and where it was set.
    """
    types = cast("dict[str, object]", get_type_hints(Config, include_extras=True))
    values: dict[str, object] = {}
    problems: list[str] = []
    for place, key, value, strict in (*_from_file(file, problems), *_from_environment(environ, problems)):
        if key not in types:
            problems.append(f"{place}: there is no setting of this name{_did_you_mean(key, types)}")
            continue
        try:
            values[key] = msgspec.convert(value, type=types[key], strict=strict)
        except msgspec.ValidationError as error:
            problems.append(f"{place}: {_in_words(error)}, not {_shown(value)}")
            continue
        if key == "addresses":
            problems.extend(
                f"{place}: {_shown(address)} is not host or host:port"
                for address in cast("list[str]", values[key])
                if not is_address(address)
            )
    if problems:
        raise BadConfig(problems)
    return msgspec.convert(values, type=Config)


def is_address(text: str) -> bool:
    """Return whether `text` is `host`, `host:port`, an IPv6 address or `[IPv6]:port`."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        return bool(bracket) and bool(_IPV6.fullmatch(host)) and (not rest or _is_port(rest))
    if text.count(":") > 1:
        return bool(_IPV6.fullmatch(text))
    host, colon, port = text.partition(":")
    return bool(_HOST.fullmatch(host)) and (not colon or _is_port(":" + port))


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r":[0-9]{1,5}", text)) and 0 < int(text[1:]) < 65536


def _from_file(file: Path, problems: list[str]) -> Iterator[tuple[str, str, object, bool]]:
    """Yield (place, key, value, whether types must match exactly) for each setting of the file."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            problems.append(f"{file} is larger than {MAX_FILE_BYTES >> 20} MiB")
            return
        table = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return
    except OSError as error:
        problems.append(f"{file} cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError as error:
        problems.append(f"{file} is not UTF-8 text (byte {error.start})")
        return
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{file} is not TOML: {error}")
        return
    for key, value in table.items():
        yield f"{key} ({file})", key, value, True


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> Iterator[tuple[str, str, object, bool]]:
    """Yield (place, key, value, whether types must match exactly) for each `MESHD_*` variable.

    A variable of an unknown name is somebody else's, unless it looks like a mistyped one of ours.
    """
    keys = Config.__struct_fields__
    for variable, text in environ.items():
        key = variable.removeprefix(PREFIX).lower()
        if not variable.startswith(PREFIX) or variable == HOME_VARIABLE:
            continue
        if key not in keys:
            if difflib.get_close_matches(key, keys, cutoff=0.8):
                yield variable, key, text, False
            continue
        match key:
            case "addresses":
                yield variable, key, [part.strip() for part in text.split(",") if part.strip()], False
            case "rates":
                pairs = [part.partition("=") for part in text.split(",") if part.strip()]
                if all(equals for _, equals, _ in pairs):
                    yield variable, key, {kind.strip(): rate.strip() for kind, _, rate in pairs}, False
                else:
                    problems.append(f"{variable}: expected kind=rate,kind=rate, not {_shown(text)}")
            case "profiles":
                try:
                    yield variable, key, msgspec.json.decode(text), False
                except msgspec.DecodeError:
                    problems.append(f"{variable}: expected a JSON object, not {_shown(text)}")
            case _:
                yield variable, key, text, False


def _did_you_mean(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def _in_words(error: msgspec.ValidationError) -> str:
    """Return what msgspec expected, for a person."""
    text = str(error)
    if "matching regex" in text:
        return "expected text without control characters or a space at the end"
    text = text.partition(", got")[0].replace("`", "")
    return text[:1].lower() + text[1:]


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
