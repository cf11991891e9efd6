"""A run that never happened: a ledger, a log and a database written by hand, for tests of the check."""

import functools
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from meshd.store.database import connect
from meshd_protocol.localapi import JobRequest
from tests.soak.ledger import NAME as LEDGER
from tests.soak.ledger import (
    Asked,
    Began,
    CannotTalk,
    CanTalk,
    Connected,
    EndSeen,
    Entry,
    Fault,
    Gone,
    Sampled,
    Stage,
    Stopped,
    Taken,
    line,
)

CANARY = "canary-0123456789"
NAME = "laptop"


@dataclass(slots=True)
class MadeUpRun:
    """One device, one kill, and a few jobs that were done as they should be; change what you like, then write it."""

    folder: Path
    entries: list[tuple[float, Entry]] = field(default_factory=list[tuple[float, Entry]])
    statements: list[tuple[str, tuple[object, ...]]] = field(default_factory=list[tuple[str, tuple[object, ...]]])
    log: str = "2026-02-15T19:30:00.000Z info meshd.node: the node is ready\n"

    def __post_init__(self) -> None:
        """Fill in what every run has."""
        began = Began(
            seed=1,
            seconds=60,
            machines=(NAME,),
            network=True,
            canary=CANARY,
            minimum={"kill": 1},
            minimum_jobs=1,
        )
        self.tell(0, began)
        self.tell(0, Sampled(machine=NAME, pid=7, rss_bytes=60 << 20, descriptors=20))
        self.tell(1, Stage(name="warm-up"))
        self.tell(2, Stage(name="chaos"))
        self.tell(3, Fault(kind="kill daemon", machine=NAME))
        self.tell(3, CannotTalk(pair="laptop-pc"))
        self.tell(3.1, Gone(machine=NAME, after_s=0.1, left=()))
        self.tell(5, CanTalk(pair="laptop-pc"))
        self.tell(6, Connected(pair="laptop-pc"))
        self.tell(40, Stage(name="quiet"))
        self.tell(50, Stage(name="settled"))
        self.tell(50, Sampled(machine=NAME, pid=8, rss_bytes=62 << 20, descriptors=21))
        self.tell(50, Stage(name="over"))
        self.tell(51, Stopped(machine=NAME, status=0, after_s=0.3))
        self.job("one")

    def tell(self, at: float, entry: Entry) -> None:
        """Add a line to the ledger."""
        self.entries.append((at, entry))

    def drop(self, kind: type[Entry]) -> None:
        """Take all lines of a kind out of the ledger."""
        self.entries = [each for each in self.entries if not isinstance(each[1], kind)]

    def job(self, job: str, *, stored: bool = True, result: str | None = None) -> None:
        """Add an echo that says its own id, and was done at the first attempt."""
        request = JobRequest(kind="echo", spec={"text": job}, name=job)
        self.tell(10, Asked(key=f"key of {job}", origin=NAME, request=request))
        self.tell(11, Taken(key=f"key of {job}", job=job))
        self.tell(12, EndSeen(origin=NAME, job=job, state="completed"))
        if not stored:
            return
        number = len(self.statements) + 1
        self.do(
            "INSERT INTO job (number, id, kind, name, state, placement, priority, timeout_s, retries,"
            " offload_timeout_s, created_at, ended_at, idempotency_key)"
            " VALUES (?, ?, 'echo', ?, 'completed', 'auto', 0, 0, 0, 30, 1, 2, ?)",
            number, job, job, f"key of {job}",
        )  # fmt: skip
        done = result or msgspec.json.encode({"text": job}).decode()
        self.do(
            "INSERT INTO document (job, spec, resolved, result) VALUES (?, x'7b7d', x'7b7d', ?)", number, done.encode()
        )
        self.attempt(job, 1, "succeeded")
        self.transition(job, "completed")

    def attempt(self, job: str, number: int, state: str) -> None:
        """Add an attempt that has ended."""
        columns = "INSERT INTO attempt (job, number, device, state, offered_at, ended_at) VALUES (?, ?, ?, ?, 1, 2)"
        self.do(columns, job, number, NAME, state)

    def transition(self, job: str, state: str) -> None:
        """Add a line to a job's story."""
        self.do("INSERT INTO transition (job, state, at, cause) VALUES (?, ?, 2, 'so it was')", job, state)

    def do(self, statement: str, *values: object) -> None:
        """Add a statement for the database."""
        self.statements.append((statement, values))

    def write(self) -> Path:
        """Write all of it; return the folder."""
        home = self.folder / NAME
        (home / "blobs").mkdir(parents=True)
        (home / "workers" / "scratch").mkdir(parents=True)
        (home / "mesh.db").write_bytes(_empty_database())
        with closing(sqlite3.connect(home / "mesh.db")) as connection, connection:
            connection.execute("PRAGMA synchronous=OFF")
            for statement, values in self.statements:
                connection.execute(statement, values)
        (self.folder / f"{NAME}.log").write_text(self.log, encoding="utf-8")
        lines = [line(entry, at) for at, entry in sorted(self.entries, key=lambda each: each[0])]
        (self.folder / LEDGER).write_bytes(b"".join(lines))
        return self.folder


@functools.cache
def _empty_database() -> bytes:
    """Return a database as meshd makes it."""
    with TemporaryDirectory() as folder:
        database = Path(folder) / "mesh.db"
        connect(database).close()
        return database.read_bytes()
