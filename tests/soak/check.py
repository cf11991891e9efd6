"""The check: holds what a run has left, and nothing else, against what must always hold.

It reads one folder, so that it can be repeated when the machines are long gone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.soak import daemon_log, evidence, ledger, outcome
from tests.soak.ledger import AnyEntry
from tests.soak.plan import CLASS_OF
from tests.soak.recovery import LONGEST_S, P95_S, Recovery, quantile, recoveries

E = TypeVar("E", bound=AnyEntry)

ORPHANS_S = 2.0
"""How long anything may outlive its daemon."""

SILENCE_S = 8.0
"""A worker that is stopped for longer may be taken for dead: a heartbeat more than `Patience.silence_s` allows."""

MORE_DESCRIPTORS = 6
"""Than at the start: connections that come and go at the moment of counting."""

MAX_RSS_BYTES = 200 << 20
MORE_RSS_BYTES = 48 << 20
"""Than at the start: caches, and a heap that never gives all of it back. A leak of a minute shows in the hours."""


SURVIVED_S = 0.5
"""Two machines that say sooner that they are connected have never lost their session."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check has found."""

    failures: Sequence[str]
    lines: Sequence[str]
    """The summary, for people."""


class Run:
    """One run, as its folder tells it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries = ledger.read(folder)
        self.began = self.all(ledger.Began)[0]
        self.records = {
            name: evidence.read_records(folder / name / "mesh.db")
            for name in self.began.machines
            if (folder / name / "mesh.db").exists()
        }
        self.faults = Counter(CLASS_OF[fault.kind] for fault in self.all(ledger.Fault))

    def all(self, kind: type[E]) -> list[E]:
        """Return the entries of one kind."""
        return [entry for entry in self.entries if isinstance(entry, kind)]

    def at(self, stage: str) -> float:
        """Return when the run came to a stage; when it ended, if it never did."""
        return next((entry.at for entry in self.all(ledger.Stage) if entry.name == stage), self.entries[-1].at)

    def recoveries(self) -> list[Recovery]:
        """Return how long each return took, from the chaos on."""
        return [each for each in recoveries(self.entries, self.at("over")) if each.at >= self.at("chaos")]


def check(folder: Path) -> Report:
    """Return what does not hold, and the figures of the run."""
    run = Run(folder)
    failures = [
        *enough_was_done(run),
        *jobs_ended_once_and_rightly(run),
        *nothing_is_left(run),
        *daemons_lived(run),
        *nothing_grew(run),
        *machines_came_back(run),
        *logs_say_nothing_unexplained(run),
        *no_secret_got_out(run),
    ]
    return Report(failures, summary(run))


def enough_was_done(run: Run) -> Iterator[str]:
    """Yield what makes this run too easy to prove anything."""
    for kind, least in run.began.minimum.items():
        if run.faults[kind] < least:
            yield f"only {run.faults[kind]} of at least {least} faults of the class {kind!r}"
    taken = len(run.all(ledger.Taken))
    if taken < run.began.minimum_jobs:
        yield f"only {taken} of at least {run.began.minimum_jobs} jobs were taken"
    if run.at("over") == run.entries[-1].at and not any(entry.name == "over" for entry in run.all(ledger.Stage)):
        yield "the run did not come to its end"


def jobs_ended_once_and_rightly(run: Run) -> Iterator[str]:
    """Yield what is wrong with jobs: lost, doubled, changed after their end, or with a wrong result."""
    taken: dict[str, set[str]] = {}
    for entry in run.all(ledger.Taken):
        taken.setdefault(entry.key, set()).add(entry.job)
    refused = {entry.key for entry in run.all(ledger.Refused)}
    cancelled = {entry.job for entry in run.all(ledger.CancelAsked)}
    seen: dict[str, list[str]] = {}
    for entry in run.all(ledger.EndSeen):
        seen.setdefault(entry.job, []).append(entry.state)
    known: dict[str, set[str]] = {name: set() for name in run.began.machines}
    may_be_taken_for_dead = any(
        fault.kind == "stop worker" and fault.lasts_s >= SILENCE_S for fault in run.all(ledger.Fault)
    )
    for asked in run.all(ledger.Asked):
        jobs = taken.get(asked.key, set())
        known[asked.origin] |= jobs
        if len(jobs) + (asked.key in refused) != 1:
            yield f"{asked.key!r} was answered with {sorted(jobs)}, {'and refused' if asked.key in refused else ''}"
        if asked.key in refused and not outcome.is_bad(asked.request):
            yield f"{asked.key!r} was refused, and is a good request"
        for job in jobs:
            row = run.records[asked.origin].jobs.get(job) if asked.origin in run.records else None
            if row is None:
                yield f"job {job} of {asked.origin} ({asked.key!r}) is lost"
                continue
            told = f"job {job} of {asked.origin} ({asked.request.name})"
            if row.key != asked.key:
                yield f"{told} has the key {row.key!r} instead of {asked.key!r}"
            if row.ends != (row.state,):
                yield f"{told} is {row.state}, and its story tells of the ends {list(row.ends)}"
            if any(state != row.state for state in seen.get(job, ())):
                yield f"{told} was seen as {seen[job]}, and is {row.state}"
            successes = sum(state == "succeeded" for state in row.attempts)
            if successes != (row.state == "completed") or (row.result is not None) != (row.state == "completed"):
                yield f"{told} is {row.state} with {successes} successes, {'a' if row.result else 'no'} result"
            wrong = outcome.complaint(
                asked.request, row, was_cancelled=job in cancelled, may_be_taken_for_dead=may_be_taken_for_dead
            )
            if wrong:
                yield f"{told}: {wrong}"
    for name, records in run.records.items():
        for job in records.jobs.keys() - known[name]:
            yield f"job {job} of {name} was never acknowledged to anybody ({records.jobs[job].key!r})"


def nothing_is_left(run: Run) -> Iterator[str]:
    """Yield what had not come to rest: rows, blobs, files, processes."""
    for entry in run.all(ledger.Unsettled):
        yield f"not settled in time: {entry.what}"
    for name in run.began.machines:
        if name not in run.records:
            yield f"{name} has left no database"
            continue
        records = run.records[name]
        if records.integrity != "ok":
            yield f"the database of {name} is damaged: {records.integrity}"
        for what, count in records.left.items():
            if count:
                yield f"{name} still has {count} {what}"
        for trouble in (
            *evidence.blob_troubles(run.folder / name / "blobs"),
            *evidence.leftover_files(run.folder / name),
        ):
            yield f"{name}: {trouble}"
    for gone in run.all(ledger.Gone):
        for process in gone.left:
            yield f"{gone.machine}: a process was left {gone.after_s:g} s after the end of its daemon: {process}"
        if gone.after_s > ORPHANS_S and not gone.left:
            yield f"{gone.machine}: processes outlived their daemon by {gone.after_s:g} s"


def daemons_lived(run: Run) -> Iterator[str]:
    """Yield the daemons that died, or did not end in order."""
    for died in run.all(ledger.Died):
        yield f"{died.machine} ended by itself at {died.at:.1f} s, with status {died.status}"
    stopped = {entry.machine: entry for entry in run.all(ledger.Stopped)}
    for name in run.began.machines:
        if name not in stopped:
            yield f"{name} did not end when it was asked to"
        elif stopped[name].status != 0:
            yield f"{name} ended with {stopped[name].status} when it was asked to"


def nothing_grew(run: Run) -> Iterator[str]:
    """Yield the daemons that hold more at the end than they should."""
    samples = run.all(ledger.Sampled)
    for name in run.began.machines:
        own = [sample for sample in samples if sample.machine == name]
        if not own:
            yield f"{name} was never looked at"
            continue
        first, last = own[0], own[-1]
        if last.descriptors > first.descriptors + MORE_DESCRIPTORS:
            yield f"{name} had {first.descriptors} descriptors at the start, and {last.descriptors} at the end"
        peak = max(sample.rss_bytes for sample in own)
        if peak > MAX_RSS_BYTES or last.rss_bytes > first.rss_bytes + MORE_RSS_BYTES:
            sizes = " / ".join(f"{size >> 20} MiB" for size in (first.rss_bytes, peak, last.rss_bytes))
            yield f"{name} held {sizes} at the start / at most / at the end"


def machines_came_back(run: Run) -> Iterator[str]:
    """Yield the returns that took too long."""
    found = run.recoveries()
    p95 = quantile([each.took_s for each in found], 0.95)
    if p95 > P95_S:
        yield f"it took {p95:.1f} s (p95) until machines that could talk did; {P95_S:g} s are allowed"
    for each in found:
        if each.took_s > LONGEST_S:
            yield f"{each.pair}: no session for {each.took_s:.1f} s from {each.at:.1f} s on"
    if not found:
        yield "no machine ever had to come back"


def logs_say_nothing_unexplained(run: Run) -> Iterator[str]:
    """Yield the error lines that no injected fault explains."""
    for name in run.began.machines:
        faults = {fault.kind for fault in run.all(ledger.Fault) if fault.machine == name}
        for text in daemon_log.unexplained(run.folder / f"{name}.log", faults):
            yield f"the log of {name} says: {text}"
        reaper = run.folder / name / "workers" / "reaper.log"
        if reaper.exists() and reaper.stat().st_size:
            yield f"the reaper of {name} says: {reaper.read_text(errors='replace')[:2000]}"


def no_secret_got_out(run: Run) -> Iterator[str]:
    """Yield where a secret turned up."""
    for leaked in run.all(ledger.Leaked):
        yield f"{leaked.machine}: the canary is in {leaked.where}"
    for name in run.began.machines:
        token_file = run.folder / name / "api-token"
        secrets = {"canary": run.began.canary.encode()}
        if token_file.exists():
            secrets["token of the API"] = token_file.read_bytes().strip()
        for file in evidence.texts(run.folder, name):
            data = b"" if file == token_file else file.read_bytes()
            for what, secret in secrets.items():
                if secret in data:
                    yield f"{name}: the {what} is in {file.relative_to(run.folder)}"


def summary(run: Run) -> list[str]:
    """Return the figures of a run, a line each."""
    faults = Counter(fault.kind for fault in run.all(ledger.Fault))
    rows = [row for records in run.records.values() for row in records.jobs.values()]
    states = Counter(row.state for row in rows)
    errors = Counter(row.error_kind for row in rows if row.state == "failed")
    moved = sum(len(row.attempts) > 1 for row in rows)
    found = run.recoveries()
    took, anew = [each.took_s for each in found], [each.took_s for each in found if each.took_s > SURVIVED_S]
    gone = [entry.after_s for entry in run.all(ledger.Gone)]
    lines = [
        f"seed {run.began.seed}, {run.began.seconds:g} s, {'network' if run.began.network else 'loopback'}",
        "faults      " + ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items())),
        f"jobs        {len(run.all(ledger.Asked))} asked for, {len(run.all(ledger.Taken))} taken,"
        f" {len(run.all(ledger.Refused))} refused,"
        f" {len({entry.job for entry in run.all(ledger.CancelAsked)})} to be cancelled;"
        f" {len(run.all(ledger.Unanswered))} answers were lost",
        "ends        " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())),
        "errors      " + (", ".join(f"{count} {kind}" for kind, count in sorted(errors.items())) or "none"),
        f"attempts    {moved} jobs had more than one, {sum(row.resumed for row in rows)} went on from a checkpoint",
        f"recovery    {len(took)} times: p50 {quantile(took, 0.5):.1f} s, p95 {quantile(took, 0.95):.1f} s,"
        f" max {max(took, default=0.0):.1f} s; {len(anew)} of them with a new session: p50 {quantile(anew, 0.5):.1f} s",
        f"orphans     gone {quantile(gone, 0.5):.2f} s (p50), {max(gone, default=0.0):.2f} s (max) after their daemon",
        f"settled     {run.at('settled') - run.at('quiet'):.1f} s after the last fault"
        if any(entry.name == "settled" for entry in run.all(ledger.Stage))
        else "settled     never",
    ]
    for name in run.began.machines:
        own = [sample for sample in run.all(ledger.Sampled) if sample.machine == name]
        if own:
            peak = max(sample.rss_bytes for sample in own)
            sizes = " / ".join(str(size >> 20) for size in (own[0].rss_bytes, peak, own[-1].rss_bytes))
            descriptors = f"{own[0].descriptors} / {own[-1].descriptors}"
            lines.append(f"{name:<11} {sizes} MiB at the start / at most / at the end, {descriptors} descriptors")
    return lines
