"""`meshd optimize`: the best lineups of a salary file."""

from pathlib import Path

import click

from meshd.cli.connect import connect
from meshd.cli.follow import end, follow
from meshd.cli.history import whole_file
from meshd.cli.jobs import finish
from meshd.cli.lineups import put_lineups
from meshd.cli.screen import as_json, put_json, say
from meshd.errors import BadInput
from meshd.logs import escape
from meshd_protocol.localapi import JobRequest

MAX_FILE_BYTES = 900_000
"""A salary file has 100 KB at most, and a request to the daemon 1 MiB."""

File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("slate", metavar="SLATE.csv", type=File)
@click.option("--lineups", type=click.IntRange(1), metavar="N", help="How many lineups.")
@click.option("--objective", metavar="mean|p90", help="What to maximize.")
@click.option("--scenarios", type=click.IntRange(1), metavar="S", help="How many races to simulate.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Another number, other races.")
@click.option("--laps", type=click.IntRange(1), metavar="L", help="The length of the race.")
@click.option("--grid", type=File, metavar="FILE", help="The starting grid: a CSV file of driver,position.")
@click.option("--salary-cap", type=click.IntRange(1), metavar="DOLLARS", help="The most that a lineup may cost.")
@click.option("--on", "where", metavar="WHERE", default="auto", help="auto, local, or a device's name.")
@click.option("--name", metavar="T", help="What to call the job.")
@click.option(
    "--spread/--no-spread", default=None, help="Share it among idle devices, or not. With --on auto, it is shared."
)
@click.option("--no-wait", is_flag=True, help="Return once the job is on disk.")
@click.option(
    "--csv",
    "csv_out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="OUT",
    help="Write the lineups as DraftKings takes them.",
)
@as_json
@click.pass_context
def optimize(
    ctx: click.Context,
    *,
    slate: Path,
    lineups: int | None,
    objective: str | None,
    scenarios: int | None,
    seed: int | None,
    laps: int | None,
    grid: Path | None,
    salary_cap: int | None,
    where: str,
    name: str | None,
    spread: bool | None,
    no_wait: bool,
    csv_out: Path | None,
    as_json: bool,
) -> None:
    """Find the best lineups of a salary file, on the device that will be done first.

    SLATE.csv is DraftKings' "Export to CSV", unchanged. What is not given is the daemon's to choose.
    """
    if csv_out is not None and no_wait:
        raise click.UsageError("--csv needs the result; it cannot be used with --no-wait", ctx)
    given: dict[str, object] = {
        "slate_csv": read_text(slate),
        "lineup_count": lineups,
        "objective": objective,
        "scenarios": scenarios,
        "seed": seed,
        "laps": laps,
        "grid": None if grid is None else read_text(grid),
        "salary_cap": salary_cap,
    }
    spec = {key: value for key, value in given.items() if value is not None}
    if name is not None and not 0 < len(name) <= 64:
        raise BadInput("--name: expected 1 to 64 characters", field="name")
    client = connect()
    job = client.submit(JobRequest(kind="lineups", spec=spec, name=name, placement=where, spread=spread))
    if no_wait:
        ctx.exit(finish(client, job, wait=False, as_json=as_json))
    view = follow(client, job.id)
    code = end(view)
    if code == 0 and csv_out is not None:
        with whole_file(csv_out) as write:
            write(client.export(view.id, as_csv=True))
        say(f"wrote the lineups to {escape(str(csv_out))}")
    if as_json:
        put_json(view)
    elif code == 0:
        put_lineups(view)
    ctx.exit(code)


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
