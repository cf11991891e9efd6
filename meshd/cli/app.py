"""The commands, loaded one at a time: a command pays for its own imports only."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import cast

import click

COMMANDS = {
    "up": "meshd.cli.daemon:up",
    "down": "meshd.cli.daemon:down",
    "status": "meshd.cli.daemon:status",
    "pause": "meshd.cli.pause:pause",
    "resume": "meshd.cli.pause:resume",
    "version": "meshd.cli.daemon:version",
    "pair": "meshd.cli.pairing:pair",
    "peers": "meshd.cli.devices:peers",
    "unpair": "meshd.cli.devices:unpair",
    "test": "meshd.cli.devices:test",
    "allow": "meshd.cli.devices:allow",
    "deny": "meshd.cli.devices:deny",
    "run": "meshd.cli.run:run",
    "optimize": "meshd.cli.optimize:optimize",
    "submit": "meshd.cli.submit:submit",
    "jobs": "meshd.cli.jobs:jobs",
    "show": "meshd.cli.jobs:show",
    "wait": "meshd.cli.jobs:wait",
    "cancel": "meshd.cli.jobs:cancel",
    "logs": "meshd.cli.files:logs",
    "artifacts": "meshd.cli.files:artifacts",
    "fetch": "meshd.cli.files:fetch",
    "rerun": "meshd.cli.history:rerun",
    "delete": "meshd.cli.history:delete",
    "clear": "meshd.cli.history:clear",
    "export": "meshd.cli.history:export",
    "demo": "meshd.cli.demo:demo",
}
"""Where each command is, in the order in which a newcomer meets them."""


class Commands(click.Group):
    """Finds a command by importing its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or None."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        return cast("click.Command", getattr(import_module(module), name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that `args` name; refuse an unknown one with the closest that there is."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="meshd", message="meshd %(version)s")
def meshd() -> None:
    """Turn the machines that you own into one computer.

    Pair them once (`meshd pair`); from then on a job submitted anywhere runs on the machine that will finish it
    first. Exit codes: 0 ok, 1 failed, 2 usage, 3 no daemon, 4 not found, 5 refused or not paired, 6 timed out,
    130 interrupted.
    """


def invoke(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; errors of meshd pass through, those of usage are printed."""
    try:
        # A command that ends with something other than 0 calls `ctx.exit`, which comes back as a number.
        outcome: object = meshd.main(list(arguments), prog_name="meshd", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"hint: {error.ctx.command_path} --help", err=True)
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return outcome if isinstance(outcome, int) else 0
