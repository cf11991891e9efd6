"""Taking outputs out of a working folder, and nothing that lies outside of it."""

import os
import shutil
import stat
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from meshd.errors import BadInput
from meshd.kinds.workshop import Made, Workshop

MAX_NAME = 1000
"""Characters of an output's path in the working folder."""

MAX_ARTIFACTS = 1000
"""Of one job: more are better packed into one file."""


def collect(folder: Path, patterns: Sequence[str], shop: Workshop) -> int:
    """Move what matches to the outbox; return how many files it were.

    Raises:
        BadInput: something that matches is a link or no file, or there are too many.
    """
    for name in matches(folder, patterns):
        if len(shop.made) >= MAX_ARTIFACTS:
            raise BadInput(
                f"more than {MAX_ARTIFACTS:,} files match the outputs", field="outputs", hint="pack them into one"
            )
        if not name.isprintable() or len(name) > MAX_NAME:
            raise BadInput(f"the name of the output {name[:80]!a} is no text", field="outputs", hint="rename it")
        source = folder / name
        found = os.lstat(source)
        if not stat.S_ISREG(found.st_mode):
            what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no ordinary file"
            raise BadInput(f"the output {name!r} is {what}", field="outputs", hint="let the command write a file there")
        target = shop.outbox / str(len(shop.made))
        # Another name for the same file, where that is possible: outputs may be large.
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            shutil.copyfile(source, target, follow_symlinks=False)
        shop.made.append(Made(name, target.name, found.st_size))
    return len(shop.made)


def matches(folder: Path, patterns: Sequence[str]) -> list[str]:
    """Return what matches any of the patterns, in order; no link is followed, so that nothing leads outside."""
    found: list[str] = []
    for parent, folders, files in os.walk(folder, followlinks=False):
        links = {name for name in folders if os.path.islink(os.path.join(parent, name))}  # noqa: PTH114, PTH118
        for name in (*files, *links):
            path = os.path.relpath(os.path.join(parent, name), folder)  # noqa: PTH118
            # Of a link to a folder it counts, too, that something beyond it would match.
            if any(fits(path, pattern) or (name in links and leads_to(path, pattern)) for pattern in patterns):
                found.append(path)
    return sorted(found)


def fits(path: str, pattern: str) -> bool:
    """Return whether a path matches: `*` and `?` within one folder, `**` across folders, a folder with all in it."""
    return _fits(path.split("/"), [part for part in pattern.split("/") if part not in {"", "."}])


def leads_to(path: str, pattern: str) -> bool:
    """Return whether something below the folder `path` could match."""
    parts, wanted = path.split("/"), pattern.split("/")
    return any(_fits(parts, wanted[:length]) for length in range(1, len(wanted)))


def _fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        # The pattern named a folder on the way: all that lies in it.
        return True
    if not path:
        return False
    if pattern[0] == "**":
        return any(_fits(path[skipped:], pattern[1:]) for skipped in range(len(path)))
    return fnmatchcase(path[0], pattern[0]) and _fits(path[1:], pattern[1:])
