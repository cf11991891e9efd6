"""`meshd run`: a command, on this device or another one, as if it ran in this terminal."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import click

from meshd.cli.connect import connect
from meshd.cli.files import bring
from meshd.cli.follow import Story, end
from meshd.cli.output import Printer
from meshd.cli.screen import as_json, put, put_json, say
from meshd.client.local import Client
from meshd.errors import BadInput
from meshd_protocol.localapi import END_STATES, JobRequest, JobView

MAX_INPUTS = 1000
"""Files of one command: more are better packed into one."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--on", "where", metavar="WHERE", help="auto, local (the default), or a device's name.")
@click.option(
    "--in",
    "inputs",
    multiple=True,
    metavar="FILE",
    help="A file or a folder that the command finds in its working folder, as FILE or as FILE=NAME; may be repeated.",
)
@click.option(
    "--out",
    "outputs",
    multiple=True,
    metavar="GLOB",
    help="Bring the files home that match: a name, or a pattern with *, ? and **; may be repeated.",
)
@click.option("--env", "variables", multiple=True, metavar="K=V", help="Set a variable; may be repeated.")
@click.option(
    "--timeout", type=click.FloatRange(0, 30 * 86400), metavar="SECONDS", default=0.0, help="Stop it after so long."
)
@click.option("--name", metavar="T", help="What to call the job; the command line without it.")
@click.option("--priority", type=click.IntRange(-100, 100), metavar="N", default=0, help="Higher goes first.")
@click.option("--retry-safe", is_flag=True, help="It may run again when nobody knows what became of it.")
@click.option(
    "--profile", metavar="NAME", help="Settings of this name in the configuration, for what is not given here."
)
@click.option("--no-wait", is_flag=True, help="Return once the job is on disk.")
@as_json
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context,
    *,
    where: str | None,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    variables: tuple[str, ...],
    timeout: float,
    name: str | None,
    priority: int,
    retry_safe: bool,
    profile: str | None,
    no_wait: bool,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Run a command; its output appears here, and its exit code is this command's.

    It runs in an empty folder of its own with the files of --in, without a shell. For example:

        meshd run --on laptop --in clip.mkv --out clip.mp4 -- ffmpeg -i clip.mkv clip.mp4
    """
    if name is not None and not 0 < len(name) <= 64:
        raise BadInput("--name: expected 1 to 64 characters", field="name")
    # A profile may say where.
    where = where or ("auto" if profile else "local")
    client = connect()
    spec: dict[str, object] = {
        "argv": list(command),
        "env": _variables(variables),
        "inputs": _hand_over(client, inputs),
        "outputs": list(outputs),
        "retry_safe": retry_safe,
    }
    request = JobRequest(
        kind="command", spec=spec, name=name, placement=where, priority=priority, timeout_s=timeout, profile=profile
    )
    job = client.submit(request)
    if no_wait:
        if as_json:
            put_json(job)
        else:
            put(job.id)
            say(f"look at it: meshd logs -f {job.id}")
        return
    view = attend(client, job.id, to_stderr=as_json, tells_where=where != "local")
    if outputs and view.state == "completed":
        bring(client, view.id, Path())
    elif outputs and client.artifacts(view.id):
        say(f"it has made files all the same: meshd fetch {view.id}")
    if as_json:
        put_json(view)
    ctx.exit(code_of(view))


def attend(client: Client, job: str, *, to_stderr: bool, tells_where: bool) -> JobView:
    """Show what a job prints until it has ended; Ctrl-C asks whether it is to end, or to go on alone.

    Raises:
        KeyboardInterrupt: it goes on.
    """
    story = Story(say if tells_where else _say_nothing_of_running)
    printer = Printer(client, job, sys.stderr.buffer if to_stderr else sys.stdout.buffer)
    view = client.job(job)
    while True:
        try:
            moved = printer.step(hold_s=1.0)
            if not moved or printer.is_done:
                view = client.look(job)
                story.add(view)
                if view.state in END_STATES and (printer.is_done or view.state == "cancelled"):
                    break
        except KeyboardInterrupt:
            if not _wants_cancel():
                say(f"\nthe job goes on: {job}")
                say(f"look again: meshd logs -f {job}    end it: meshd cancel {job}")
                raise
            say("\ncancelling")
            view = client.cancel(job)
            break
    return view


def _say_nothing_of_running(text: str) -> None:
    """Tell why a job waits or moves; that it runs here is no news."""
    if not text.startswith("running on "):
        say(text)


def code_of(view: JobView) -> int:
    """Return the command's own exit code, or say what came between, and return that of meshd."""
    if view.error is not None and view.error.exit_code is not None:
        return view.error.exit_code
    return end(view)


def _wants_cancel() -> bool:
    """Ask what Ctrl-C is to do; without a terminal there is nobody to ask, and the job goes on."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        say("")
        answer = click.prompt(
            "Ctrl-C: [c]ancel the job, or [d]etach and let it go on",
            type=click.Choice(["c", "d"]),
            default="d",
            show_choices=False,
            err=True,
        )
    finally:
        signal.signal(signal.SIGINT, handler)
    return answer == "c"


def _variables(given: Sequence[str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f"--env {text!r}: expected NAME=VALUE", field="env")
        variables[name] = value
    return variables


def _hand_over(client: Client, given: Sequence[str]) -> list[dict[str, object]]:
    """Give the daemon the input files; return them as the spec names them."""
    found: dict[str, Path] = {}
    for text in given:
        path, name = _split(text)
        if path.is_dir():
            for each in sorted(path.rglob("*")):
                if each.is_file():
                    found[f"{name}/{each.relative_to(path).as_posix()}"] = each
        elif path.is_file():
            found[name] = path
        else:
            raise BadInput(f"--in {text}: there is no such file", field="inputs")
    if len(found) > MAX_INPUTS:
        raise BadInput(f"--in: {len(found):,} files are more than {MAX_INPUTS:,}", hint="pack them into one")
    inputs: list[dict[str, object]] = []
    for name, path in found.items():
        try:
            blob = client.hand_over(path)
            executable = bool(path.stat().st_mode & 0o111)
        except OSError as error:
            raise BadInput(f"--in {path}: it cannot be read: {error.strerror}", field="inputs") from None
        inputs.append({"name": name, "digest": blob.digest, "size": blob.size, "executable": executable})
    return inputs


def _split(text: str) -> tuple[Path, str]:
    """Return a file, and how the command finds it: where it lies from here, or by its name alone."""
    if Path(text).exists() or "=" not in text:
        path = Path(text)
        relative = PurePosixPath(path.as_posix())
        is_below = not relative.is_absolute() and ".." not in relative.parts and relative.parts
        return path, str(relative) if is_below else path.resolve().name
    before, _, name = text.rpartition("=")
    return Path(before), name
