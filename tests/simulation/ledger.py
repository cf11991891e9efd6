"""What has changed on a disk, in order: triggers write it in the transactions that change it, and with them it goes.

The monitor learns from it alone what is true on a device; production code does not know that it is there.
"""

import json
from dataclasses import dataclass, field

from meshd.kinds.base import Document
from meshd.store.database import Connection, Row
from meshd_protocol import codec
from tests.simulation.divisible import undisturbed
from tests.simulation.monitor import Monitor
from tests.simulation.workers import DIVIDED, KINDS, SHARED

LEDGER = """
CREATE TABLE ledger (number INTEGER PRIMARY KEY, what TEXT NOT NULL, who TEXT NOT NULL, a, b, c, d, e, f);

CREATE TRIGGER ledger_transition AFTER INSERT ON transition BEGIN
  INSERT INTO ledger (what, who, a, b, c, d, e, f)
  SELECT 'transition', new.job, new.attempt, new.state, new.cause,
         (SELECT device FROM attempt WHERE job = new.job AND number = new.attempt),
         EXISTS (SELECT 1 FROM attempt JOIN peer USING (device) WHERE job = new.job AND number = new.attempt),
         EXISTS (SELECT 1 FROM attempt
                 WHERE job = new.job AND number = new.attempt AND part_phase IS NOT NULL);
END;

CREATE TRIGGER ledger_covered AFTER INSERT ON partial BEGIN
  INSERT INTO ledger (what, who, a, b, c, d, e, f)
  SELECT 'covered', new.job, new.attempt, new.units, json_array(new.phase, new.start, new.stop), new.digest, new.size,
         EXISTS (SELECT 1 FROM attempt WHERE job = new.job AND number = new.attempt AND ended_at IS NULL);
END;

-- A span that lies inside a new one is not lost.
CREATE TRIGGER ledger_uncovered AFTER DELETE ON partial
WHEN NOT EXISTS (SELECT 1 FROM partial
                 WHERE job = old.job AND phase = old.phase AND start <= old.start AND stop >= old.stop) BEGIN
  INSERT INTO ledger (what, who) VALUES ('uncovered', old.job);
END;

CREATE TRIGGER ledger_paired AFTER INSERT ON peer BEGIN
  INSERT INTO ledger (what, who, a) VALUES ('paired', new.device, new.permissions);
END;

CREATE TRIGGER ledger_permitted AFTER UPDATE ON peer BEGIN
  INSERT INTO ledger (what, who, a) VALUES ('paired', new.device, new.permissions);
END;

CREATE TRIGGER ledger_unpaired AFTER DELETE ON peer BEGIN
  INSERT INTO ledger (what, who) VALUES ('unpaired', old.device);
END;
"""


def note_applied(connection: Connection, sender: str, stream: str, seq: int, what: str, job: str) -> None:
    """Write what a peer's message does, in the transaction in which it does it."""
    connection.execute(
        "INSERT INTO ledger (what, who, a, b, c, d) VALUES ('applied', ?, ?, ?, ?, ?)", (sender, stream, seq, what, job)
    )


@dataclass(slots=True)
class LedgerReader:
    """Tells the monitor what is new on one device's disk."""

    device: str
    monitor: Monitor
    _seen: int = 0
    _changes: int = 0
    _outbound: dict[str, tuple[str, int, int]] = field(default_factory=dict[str, tuple[str, int, int]])

    def begin_anew(self) -> None:
        """Expect an empty disk."""
        self._seen = self._changes = 0
        self._outbound.clear()

    def read(self, connection: Connection) -> None:
        """Read on."""
        if connection.total_changes == self._changes:
            return
        self._changes = connection.total_changes
        for row in connection.execute("SELECT * FROM ledger WHERE number > ?", (self._seen,)).fetchall():
            self._seen = row["number"]
            self._tell(connection, row)
        for peer, stream, last, acked in connection.execute("SELECT * FROM outbound").fetchall():
            known = self._outbound.get(peer)
            if known != (stream, last, acked):
                self._outbound[peer] = (stream, last, acked)
                self.monitor.streams.numbered(self.device, peer, stream, last)
                if known is None or known[0] != stream or known[2] != acked:
                    self.monitor.streams.forgotten(self.device, peer, stream, acked)

    def _tell(self, connection: Connection, row: Row) -> None:
        monitor, who = self.monitor, row["who"]
        match row["what"]:
            case "transition":
                self._transition(connection, row)
            case "covered":
                phase, start, stop = json.loads(row["c"])
                monitor.checkpoints.covered(
                    who, row["a"], row["b"], (phase, start, stop), row["d"], is_open=bool(row["f"])
                )
            case "uncovered":
                monitor.checkpoints.uncovered(who)
            case "paired":
                monitor.paired(self.device, who, json.loads(row["a"]))
            case "unpaired":
                self._outbound.pop(who, None)
                monitor.unpaired(self.device, who)
            case _:
                monitor.streams.applied(self.device, who, row["a"], row["b"], row["c"], row["d"])

    def _transition(self, connection: Connection, row: Row) -> None:
        monitor, job, attempt, state = self.monitor, row["who"], row["a"], row["b"]
        if attempt is not None and state == "offered":
            monitor.offered(job, attempt, row["d"], is_part=bool(row["f"]))
        elif attempt is not None:
            is_paired = bool(row["e"]) or row["d"] == self.device
            monitor.attempt_changed(job, attempt, state, row["c"], is_paired=is_paired)
        elif state == "queued":
            kind, resolved = connection.execute(
                "SELECT kind, resolved FROM job JOIN document ON document.job = job.number WHERE id = ?", (job,)
            ).fetchone()
            traits = KINDS[kind]
            monitor.queued(self.device, job, kind, deterministic=traits.deterministic, retry_safe=traits.retry_safe)
            if kind in {DIVIDED, SHARED}:
                monitor.checkpoints.planned(self.device, job, expected(codec.decode_document(resolved)))
        else:
            monitor.job_changed(job, state)


def expected(resolved: Document) -> str:
    """Return the answer that a divisible job has when nothing disturbs it."""
    seed, units = resolved["seed"], resolved["units"]
    assert isinstance(seed, int)
    assert isinstance(units, int)
    return undisturbed(seed, units)
