"""`meshd submit`: a job of any kind."""

import sys
from pathlib import Path

import click
import msgspec

from meshd.cli.connect import connect
from meshd.cli.jobs import finish
from meshd.cli.screen import as_json
from meshd.errors import BadInput
from meshd_protocol.localapi import JobRequest

MAX_SPEC_BYTES = 1 << 20
"""A request to the daemon is no larger."""


@click.command()
@click.argument("kind")
@click.argument(
    "spec", metavar="SPEC.json|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option("--on", "where", metavar="WHERE", default="auto", help="auto, local, or a device's name.")
@click.option("--name", metavar="T", help="What to call the job.")
@click.option("--priority", type=click.IntRange(-100, 100), metavar="N", default=0, help="Higher goes first.")
@click.option(
    "--timeout", type=click.FloatRange(0, 30 * 86400), metavar="SECONDS", default=0.0, help="Stop it after so long."
)
@click.option(
    "--retries", type=click.IntRange(0, 100), metavar="N", default=0, help="Try again when it fails by its own doing."
)
@click.option(
    "--spread/--no-spread", default=None, help="Share it among idle devices, or not. With --on auto, it is shared."
)
@click.option(
    "--profile", metavar="NAME", help="Settings of this name in the configuration, for what is not given here."
)
@click.option("--no-wait", is_flag=True, help="Return once the job is on disk.")
@as_json
@click.pass_context
def submit(
    ctx: click.Context,
    *,
    kind: str,
    spec: Path,
    where: str,
    name: str | None,
    priority: int,
    timeout: float,
    retries: int,
    spread: bool | None,
    profile: str | None,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Submit a job of any kind, with its spec from a JSON file, or from standard input (-)."""
    if name is not None and not 0 < len(name) <= 64:
        raise BadInput("--name: expected 1 to 64 characters", field="name")
    request = JobRequest(
        kind=kind,
        spec=_read(spec),
        name=name,
        placement=where,
        priority=priority,
        timeout_s=timeout,
        retries=retries,
        spread=spread,
        profile=profile,
    )
    client = connect()
    ctx.exit(finish(client, client.submit(request), wait=not no_wait, as_json=as_json))


def _read(file: Path) -> dict[str, object]:
    name = "standard input" if str(file) == "-" else str(file)
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_SPEC_BYTES + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_SPEC_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > MAX_SPEC_BYTES:
        raise BadInput(f"{name} is larger than {MAX_SPEC_BYTES:,} bytes")
    try:
        return msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{name} is not a JSON object: {error}", hint='for example {"text": "hello"}') from None
