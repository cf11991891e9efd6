"""The commands that start, end and describe the daemon."""

import os
import subprocess
import sys

import click

from meshd import __version__
from meshd.cli.screen import as_json, put, put_json, say
from meshd.cli.status import report
from meshd.client.connection import DaemonUnreachable
from meshd.client.launch import COMMAND, ensure, stop
from meshd.paths import find


@click.command()
@click.option("--foreground", is_flag=True, help="Stay in this terminal, with the log on standard error.")
@as_json
def up(foreground: bool, as_json: bool) -> None:
    """Start the daemon and return when it is ready."""
    paths = find(os.environ)
    if foreground:
        if os.name == "posix":
            os.execv(COMMAND[0], COMMAND)  # noqa: S606 - signals and the exit status are then the daemon's own
        sys.exit(subprocess.call(COMMAND))  # noqa: S603 - our own interpreter and module
    status, started = ensure(paths, os.environ)
    if as_json:
        put_json(status)
        return
    put(f"meshd {'is running' if started else 'was running already'}: {status.name} (process {status.pid})")
    put(f"it listens on 127.0.0.1:{status.api_port} for this machine, on port {status.peer_port} for others")
    if status.discovery != "on":
        say(f"other devices cannot find this one by themselves: {status.discovery}")


@click.command()
@as_json
def down(as_json: bool) -> None:
    """End the daemon; its jobs are kept and go on at the next start."""
    paths = find(os.environ)
    try:
        status = stop(paths)
    except DaemonUnreachable:
        if paths.daemon_file.exists():
            raise
        if as_json:
            put_json({"stopped": None})
        else:
            put("meshd was not running")
        return
    if as_json:
        put_json({"stopped": status.pid})
    else:
        put(f"meshd has ended (process {status.pid})")


@click.command()
@as_json
def status(as_json: bool) -> None:
    """Show how this device is doing."""
    report(as_json=as_json)


@click.command()
@as_json
def version(as_json: bool) -> None:
    """Show the version of this meshd."""
    if as_json:
        put_json({"version": __version__})
    else:
        put(f"meshd {__version__}")
