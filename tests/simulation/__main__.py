"""Whole meshes in virtual time, under seeded faults.

`--ci` is what every change must pass; `--bugs` shows that the monitors still find what they are for. By hand:
`--level A --histories 200000`, or `--level B --seed 17` to live through one history again.
"""

import argparse
import json
import math
import sys

from tests.simulation.hunt import MAX_HISTORIES, hunt_all
from tests.simulation.planted import BUGS
from tests.simulation.runner import Summary, run_many, run_one

CI_HISTORIES = {"A": 20_000, "B": 2_000}
"""About a minute and a half on two cores; see `hunt.MAX_HISTORIES` for what it is worth."""


def main() -> int:
    """Run what the command line asks for; return 0 when all held."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--level", choices=("A", "B"), help="A: the pure core; B: whole job sides")
    parser.add_argument("--ci", action="store_true", help="20,000 histories of level A, 2,000 of level B")
    parser.add_argument(
        "--bugs", nargs="*", metavar="BUG", help="plant each of these bugs, or every one, and tell how long it hides"
    )
    parser.add_argument("--seed", type=int, help="live through this one, and tell its story")
    parser.add_argument("--histories", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first (default: 0)")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no more after so long (default: no end)")
    parser.add_argument("--bug", choices=sorted(BUGS), metavar="BUG", help="plant this bug: see `planted`")
    parser.add_argument("--stop", action="store_true", help="stop soon after the first that fails")
    parser.add_argument("--processes", type=int, help="how many at once (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    if arguments.ci:
        return max(
            report(run_many(level, first=0, count=count, processes=arguments.processes))
            for level, count in CI_HISTORIES.items()
        )
    if arguments.bugs is not None:
        return hunt(arguments.bugs or sorted(BUGS), arguments.processes)
    if arguments.level is None:
        parser.error("one of --level, --ci and --bugs is needed")
    if arguments.seed is not None:
        history = run_one(arguments.level, arguments.seed, bug=arguments.bug)
        print(history)
        return 0 if history.violation is None else 1
    summary = run_many(
        arguments.level,
        first=arguments.first,
        count=arguments.histories,
        bug=arguments.bug,
        stop=arguments.stop,
        processes=arguments.processes,
        limit_s=arguments.minutes * 60.0,
    )
    if arguments.json:
        print(json.dumps(summary.document()))
        return 0 if not summary.failed else 1
    return report(summary)


def report(summary: Summary) -> int:
    """Print what histories have shown; return 0 when all held, and nothing came too seldom to be tested."""
    for story in summary.failures:
        print(story, end="\n\n")
    for what, count in summary.sometimes.most_common():
        print(f"{count / summary.histories:7.1%}  {what}")
    for what in summary.rare():
        print(f"too seldom: {what}")
    rate = summary.histories / summary.seconds
    print(
        f"level {summary.level}: {summary.histories} histories in {summary.seconds:.1f} s ({rate:.0f}/s),"
        f" {summary.failed} failed ({summary.digest()})",
        flush=True,
    )
    return 0 if not summary.failed and not summary.rare() else 1


def hunt(bugs: list[str], processes: int | None) -> int:
    """Print how many histories each bug has hidden for; return 0 when all were found."""
    unknown = [bug for bug in bugs if bug not in BUGS]
    if unknown:
        print(f"no bug is called {unknown[0]!r}; there are: {', '.join(sorted(BUGS))}", file=sys.stderr)
        return 2
    hidden = 0
    print(f"{'after':>6}  level  {'took':>6}  broke       bug")
    for found in hunt_all(bugs, processes=processes):
        print(found, flush=True)
        hidden += not found.found
    print(f"{len(bugs) - hidden} of {len(bugs)} found within {MAX_HISTORIES} histories")
    return 0 if not hidden else 1


if __name__ == "__main__":
    sys.exit(main())
