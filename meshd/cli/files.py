"""The commands about what jobs have made and printed."""

import contextlib
import io
import os
import re
import sys
from pathlib import Path, PurePosixPath

import click

from meshd.cli.connect import connect
from meshd.cli.output import Printer, Stream
from meshd.cli.screen import as_json, put, put_json, put_table, say
from meshd.client.local import Client
from meshd.errors import BadInput, NotFound
from meshd.logs import escape
from meshd_protocol.localapi import ArtifactView


@click.command()
@click.argument("job", metavar="ID")
@as_json
def artifacts(job: str, as_json: bool) -> None:
    """List the files that a job has made; `meshd fetch` brings them."""
    found = connect().artifacts(job)
    if as_json:
        put_json(found)
    elif found:
        rows = [(each.name, size(each.size), each.device, "here" if each.here else "there") for each in found]
        put_table(("FILE", "SIZE", "MADE ON", "IS"), rows, right=("SIZE",))
    else:
        put("no files")


@click.command()
@click.argument("job", metavar="ID")
@click.argument("name", required=False)
@click.option("--to", "folder", metavar="DIR", type=click.Path(path_type=Path), default=".", help="Into which folder.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@as_json
def fetch(job: str, name: str | None, folder: Path, *, force: bool, as_json: bool) -> None:
    """Bring the files that a job has made into this folder: all, or the one called NAME."""
    brought = bring(connect(), job, folder, only=name, force=force)
    if as_json:
        put_json(brought)


@click.command()
@click.argument("job", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Of this attempt; the newest without it.")
@click.option("--grep", "pattern", metavar="REGEX", help="Only the lines that match.")
@as_json
def logs(job: str, *, follow: bool, attempt: int | None, pattern: str | None, as_json: bool) -> None:
    """Show what a job has printed."""
    client = connect()
    view = client.job(job)
    kept = io.BytesIO()
    out: Stream = kept if as_json else sys.stdout.buffer
    with contextlib.ExitStack() as stack:
        if as_json:
            stack.callback(lambda: put_json({"id": view.id, "text": kept.getvalue().decode(errors="replace")}))
        if pattern is not None:
            try:
                matcher = re.compile(pattern)
            except re.error as error:
                raise BadInput(f"--grep: {error}", hint="a regular expression, as Python has them") from None
            out = stack.enter_context(contextlib.closing(Lines(matcher, out)))
        newest = max((each.number for each in view.attempts if each.units is None), default=0)
        printer = Printer(client, view.id, out, attempt=attempt or (0 if follow else newest))
        if not follow and not newest:
            say("it has not begun")
            return
        while not printer.is_done and (printer.step(hold_s=1.0 if follow else 0.0) or follow):
            pass


class Lines:
    """Passes on the lines that match."""

    def __init__(self, matcher: re.Pattern[str], stream: Stream) -> None:
        self._matcher = matcher
        self._stream = stream
        self._rest = b""

    def write(self, data: bytes) -> int:
        """Take some bytes; the last line may come in two pieces."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            if self._matcher.search(line.decode(errors="replace")):
                self._stream.write(line + b"\n")
        return len(data)

    def flush(self) -> None:
        """Pass on what is kept back."""
        self._stream.flush()

    def close(self) -> None:
        """Take the last line, though it has no end."""
        if self._rest and self._matcher.search(self._rest.decode(errors="replace")):
            self._stream.write(self._rest + b"\n")
        self.flush()


def bring(client: Client, job: str, folder: Path, *, only: str | None = None, force: bool = True) -> list[ArtifactView]:
    """Bring the files that a job has made into a folder, each under its own name; return them.

    Raises:
        NotFound: it has made no such file.
        BadInput: one of them exists and is not to be replaced, or cannot be written.
    """
    found = [each for each in client.artifacts(job) if only is None or each.name == only]
    if only is not None and not found:
        raise NotFound(f"the job has made no file {only!r}", hint=f"meshd artifacts {job}")
    for each in found:
        _bring_one(client, job, each, folder, force=force)
    return found


def _bring_one(client: Client, job: str, artifact: ArtifactView, folder: Path, *, force: bool) -> None:
    name = PurePosixPath(artifact.name)
    if name.is_absolute() or ".." in name.parts:
        raise BadInput(f"the file {escape(artifact.name)} would leave the folder {folder}")
    target = folder / name
    if target.exists() and not force:
        raise BadInput(f"{target} exists", hint="--force replaces it")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            client.artifact(job, artifact.name, file.write)
            written = file.tell()
        if written != artifact.size:
            raise BadInput(
                f"{escape(artifact.name)} came with {written:,} of {artifact.size:,} bytes", hint="try again"
            )
        part.replace(target)
    except OSError as error:
        raise BadInput(f"{target} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    say(f"{escape(str(target))}  ({size(artifact.size)})")


def size(count: int) -> str:
    """Return a number of bytes for a person."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, "kMGT"
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.1f} {unit}B"
        value /= 1000
    raise AssertionError
