"""What the daemon has acknowledged, kept outside of it, and on disk before the next request is made."""

import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from meshd_protocol.localapi import END_STATES

ASKED = "asked to delete"
"""The one line that is no answer: after it, a job may be gone although nobody was told."""


@dataclass(slots=True)
class Promise:
    """What the daemon owes its user about one job."""

    key: str
    end: str = ""
    """The end state that somebody was shown."""

    deletion_asked: bool = False
    deleted: bool = False


@dataclass(slots=True)
class Promises:
    """All of them, as the lines of a ledger add up."""

    jobs: dict[str, Promise] = field(default_factory=dict[str, Promise])
    by_key: dict[str, str] = field(default_factory=dict[str, str])
    """Which job is the answer to which idempotency key."""

    counts: dict[str, int] = field(default_factory=dict[str, int])
    broken: list[str] = field(default_factory=list[str])

    def take(self, what: str, job: str, detail: str) -> None:
        """Add what one line says."""
        self.counts[what] = self.counts.get(what, 0) + 1
        match what:
            case "submitted":
                first = self.jobs.setdefault(job, Promise(detail)).key, self.by_key.setdefault(detail, job)
                if first != (detail, job):
                    self.broken.append(f"{detail} was answered with {first[1]} first, and then with {job}")
            case "cancelled" | "seen":
                self._end(job, detail)
            case _ if what == ASKED:
                self.jobs[job].deletion_asked = True
            case "deleted":
                self.jobs[job].deleted = True
            case _:
                raise ValueError(f"a line of an unknown sort: {what}")

    def _end(self, job: str, state: str) -> None:
        promise = self.jobs[job]
        if state not in END_STATES:
            if promise.end:
                self.broken.append(f"{job} was {promise.end}, and then {state}")
        elif promise.end and promise.end != state:
            self.broken.append(f"{job} has two ends: {promise.end} and {state}")
        else:
            promise.end = state


class Ledger:
    """A file to which each acknowledgement is appended, and on disk before the next one is asked for."""

    def __init__(self, path: Path) -> None:
        self.promises = Promises()
        self.recent: list[str] = []
        """The jobs that were spoken of since somebody looked last."""

        self._lock = threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, job: str, detail: str = "") -> None:
        """Keep one acknowledgement."""
        with self._lock:
            os.write(self._file, json.dumps([what, job, detail]).encode() + b"\n")
            self.promises.take(what, job, detail)
            self.recent.append(job)
        os.fsync(self._file)

    def recent_jobs(self) -> list[str]:
        """Return the jobs of the lines since the last call."""
        with self._lock:
            recent, self.recent = self.recent, []
        return list(dict.fromkeys(recent))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_ledger(path: Path) -> Promises:
    """Return what the lines of a ledger add up to."""
    promises = Promises()
    for line in path.read_text("utf-8").splitlines():
        what, job, detail = json.loads(line)
        promises.take(what, job, detail)
    return promises
