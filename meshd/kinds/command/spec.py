"""The kind `command`: what a spec may say."""

import re
import shlex
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, cast

import msgspec
from msgspec import Meta, Struct

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.workshop import InputFile
from meshd_protocol.messages.blobs import BlobSize, Digest

_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]{0,127}")

MAX_ARGUMENTS = 4096
"""What a command line may have; Linux itself stops at about 2 MB of them."""

MAX_ARGUMENT = 128 << 10
"""Characters of one argument: what Linux takes."""

MAX_VARIABLES = 256
MAX_FILES = 1000
"""Inputs, and patterns of outputs: more are better packed into one file."""

Argument = Annotated[str, Meta(max_length=MAX_ARGUMENT)]
FileName = Annotated[str, Meta(min_length=1, max_length=1024)]


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that lies in the working folder when the command starts."""

    name: FileName
    digest: Digest
    size: BlobSize
    executable: bool = False


class Spec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to run."""

    argv: Annotated[tuple[Argument, ...], Meta(min_length=1, max_length=MAX_ARGUMENTS)]
    """The program and its arguments, handed over as they are: no shell looks at them."""

    env: Annotated[dict[str, Argument], Meta(max_length=MAX_VARIABLES)] = {}
    inputs: Annotated[tuple[Input, ...], Meta(max_length=MAX_FILES)] = ()
    outputs: Annotated[tuple[FileName, ...], Meta(max_length=MAX_FILES)] = ()
    """Which files of the working folder to keep: names, and patterns with `*`, `?` and `**`."""

    retry_safe: bool = False
    """Whether it may run a second time when nobody knows what became of the first."""


class CommandKind:
    """The daemon's side of commands."""

    name = "command"
    deterministic = False
    retry_safe = False
    accelerated = False
    divisible = False
    works_with_files = True
    silent = True
    program = "meshd.kinds.command.program"

    def validate(self, spec: Document) -> dict[str, object]:
        """Return the resolved spec.

        Raises:
            BadInput: the spec is not one of this kind.
        """
        try:
            read = msgspec.convert(dict(spec), Spec)
        except msgspec.ValidationError as error:
            raise BadInput(
                f"this is no command: {error}", hint='argv is a list, for example ["ffmpeg", "-i", "a.mkv", "a.mp4"]'
            ) from error
        if not read.argv[0]:
            raise BadInput("the command has no name", field="argv")
        if any("\0" in text for text in (*read.argv, *read.env.values())):
            raise BadInput("an argument holds a NUL character, which no program can be given", field="argv")
        for name in read.env:
            if not _VARIABLE.fullmatch(name):
                raise BadInput(f"{name[:80]!r} is no name of a variable", field="env", hint="letters, digits and _")
        names = [inside(each.name, "inputs") for each in read.inputs]
        doubled = next((name for name in names if names.count(name) > 1), None)
        if doubled is not None:
            raise BadInput(f"two inputs are called {doubled!r}", field="inputs")
        for pattern in read.outputs:
            inside(pattern, "outputs")
        return cast("dict[str, object]", msgspec.to_builtins(read))

    def cost(self, resolved: Document) -> float | None:
        """Return None: nobody knows how long a command takes."""
        return None

    def default_name(self, resolved: Document) -> str:
        """Return the command line, as one would type it."""
        line = shlex.join(as_spec(resolved).argv)
        return "".join(c if c.isprintable() else " " for c in line)

    def inputs(self, resolved: Document) -> tuple[InputFile, ...]:
        """Return the files that lie in the working folder when it starts."""
        return tuple(InputFile(each.name, each.digest, each.size) for each in as_spec(resolved).inputs)

    def retry_safe_as(self, resolved: Document) -> bool:
        """Return what the user says of it."""
        return as_spec(resolved).retry_safe


def inside(name: str, field: str) -> str:
    """Return a path without detours that stays in the working folder.

    Raises:
        BadInput: it leads elsewhere.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name or not path.parts:
        raise BadInput(
            f"{name!r} does not lie in the job's working folder",
            field=field,
            hint="give a relative path without '..'",
        )
    return str(path)


def as_spec(resolved: Mapping[str, object]) -> Spec:
    """Return a resolved spec, typed."""
    return msgspec.convert(dict(resolved), Spec)


kind = CommandKind()
"""The one instance; it holds no state."""
