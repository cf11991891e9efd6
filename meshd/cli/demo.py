"""`meshd demo`: what meshd is for, in a minute, on one machine."""

from collections.abc import Callable
from pathlib import Path

import click

from meshd.cli.follow import Lines, Story
from meshd.cli.lineup_spec import read_text
from meshd.cli.lineups import put_lineups
from meshd.cli.optimize import File
from meshd.cli.screen import as_json, put, put_json, say
from meshd.clock import SystemClock
from meshd.demo import Audience, run, sample_slate
from meshd_protocol.localapi import JobView

NEXT = """
Where to go next
  meshd up                          start this machine's node
  meshd pair                        show a code here …
  meshd pair CODE                   … and enter it on another machine
  meshd optimize DKSalaries.csv     runs wherever it is done first
  meshd status, peers, jobs         what is going on"""


@click.command()
@click.option("--slate", type=File, metavar="FILE", help="Use this DKSalaries.csv instead of the invented one.")
@click.option("--keep", is_flag=True, help="Keep the two nodes' homes.")
@as_json
def demo(slate: Path | None, keep: bool, as_json: bool) -> None:
    """Pair two nodes on this machine, offload a job, and kill the node that runs the next one.

    Takes less than a minute, and leaves nothing behind.
    """
    tell: Callable[[str], None] = say if as_json else put
    clock = SystemClock()
    began = clock.boot()
    shown: dict[str, Callable[[JobView], None]] = {}

    def watch(view: JobView) -> None:
        if view.id not in shown:
            shown[view.id] = _teller(lambda line: tell("   " + line))
        shown[view.id](view)

    text = sample_slate() if slate is None else read_text(slate)
    jobs = run(text, Audience(say=tell, watch=watch), keep=keep)
    took = clock.boot() - began
    if as_json:
        say(f"done in {took:.0f} s")
        put_json({"jobs": jobs})
        return
    put("\n5. The second job's lineups; no less exact for having moved:\n")
    put_lineups(jobs[-1])
    homes = "their homes are kept" if keep else "and so are their homes"
    put(f"\nDone in {took:.0f} s; the two nodes are gone, {homes}.")
    put(NEXT)


def _teller(tell: Callable[[str], None]) -> Callable[[JobView], None]:
    """Return what tells one job's way in lines."""
    story, lines = Story(tell), Lines(tell)

    def watch(view: JobView) -> None:
        story.add(view)
        lines.show(view)
        if view.state == "completed":
            tell(f"completed on {view.device} after {view.duration_s or 0:.1f} s")

    return watch
