"""The daemon's log: one line a record, with the ids that the record carries, safe to show in a terminal."""

import logging
import re
import sys
import time
import unicodedata
from typing import TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_SECRET_NAMES = re.compile(r"token|secret|password|authorization|(^|pairing_)code$|(private|pair)_key$")
_SECRET_TEXT = re.compile(r"(?i)\b(bearer\s+|(?:token|authorization)[=:]\s*(?:bearer\s+)?)\S+")
HIDDEN = "(hidden)"

MAX_LINE = 4000
"""Characters of one message: a peer's words must not fill the disk in one record."""


class OneLine(logging.Formatter):
    """`time level logger: message key=value …`; a traceback follows in lines that begin with a bar.

    What the text holds beyond printable characters is escaped: a name with an escape sequence or a line break
    in it cannot forge a record or move the cursor of whoever reads the log.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, plus its traceback if there is one."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        ids = "".join(f" {key}={_value(key, value)}" for key, value in vars(record).items() if key not in _STANDARD)
        line = f"{at} {record.levelname.lower()} {record.name}: {escape(redact(record.getMessage()))}{ids}"
        line = line if len(line) <= MAX_LINE else line[:MAX_LINE] + "…"
        behind = [
            text
            for text in (
                self.formatException(record.exc_info) if record.exc_info else record.exc_text,
                self.formatStack(record.stack_info) if record.stack_info else None,
            )
            if text
        ]
        return "\n".join([line, *(f"  | {escape(redact(row))}" for text in behind for row in text.splitlines())])


def _value(key: str, value: object) -> str:
    if _SECRET_NAMES.search(key):
        return HIDDEN
    text = escape(redact(str(value)))
    return f'"{text}"' if not text or " " in text else text


def redact(text: str) -> str:
    """Return the text with the value of every token in it hidden."""
    return _SECRET_TEXT.sub(lambda match: match.group(1) + HIDDEN, text)


def escape(text: str) -> str:
    """Return the text with control, direction and other invisible characters written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c == " " or unicodedata.category(c)[0] not in "CZ" else c.encode("unicode_escape").decode() for c in text
    )


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every record of this process at `level` or above to `stream` (standard error); replaces what was set."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # One line per request of a screen that polls says nothing; what fails is logged where it fails.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
