"""What a daemon's log may say: an error line has to belong to a fault that was injected."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info|warning|error|critical) (\S+): (.*)")
BEHIND = "  | "

FULL_DISK = re.compile(
    r"database or disk is full|disk I/O error|No space left on device|File too large|the message before this one"
)


@dataclass(frozen=True, slots=True)
class Excuse:
    """Error lines that a fault explains."""

    fault: str
    logger: str
    message: re.Pattern[str]
    """What the line, or the traceback behind it, must say."""


EXCUSES = (
    Excuse("fill disk", "meshd", FULL_DISK),
    # A daemon that has no room to start, with what it tells its user before it ends.
    Excuse("fill disk", "", re.compile(rf"^error: .*({FULL_DISK.pattern})|^hint: ")),
    # A job that misbehaves as it was asked to.
    Excuse("", "meshd.execution.attendance", re.compile(r"a worker wrote garbage")),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a log, or one line that is none."""

    level: str
    logger: str
    text: str
    """The message, and what is behind it."""


def records(log: Path) -> Iterator[Record]:
    """Yield what a log holds; a line that is no record comes at the level `error`."""
    current: Record | None = None
    for line in log.read_text("utf-8", errors="replace").splitlines():
        if line.startswith(BEHIND) and current is not None:
            current = Record(current.level, current.logger, f"{current.text}\n{line}")
            continue
        if current is not None:
            yield current
        match = RECORD.fullmatch(line)
        current = Record(match[1], match[2], match[3]) if match else Record("error", "", line)
    if current is not None:
        yield current


def unexplained(log: Path, faults: Collection[str]) -> list[str]:
    """Return the error records that none of the faults on this machine explains."""
    return [
        f"{record.logger or '(no record)'}: {record.text}"
        for record in records(log)
        if record.level in {"error", "critical"} and not any(_is_excuse(each, record, faults) for each in EXCUSES)
    ]


def _is_excuse(excuse: Excuse, record: Record, faults: Collection[str]) -> bool:
    return (
        (not excuse.fault or excuse.fault in faults)
        and (record.logger.startswith(excuse.logger) if excuse.logger else not record.logger)
        and excuse.message.search(record.text) is not None
    )
