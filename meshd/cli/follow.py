"""A job's way, shown while it is gone: a bar in a terminal, lines elsewhere; always on standard error."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from meshd.cli.failure import FAILED, REFUSED, TIMED_OUT
from meshd.cli.screen import say
from meshd.cli.status import duration
from meshd.client.launch import TimedOut
from meshd.client.local import Client
from meshd.logs import escape
from meshd_protocol.localapi import END_STATES, JobView

STEP = 0.1
"""Where nobody watches a bar, a line each tenth tells enough."""

MOVED = frozenset({"lost", "declined", "failed", "superseded"})
"""How an attempt ends when the job goes on elsewhere."""


def follow(client: Client, job: str, *, timeout_s: float | None = None) -> JobView:
    """Show the job's progress until it has ended; return it with its documents.

    Raises:
        TimedOut: it has not ended after `timeout_s`; it goes on.
        KeyboardInterrupt: the user has seen enough; it goes on, which is said.
    """
    view: JobView | None = None
    try:
        with _bar() if sys.stderr.isatty() else _lines() as (show, tell):
            story = Story(tell)
            for view in client.follow(job, timeout_s=timeout_s):
                story.add(view)
                show(view)
    except TimeoutError:
        raise TimedOut(f"the job has not ended after {timeout_s:g} s; it goes on", hint=f"meshd wait {job}") from None
    except KeyboardInterrupt:
        if view is None or view.state not in END_STATES:
            say(f"the job goes on: {job}")
            say(f"look again: meshd wait {job}    end it: meshd cancel {job}")
        raise
    assert view is not None  # noqa: S101 - `follow` yields at least once
    return view


class Story:
    """Tells each thing that moved a job once: where it runs, and why it had to go elsewhere."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[tuple[str, int]] = set()
        self._waits = ""

    def add(self, view: JobView) -> None:
        """Tell what is new in `view`."""
        for attempt in view.attempts:
            if attempt.state in MOVED and view.state not in END_STATES and self._first("moved", attempt.number):
                self._tell(f"retrying: {escape(attempt.reason or view.reason)} (was on {escape(attempt.device)})")
            if attempt.state == "running" and self._first("runs", attempt.number):
                self._tell(f"running on {escape(attempt.device)}")
        if view.state == "queued" and view.reason and view.reason != self._waits:
            self._waits = view.reason
            self._tell(f"queued: {escape(view.reason)}")
        moved = [attempt.number for attempt in view.attempts if attempt.state in MOVED]
        if view.state == "retrying" and self._first("moved", max(moved, default=0)):
            self._tell(f"retrying: {escape(view.reason)}")

    def _first(self, what: str, number: int) -> bool:
        new = (what, number) not in self._told
        self._told.add((what, number))
        return new


def progress(view: JobView) -> str:
    """Return the share done, the best so far and the time left, in one line."""
    left = "" if view.eta_s is None else f"   about {duration(view.eta_s)} left"
    best = f"   best {escape(view.best)}" if view.best else ""
    return f"{view.progress:4.0%}{best}{left}"


Watch = tuple[Callable[[JobView], None], Callable[[str], None]]


class Lines:
    """Tells a job's progress in lines, one a tenth."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._shown = 0.0

    def show(self, view: JobView) -> None:
        """Tell how far the job is, if that is new; an attempt that begins again is behind the one before."""
        if view.state == "running" and not self._shown <= view.progress < self._shown + STEP:
            self._shown = view.progress
            self._tell("  " + progress(view))


@contextmanager
def _lines() -> Generator[Watch]:
    yield Lines(say).show, say


@contextmanager
def _bar() -> Generator[Watch]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[line]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("queued", total=1.0, line="")

        def show(view: JobView) -> None:
            where = f"{view.state} on {escape(view.device)}" if view.device else view.state
            bar.update(task, completed=view.progress, description=where, line=progress(view))

        yield show, lambda text: bar.console.print(Text(text))


def end(view: JobView) -> int:
    """Say how a job that has ended went wrong, if it did; return the exit code."""
    if view.state == "completed":
        return 0
    if view.state == "cancelled" or view.error is None:
        say(f"error: job {view.id} was {view.state}: {escape(view.reason)}")
        return FAILED
    say(f"error: {escape(view.error.message)} ({escape(view.error.kind)})")
    say(f"hint: all about it: meshd show {view.id}")
    return {"timeout": TIMED_OUT, "refused": REFUSED}.get(view.error.kind, FAILED)
