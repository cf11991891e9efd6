"""The commands about jobs that have ended: repeat them, keep them elsewhere, let them go."""

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import click

from meshd.cli.connect import connect
from meshd.cli.failure import complain, exit_code
from meshd.cli.jobs import finish
from meshd.cli.screen import as_json, put, put_json, say
from meshd.client.local import Client
from meshd.errors import Degraded, MeshdError
from meshd.logs import escape
from meshd_protocol.localapi import EndState, JobsDeleted


@click.command()
@click.argument("job", metavar="ID")
@click.option("--wait", is_flag=True, help="Show its progress until it has ended.")
@as_json
@click.pass_context
def rerun(ctx: click.Context, job: str, wait: bool, as_json: bool) -> None:
    """Submit the same spec once more, as a new job."""
    client = connect()
    ctx.exit(finish(client, client.rerun(job), wait=wait, as_json=as_json))


@click.command()
@click.argument("jobs", metavar="ID...", nargs=-1, required=True)
@as_json
@click.pass_context
def delete(ctx: click.Context, jobs: tuple[str, ...], as_json: bool) -> None:
    """Delete jobs that have ended, with all that is known of them; those that cannot be are named."""
    client = connect()
    deleted, code = 0, 0
    for job in jobs:
        try:
            deleted += client.delete(job).deleted
        except MeshdError as error:
            complain(error)
            code = code or exit_code(error)
    if as_json:
        put_json(JobsDeleted(deleted=deleted))
    elif deleted:
        put(_told(deleted))
    ctx.exit(code)


@click.command()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(get_args(EndState)),
    default=("completed",),
    show_default=True,
    help="Those that ended so; may be repeated.",
)
@as_json
def clear(states: tuple[str, ...], as_json: bool) -> None:
    """Delete all completed jobs, or all that ended otherwise; never one that has not ended."""
    gone = connect().clear(states)
    if as_json:
        put_json(gone)
    else:
        put(_told(gone.deleted))


def _told(deleted: int) -> str:
    return f"{deleted} job{'' if deleted == 1 else 's'} deleted"


@click.command()
@click.argument("job", metavar="ID", required=False)
@click.option("--all", "everything", is_flag=True, help="All jobs, one JSON document a line.")
@click.option("--csv", "as_csv", is_flag=True, help="The lineups of the job, as their site takes them.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write there, whole."
)
@as_json
@click.pass_context
def export(
    ctx: click.Context, *, job: str | None, everything: bool, as_csv: bool, output: Path | None, as_json: bool
) -> None:
    """Print a job with all that is known of it as JSON, or all jobs, or the lineups of one as CSV."""
    if (job is None) == (not everything):
        raise click.UsageError("name a job, or ask for --all of them", ctx)
    if as_csv and (everything or (as_json and output is None)):
        raise click.UsageError("--csv is about one job, and no JSON", ctx)
    client = connect()
    if output is None:
        _export(client, job, sys.stdout.buffer.write, as_csv=as_csv)
        sys.stdout.buffer.flush()
        return
    with whole_file(output) as write:
        _export(client, job, write, as_csv=as_csv)
    if as_json:
        put_json({"file": str(output), "bytes": output.stat().st_size})
    else:
        say(f"wrote {escape(str(output))}")


def _export(client: Client, job: str | None, write: Callable[[bytes], object], *, as_csv: bool) -> None:
    if job is None:
        client.export_all(write)
        return
    data = client.export(job, as_csv=as_csv)
    write(data if data.endswith(b"\n") else data + b"\n")


@contextmanager
def whole_file(file: Path) -> Generator[Callable[[bytes], object]]:
    """Give what writes to `file`, which appears with all of it, or stays as it was.

    Raises:
        Degraded: it cannot be written.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with part.open("xb") as out:
            yield out.write
        part.replace(file)
    except OSError as error:
        raise Degraded(
            f"{escape(str(file))} cannot be written: {error.strerror}", hint="check the folder and the disk"
        ) from None
    finally:
        part.unlink(missing_ok=True)
