"""The entry point `meshd`."""

from __future__ import annotations

import io
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

STATUS = (("status",), ("status", "--json"))


def main() -> int:
    """Run the command line of this process; return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a character gets a question mark, not a traceback.
            stream.reconfigure(errors="replace")
    return run(sys.argv[1:])


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code; errors are printed, none is raised."""
    from meshd.errors import MeshdError

    try:
        if tuple(arguments) in STATUS:
            # Shell prompts and status bars ask this all day. Importing click takes longer than the answer.
            from meshd.cli.status import report

            report(as_json="--json" in arguments)
            return 0
        from meshd.cli.app import invoke

        return invoke(arguments)
    except MeshdError as error:
        from meshd.cli.failure import complain, exit_code

        complain(error)
        return exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has what it wanted (`meshd jobs | head`); nothing more can be written.
        sys.stderr.close()
        return 0
