"""The commands about jobs of any kind."""

import re
import shlex
from datetime import UTC, datetime
from typing import Literal, cast, get_args

import click
import msgspec

from meshd.cli.connect import connect
from meshd.cli.follow import end, follow
from meshd.cli.lineups import put_lineups
from meshd.cli.screen import ago, as_json, put, put_json, put_table, say
from meshd.cli.status import duration
from meshd.client.local import Client
from meshd.clock import SystemClock
from meshd.errors import BadInput
from meshd.logs import escape
from meshd_protocol.localapi import (
    END_STATES,
    NO_DOCUMENT,
    JobAccepted,
    JobPage,
    JobSort,
    JobState,
    JobView,
)

WIDE = 200
"""Characters of a list that is shown whole."""

MOST = 500
"""On one page: what the daemon gives at once."""


@click.command()
@click.option(
    "--state", "states", multiple=True, type=click.Choice(get_args(JobState)), help="Only these; may be repeated."
)
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--device", metavar="NAME", help="Only jobs that ran there last: a device's name or id, or local.")
@click.option("--search", "-q", "query", help="Only jobs with these words, or words that begin so, in name or spec.")
@click.option("--since", metavar="WHEN", help="Only jobs from then on: 2026-02-15, 2026-02-15T19:30, 12h or 7d ago.")
@click.option("--until", metavar="WHEN", help="Only jobs before then; a date includes its day.")
@click.option("--sort", type=click.Choice(get_args(JobSort)), default="date", show_default=True, help="By what.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="Names ascend by themselves, all else descends.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="How many.")
@click.option("--all", "everything", is_flag=True, help="As many as there are.")
@click.option("--cursor", help="Go on after an earlier list.")
@as_json
def jobs(
    *,
    states: tuple[str, ...],
    kind: str | None,
    device: str | None,
    query: str | None,
    since: str | None,
    until: str | None,
    sort: JobSort,
    order: Literal["asc", "desc"] | None,
    limit: int,
    everything: bool,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List jobs, the newest first."""
    client = connect()
    since, until = instant(since), instant(until)
    order = order or ("asc" if sort == "name" else "desc")
    found: list[JobView] = []
    while True:
        page = client.jobs(
            states=states,
            kind=kind,
            device=device,
            query=query,
            since=since,
            until=until,
            sort=sort,
            order=order,
            limit=MOST if everything else limit,
            cursor=cursor,
        )
        found += page.jobs
        cursor = page.cursor
        if cursor is None or not everything:
            break
    if as_json:
        put_json(JobPage(jobs=found, cursor=cursor))
        return
    if not found:
        filters = states or kind or device or query or since or until
        put("no jobs" + (" that match" if filters else "; the first one: meshd optimize SLATE.csv"))
        return
    put_table(("ID", "NAME", "KIND", "STATE", "DONE", "ON", "CREATED"), [_row(job) for job in found], right=("DONE",))
    if cursor is not None:
        given = {"--kind": kind, "--device": device, "--search": query, "--since": since, "--until": until}
        options = [*(("--state", state) for state in states), *given.items(), ("--sort", sort), ("--order", order)]
        words = [word for option, value in options if value for word in (option, value)]
        say(f"more: meshd jobs {shlex.join(words)} --limit {limit} --cursor {cursor}")


def instant(text: str | None) -> str | None:
    """Return an instant as the API takes it: as it was given, or so long ago."""
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text or "")
    if ago is None:
        return text
    seconds = int(ago[1]) * {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}[ago[2]]
    return datetime.fromtimestamp(max(0.0, SystemClock().wall() - seconds), UTC).isoformat()


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
    if view.kind == "lineups" and view.result != NO_DOCUMENT:
        put("")
        put_lineups(view)
    elif view.result != NO_DOCUMENT:
        put("\nresult")
        _put_document(view.result)


def _describe(view: JobView) -> None:
    took = "" if view.duration_s is None else f" after {duration(view.duration_s)}"
    put(f"{escape(view.name)}  ({view.kind}, {view.id})")
    put(f"state      {view.state}{took if view.state in END_STATES else f', {view.progress:.0%}'}")
    if view.reason:
        put(f"reason     {escape(view.reason)}")
    put(f"placement  {escape(view.placement)}, priority {view.priority}")
    if view.profile:
        put(f"profile    {escape(view.profile)}")
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
        story = [
            (step.at, "job" if step.attempt is None else f"attempt {step.attempt}", step.state, step.cause)
            for step in view.story
        ]
        put_table(("AT", "WHAT", "STATE", "CAUSE"), story)
    if view.resolved != NO_DOCUMENT:
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
            case list() if 0 < len(line := shlex.join(map(_named, cast("list[object]", value)))) <= WIDE:
                shown = line
            case list() | dict():
                shown = f"({len(cast('list[object]', value))} entries)"
            case None:
                shown = "none"
            case _:
                shown = str(value)
        put(f"  {escape(name)}: {escape(shown)}")


def _named(entry: object) -> str:
    """Return what a list shows of an entry: of a file, its name."""
    match entry:
        case {"name": str(name)}:
            return name
        case _:
            return str(entry)


@click.command()
@click.argument("job", metavar="ID")
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up waiting then, with exit code 6.")
@as_json
@click.pass_context
def wait(ctx: click.Context, job: str, timeout: float | None, as_json: bool) -> None:
    """Show a job's progress until it has ended; the exit code tells how."""
    ctx.exit(put_end(follow(connect(), job, timeout_s=timeout), as_json=as_json))


def finish(client: Client, job: JobAccepted, *, wait: bool, as_json: bool) -> int:
    """Tell the id of a new job, or show its way to its end; return the exit code."""
    if wait:
        return put_end(follow(client, job.id), as_json=as_json)
    if as_json:
        put_json(job)
    else:
        put(job.id)
        say(f"look at it: meshd wait {job.id}")
    return 0


def put_end(view: JobView, *, as_json: bool) -> int:
    """Print the result of a job that has ended, or how it went wrong; return the exit code."""
    code = end(view)
    if as_json:
        put_json(view)
    elif code == 0 and view.kind == "lineups":
        put_lineups(view)
    elif code == 0:
        put(f"{escape(view.name)} completed on {escape(view.device or '')} after {duration(view.duration_s or 0)}")
        _put_document(view.result)
    return code


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
