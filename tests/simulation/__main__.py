"""`python -m tests.simulation --level A --histories 20000`, or `--level B --seed 17` to live through one again."""

import argparse
import json
import sys

from tests.simulation.bugs import BUGS
from tests.simulation.runner import run_many, run_one


def main() -> int:
    """Run what the command line asks for; return 0 when all held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--level", choices=("A", "B"), required=True, help="A: the pure core; B: whole job sides")
    parser.add_argument("--seed", type=int, help="live through this one, and tell its story")
    parser.add_argument("--histories", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first (default: 0)")
    parser.add_argument("--bug", choices=sorted(BUGS), metavar="BUG", help="plant this bug: see `bugs`")
    parser.add_argument("--stop", action="store_true", help="stop soon after the first that fails")
    parser.add_argument("--processes", type=int, help="how many at once (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
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
    )
    if arguments.json:
        document = {
            "level": summary.level,
            "histories": summary.histories,
            "seconds": round(summary.seconds, 2),
            "failed": summary.failed,
            "failures": summary.failures,
            "rare": summary.rare(),
            "sometimes": dict(summary.sometimes),
            "digest": summary.digest(),
        }
        print(json.dumps(document))
        return 0 if not summary.failed else 1
    for story in summary.failures:
        print(story, end="\n\n")
    for what, count in summary.sometimes.most_common():
        print(f"{count / summary.histories:7.1%}  {what}")
    for what in summary.rare():
        print(f"too seldom: {what}")
    rate = summary.histories / summary.seconds
    print(
        f"level {summary.level}: {summary.histories} histories in {summary.seconds:.1f} s ({rate:.0f}/s),"
        f" {summary.failed} failed ({summary.digest()})"
    )
    return 0 if not summary.failed and not summary.rare() else 1


if __name__ == "__main__":
    sys.exit(main())
