"""The commands about jobs of any kind."""

from typing import cast, get_args

import click
import msgspec

from meshd.cli.connect import connect
from meshd.cli.follow import end, follow
from meshd.cli.lineups import put_lineups
from meshd.cli.screen import ago, as_json, put, put_json, put_table, say
from meshd.cli.status import duration
from meshd.errors import BadInput
from meshd.logs import escape
from meshd_protocol.localapi import END_STATES, JobState, JobView


@click.command()
@click.option(
    "--state", "states", multiple=True, type=click.Choice(get_args(JobState)), help="Only these; may be repeated."
)
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--search", "-q", "query", help="Only jobs whose name or spec holds this text.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--cursor", help="Go on after an earlier list.")
@as_json
def jobs(
    states: tuple[str, ...], kind: str | None, query: str | None, limit: int, cursor: str | None, as_json: bool
) -> None:
    """List jobs, the newest first."""
    page = connect().jobs(states=states, kind=kind, query=query, limit=limit, cursor=cursor)
    if as_json:
        put_json(page)
        return
    if not page.jobs:
        put(
            "no jobs"
            + (" that match" if states or kind or query or cursor else "; the first one: meshd optimize SLATE.csv")
        )
        return
    put_table(
        ("ID", "NAME", "KIND", "STATE", "DONE", "ON", "CREATED"), [_row(job) for job in page.jobs], right=("DONE",)
    )
    if page.cursor:
        say(f"more: meshd jobs --limit {limit} --cursor {page.cursor}")


def _row(job: JobView) -> tuple[str, ...]:
    took = "" if job.duration_s is None else duration(job.duration_s)
    done = took if job.state in END_STATES else f"{job.progress:.0%}"
    return job.id, job.name, job.kind, job.state, done, job.device or "", ago(job.created_at)


@click.command()
@click.argument("job", metavar="ID")
@as_json
def show(job: str, as_json: bool) -> None:
    """Show all about a job; the beginning of its id is enough."""
    view = connect().job(job)
    if as_json:
        put_json(view)
        return
    _describe(view)
    if view.kind == "lineups" and view.result is not None:
        put("")
        put_lineups(view)
    elif view.result is not None:
        put("\nresult")
        _put_document(view.result)


def _describe(view: JobView) -> None:
    took = "" if view.duration_s is None else f" after {duration(view.duration_s)}"
    put(f"{escape(view.name)}  ({view.kind}, {view.id})")
    put(f"state      {view.state}{took if view.state in END_STATES else f', {view.progress:.0%}'}")
    if view.reason:
        put(f"reason     {escape(view.reason)}")
    put(f"placement  {escape(view.placement)}, priority {view.priority}")
    put(f"created    {view.created_at}  ({ago(view.created_at)})")
    if view.error is not None:
        put(f"error      {escape(view.error.message)}  ({escape(view.error.kind)})")
        for line in view.error.detail.splitlines():
            put("           " + escape(line))
    if view.attempts:
        put("")
        rows = [
            (str(each.number), each.device, each.state, f"{each.progress:.0%}", each.reason) for each in view.attempts
        ]
        put_table(("ATTEMPT", "ON", "STATE", "DONE", "REASON"), rows, right=("ATTEMPT", "DONE"))
    if view.story:
        put("")
        put_table(("AT", "STATE", "CAUSE"), [(step.at, step.state, step.cause) for step in view.story])
    if view.resolved is not None:
        put("\nspec")
        _put_document(view.resolved)


def _put_document(document: msgspec.Raw) -> None:
    """Print what a person can take in at a glance; `--json` has all of it."""
    fields = msgspec.json.decode(document)
    if not isinstance(fields, dict):
        put("  " + escape(bytes(document).decode()))
        return
    for name, value in cast("dict[str, object]", fields).items():
        match value:
            case list() | dict():
                shown = f"({len(cast('list[object]', value))} entries)"
            case None:
                shown = "none"
            case _:
                shown = str(value)
        put(f"  {escape(name)}: {escape(shown)}")


@click.command()
@click.argument("job", metavar="ID")
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up waiting then, with exit code 6.")
@as_json
@click.pass_context
def wait(ctx: click.Context, job: str, timeout: float | None, as_json: bool) -> None:
    """Show a job's progress until it has ended; the exit code tells how."""
    view = follow(connect(), job, timeout_s=timeout)
    code = end(view)
    if as_json:
        put_json(view)
    elif code == 0 and view.kind == "lineups":
        put_lineups(view)
    elif code == 0:
        put(f"{escape(view.name)} completed; its result: meshd show {view.id}")
    ctx.exit(code)


@click.command()
@click.argument("job", metavar="ID")
@as_json
def cancel(job: str, as_json: bool) -> None:
    """End a job that is queued or running."""
    view = connect().cancel(job)
    if view.state != "cancelled":
        raise BadInput(f"job {view.id} had ended before: it is {view.state}", field="job")
    if as_json:
        put_json(view)
    else:
        put(f"{escape(view.name)} ({view.id}) is cancelled")
