"""The commands by which a device's user keeps it for other things."""

import click

from meshd.cli.connect import connect
from meshd.cli.screen import as_json, put, put_json, say


@click.command()
@as_json
def pause(as_json: bool) -> None:
    """Let nothing new start on this device, until `meshd resume`; what runs goes on."""
    status = connect().pause()
    if as_json:
        put_json(status)
        return
    put(f"{status.name} is paused: nothing new starts here, whoever submitted it")
    if status.busy:
        say(f"{status.busy} that run now go on to their end; to end one: meshd cancel")


@click.command()
@as_json
def resume(as_json: bool) -> None:
    """Let this device take jobs again."""
    status = connect().resume()
    if as_json:
        put_json(status)
        return
    put(f"{status.name} takes jobs again")
    if status.reluctance:
        say(f"but none of others yet: {status.reluctance}")
