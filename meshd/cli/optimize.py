"""`meshd optimize`: the best lineups of a salary file."""

from pathlib import Path

import click

from meshd.cli.connect import connect
from meshd.cli.follow import end, follow
from meshd.cli.history import whole_file
from meshd.cli.jobs import finish
from meshd.cli.lineup_spec import Value, spec_of
from meshd.cli.lineups import put_lineups
from meshd.cli.screen import as_json, put_json, say
from meshd.errors import BadInput
from meshd.logs import escape
from meshd_protocol.localapi import JobRequest

File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("file", metavar="FILE", type=File)
@click.option("--lineups", type=click.IntRange(1), metavar="N", help="How many lineups.")
@click.option("--objective", metavar="KIND", help="mean, p90, beat:280, beat:1%, cover:1%, cover:320, emax.")
@click.option("--scenarios", type=click.IntRange(1), metavar="S", help="How many races to simulate.")
@click.option("--holdout", type=click.IntRange(1), metavar="S", help="How many fresh races to judge by.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Another number, other races.")
@click.option("--randomness", type=float, metavar="POINTS", help="Move every driver's points by chance.")
@click.option("--site", metavar="SITE", help="draftkings or fanduel, where the file does not tell.")
@click.option("--projections", type=File, metavar="FILE", help="A CSV file with your projections.")
@click.option("--grid", type=File, metavar="FILE", help="The starting grid: a CSV file of driver,position.")
@click.option("--track", metavar="TYPE", help="intermediate, superspeedway, short or road.")
@click.option("--laps", type=click.IntRange(1), metavar="L", help="The length of the race.")
@click.option("--salary-cap", type=click.IntRange(1), metavar="DOLLARS", help="The most that a lineup may cost.")
@click.option("--salary-min", type=click.IntRange(0), metavar="DOLLARS", help="The least that a lineup may cost.")
@click.option("--lock", multiple=True, metavar="NAME", help="In every lineup. May be repeated.")
@click.option("--exclude", multiple=True, metavar="NAME", help="In no lineup. May be repeated.")
@click.option("--withdrawn", multiple=True, metavar="NAME", help="Does not race. May be repeated.")
@click.option("--exposure", multiple=True, metavar="NAME=LEAST-MOST", help="A driver's share of the lineups.")
@click.option("--max-exposure", metavar="SHARE", help="Every driver's share at most.")
@click.option("--min-exposure", metavar="SHARE", help="Every driver's share at least.")
@click.option("--group", multiple=True, metavar="RULE", help='"0-1: A, B", or "1-2 if C: A, B".')
@click.option("--max-from-team", type=click.IntRange(1), metavar="N", help="Drivers of one team at most.")
@click.option("--min-from-team", type=click.IntRange(2), metavar="N", help="A stack: so many of some team.")
@click.option("--stack", multiple=True, metavar="RULE", help='"4 of C,1B,OF", or "with QB: 2 of WR,TE".')
@click.option("--max-overlap", type=click.IntRange(0), metavar="N", help="Drivers that two lineups may share.")
@click.option("--exclude-lineups", type=File, metavar="FILE", help="Lineups that may not come back.")
@click.option("--existing", type=File, metavar="FILE", help="Lineups that are kept: the new ones go with them.")
@click.option("--entries", type=File, metavar="FILE", help="DKEntries.csv or an upload template: fill its entries.")
@click.option("--swap", type=click.Choice(["broken", "all"]), help="Which entries change: those that must, or all.")
@click.option(
    "--started", multiple=True, metavar="NAME", help="A team, game or player that has begun. May be repeated."
)
@click.option("--on", "where", metavar="WHERE", default="auto", help="auto, local, or a device's name.")
@click.option("--name", metavar="T", help="What to call the job.")
@click.option(
    "--spread/--no-spread", default=None, help="Share it among idle devices, or not. With --on auto, it is shared."
)
@click.option(
    "--profile", metavar="NAME", help="Settings of this name in the configuration, for what is not given here."
)
@click.option("--no-wait", is_flag=True, help="Return once the job is on disk.")
@click.option(
    "--upload",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="OUT",
    help="Write the lineups as their site takes them.",
)
@as_json
@click.pass_context
def optimize(
    ctx: click.Context,
    *,
    file: Path,
    where: str,
    name: str | None,
    spread: bool | None,
    profile: str | None,
    no_wait: bool,
    upload: Path | None,
    as_json: bool,
    **options: Value,
) -> None:
    """Find the best lineups of a salary file, on the device that will be done first.

    FILE is what DraftKings or FanDuel let you download, unchanged, or a JSON file with a whole spec. What is not
    given is the daemon's to choose.
    """
    if upload is not None and no_wait:
        raise click.UsageError("--upload needs the result; it cannot be used with --no-wait", ctx)
    if name is not None and not 0 < len(name) <= 64:
        raise BadInput("--name: expected 1 to 64 characters", field="name")
    spec = spec_of(file, options)
    client = connect()
    request = JobRequest(kind="lineups", spec=spec, name=name, placement=where, spread=spread, profile=profile)
    job = client.submit(request)
    if no_wait:
        ctx.exit(finish(client, job, wait=False, as_json=as_json))
    view = follow(client, job.id)
    code = end(view)
    if code == 0 and upload is not None:
        with whole_file(upload) as write:
            write(client.export(view.id, as_csv=True))
        say(f"wrote the lineups to {escape(str(upload))}")
    if as_json:
        put_json(view)
    elif code == 0:
        put_lineups(view)
    ctx.exit(code)
