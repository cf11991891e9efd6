-- Times are epoch seconds (UTC). Ends of jobs and attempts are final: the CHECKs and the triggers hold it.

CREATE TABLE peer (
  device      TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  certificate BLOB NOT NULL,
  pair_key    BLOB NOT NULL,
  permissions TEXT NOT NULL,              -- JSON array of kinds
  addresses   TEXT NOT NULL DEFAULT '[]', -- JSON array of host:port, best first
  paired_at   REAL NOT NULL,
  seen_at     REAL
) STRICT;

-- Devices that were unpaired: they are told so if they can prove who they were.
CREATE TABLE ex_peer (
  device      TEXT PRIMARY KEY,
  certificate BLOB NOT NULL,
  pair_key    BLOB NOT NULL,
  unpaired_at REAL NOT NULL
) STRICT;

-- The durable stream to each peer, and how far its own has been applied here.
CREATE TABLE outbound (
  peer      TEXT PRIMARY KEY REFERENCES peer(device) ON DELETE CASCADE,
  stream    TEXT NOT NULL,
  last_seq  INTEGER NOT NULL,
  acked_seq INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (
  peer       TEXT NOT NULL REFERENCES peer(device) ON DELETE CASCADE,
  seq        INTEGER NOT NULL,
  frame      BLOB NOT NULL,
  created_at REAL NOT NULL,
  PRIMARY KEY (peer, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbound (
  peer     TEXT PRIMARY KEY REFERENCES peer(device) ON DELETE CASCADE,
  stream   TEXT NOT NULL,
  last_seq INTEGER NOT NULL,
  digest   BLOB NOT NULL                  -- of the last applied frame
) STRICT;

-- Jobs submitted here. Their documents are apart: a list reads many jobs, and every change rewrites its row.
CREATE TABLE job (
  number          INTEGER PRIMARY KEY AUTOINCREMENT, -- order of submission; none is ever given twice
  id              TEXT NOT NULL UNIQUE,
  kind            TEXT NOT NULL,
  name            TEXT NOT NULL,
  state           TEXT NOT NULL CHECK (state IN ('queued', 'running', 'retrying', 'completed', 'failed', 'cancelled')),
  placement       TEXT NOT NULL,
  priority        INTEGER NOT NULL,
  timeout_s       REAL NOT NULL,
  retries         INTEGER NOT NULL,
  offload_timeout_s REAL NOT NULL,
  cost            REAL,
  losses          INTEGER NOT NULL DEFAULT 0,
  failures        INTEGER NOT NULL DEFAULT 0,
  device          TEXT,
  reason          TEXT NOT NULL DEFAULT '',
  progress        REAL NOT NULL DEFAULT 0,
  best            TEXT NOT NULL DEFAULT '',
  created_at      REAL NOT NULL,
  started_at      REAL,
  ended_at        REAL,
  error_kind      TEXT,
  error_message   TEXT,
  error_detail    TEXT,
  exit_code       INTEGER,                -- of a command that has ended with another status than 0
  retry_safe      INTEGER NOT NULL DEFAULT 0, -- whether running it twice has no effect outside meshd
  spread          INTEGER NOT NULL DEFAULT 0, -- whether several devices may compute it at once
  profile         TEXT,                   -- the named settings with which it was submitted
  rerun_of        TEXT,                   -- an id; that job may be deleted by now
  idempotency_key TEXT UNIQUE,
  CHECK ((ended_at IS NULL) = (state IN ('queued', 'running', 'retrying'))),
  CHECK ((error_kind IS NULL) = (error_message IS NULL))
) STRICT;
CREATE INDEX job_by_state ON job(state);
CREATE INDEX job_by_device ON job(device);
CREATE INDEX job_by_name ON job(name COLLATE NOCASE);

CREATE TABLE document (
  job      INTEGER PRIMARY KEY REFERENCES job(number) ON DELETE CASCADE,
  spec     BLOB NOT NULL,                 -- JSON, as submitted
  resolved BLOB NOT NULL,                 -- JSON, every default filled in
  result   BLOB,                          -- JSON
  manifest BLOB                           -- JSON: what has computed it, where and when
) STRICT;

CREATE TRIGGER job_end_is_final BEFORE UPDATE OF state ON job
WHEN old.ended_at IS NOT NULL AND new.state <> old.state
BEGIN SELECT RAISE(ABORT, 'the end state of a job never changes'); END;

CREATE TRIGGER job_completes_with_a_result BEFORE UPDATE OF state ON job
WHEN new.state = 'completed' AND NOT EXISTS (SELECT 1 FROM document WHERE job = new.number AND result IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'a job completes with a result'); END;

CREATE TRIGGER job_result_is_final BEFORE UPDATE OF result ON document
WHEN old.result IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'the result of a job never changes'); END;

CREATE TRIGGER job_is_as_submitted BEFORE UPDATE OF number, id, kind, name, created_at, rerun_of ON job
BEGIN SELECT RAISE(ABORT, 'what was submitted never changes'); END;

CREATE TRIGGER document_is_as_submitted BEFORE UPDATE OF job, spec, resolved ON document
BEGIN SELECT RAISE(ABORT, 'what was submitted never changes'); END;

CREATE TRIGGER job_is_deleted_after_its_end BEFORE DELETE ON job
WHEN old.ended_at IS NULL
BEGIN SELECT RAISE(ABORT, 'a job that has not ended is not deleted'); END;

-- The words of ids, names and specs, without the texts themselves. Words and their beginnings, not every three
-- letters: over 100,000 jobs a search takes 0.1 to 14 ms with 24 MiB, against 0.03 to 0.3 ms with 162 MiB for
-- trigrams, whose writing is eight times slower. A prefix index saves the 14 ms of one-letter searches only.
CREATE VIRTUAL TABLE job_text USING fts5(id, name, spec, content='', tokenize='unicode61 remove_diacritics 2');

-- The spec as words: escapes of JSON would stick to them ("Name\nLarson" is not "nLarson").
CREATE VIEW job_words AS
SELECT job.number, job.id, job.name,
       replace(replace(replace(replace(replace(replace(
         CAST(document.spec AS TEXT), '\\', ' '), '\n', ' '), '\r', ' '), '\t', ' '), '\b', ' '), '\f', ' ') AS spec
FROM job JOIN document ON document.job = job.number;

CREATE TRIGGER job_text_enters AFTER INSERT ON document
BEGIN
  INSERT INTO job_text (rowid, id, name, spec) SELECT number, id, name, spec FROM job_words WHERE number = new.job;
END;

CREATE TRIGGER job_text_leaves BEFORE DELETE ON job
BEGIN
  INSERT INTO job_text (job_text, rowid, id, name, spec)
  SELECT 'delete', number, id, name, spec FROM job_words WHERE number = old.number;
END;

CREATE TABLE attempt (
  job        TEXT NOT NULL REFERENCES job(id) ON DELETE CASCADE,
  number     INTEGER NOT NULL,
  device     TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('offered', 'accepted', 'running', 'succeeded', 'failed', 'cancelled',
                                            'declined', 'lost', 'superseded')),
  reason     TEXT NOT NULL DEFAULT '',
  boot       TEXT NOT NULL DEFAULT '',    -- the executor daemon's run that was seen to hold it
  offered_at REAL NOT NULL,
  started_at REAL,
  ended_at   REAL,
  progress   REAL NOT NULL DEFAULT 0,
  checkpoint_units INTEGER NOT NULL DEFAULT 0,
  part_phase INTEGER,                     -- of an attempt that computes these units only
  part_start INTEGER,
  part_stop  INTEGER,
  PRIMARY KEY (job, number),
  CHECK ((ended_at IS NULL) = (state IN ('offered', 'accepted', 'running'))),
  CHECK ((part_phase IS NULL) = (part_start IS NULL) AND (part_phase IS NULL) = (part_stop IS NULL))
) STRICT, WITHOUT ROWID;
-- One device computes a job to its end; others may compute parts of it meanwhile.
CREATE UNIQUE INDEX attempt_whole ON attempt(job) WHERE ended_at IS NULL AND part_phase IS NULL;
CREATE INDEX attempt_open ON attempt(device) WHERE ended_at IS NULL;

-- The checkpoints of jobs that have not ended: disjoint spans of units of a phase, each in a blob.
CREATE TABLE partial (
  job     TEXT NOT NULL REFERENCES job(id) ON DELETE CASCADE,
  phase   INTEGER NOT NULL,
  units   INTEGER NOT NULL,
  start   INTEGER NOT NULL,
  stop    INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  digest  TEXT NOT NULL,
  size    INTEGER NOT NULL,
  PRIMARY KEY (job, phase, start),
  CHECK (0 <= start AND start < stop AND stop <= units)
) STRICT, WITHOUT ROWID;

-- Files of own jobs, each in a blob: what they need (attempt 0), what their attempts have made, what those printed.
CREATE TABLE file (
  job     TEXT NOT NULL REFERENCES job(id) ON DELETE CASCADE,
  attempt INTEGER NOT NULL,
  role    TEXT NOT NULL CHECK (role IN ('input', 'artifact', 'log', 'result')),
  name    TEXT NOT NULL,
  digest  TEXT NOT NULL,
  size    INTEGER NOT NULL,
  source  TEXT NOT NULL DEFAULT '',       -- the peer that it comes from; empty: it is here
  PRIMARY KEY (job, attempt, role, name),
  CHECK ((role = 'input') = (attempt = 0))
) STRICT, WITHOUT ROWID;
CREATE INDEX file_to_come ON file(source) WHERE source <> '';

-- Every change of state, with its cause: what "details" shows.
CREATE TABLE transition (
  number  INTEGER PRIMARY KEY,
  job     TEXT NOT NULL REFERENCES job(id) ON DELETE CASCADE,
  attempt INTEGER,
  state   TEXT NOT NULL,
  at      REAL NOT NULL,
  cause   TEXT NOT NULL
) STRICT;
CREATE INDEX transition_by_job ON transition(job, number);

-- Attempts that this device holds for its peers.
CREATE TABLE held (
  origin    TEXT NOT NULL REFERENCES peer(device) ON DELETE CASCADE,
  job       TEXT NOT NULL,
  attempt   INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  name      TEXT NOT NULL,
  resolved  BLOB NOT NULL,
  priority  INTEGER NOT NULL,
  timeout_s REAL NOT NULL,
  state     TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'finished')),
  finished_seq INTEGER,                   -- of the message that tells the end; the row goes when it is acknowledged
  boot      TEXT NOT NULL,                -- the run of this daemon that took it
  at        REAL NOT NULL,
  PRIMARY KEY (origin, job, attempt),
  CHECK ((finished_seq IS NOT NULL) = (state = 'finished'))
) STRICT;

-- What the attempts of peers' jobs have left here, until the peers have it.
CREATE TABLE delivery (
  origin  TEXT NOT NULL REFERENCES peer(device) ON DELETE CASCADE,
  job     TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  role    TEXT NOT NULL CHECK (role IN ('artifact', 'log', 'result')),
  name    TEXT NOT NULL,
  digest  TEXT NOT NULL,
  size    INTEGER NOT NULL,
  at      REAL NOT NULL,
  PRIMARY KEY (origin, job, attempt, role, name)
) STRICT, WITHOUT ROWID;

-- How fast devices are, by kind and accelerator, on mains and on battery. The device '' is this one; peers are as fast
-- as the attempts of own jobs there were seen to be.
CREATE TABLE rate (
  device      TEXT NOT NULL DEFAULT '',
  kind        TEXT NOT NULL,
  accelerator TEXT NOT NULL DEFAULT '',
  on_battery  INTEGER NOT NULL DEFAULT 0 CHECK (on_battery IN (0, 1)),
  source      TEXT NOT NULL,
  rate        REAL NOT NULL,
  samples     INTEGER NOT NULL,
  at          REAL NOT NULL,
  PRIMARY KEY (device, kind, accelerator, on_battery)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER rate_of_no_peer AFTER DELETE ON peer
BEGIN
  DELETE FROM rate WHERE device = old.device;
END;

-- One row while this device's user lets nothing new start.
CREATE TABLE pause (
  only  INTEGER PRIMARY KEY CHECK (only = 1),
  since REAL NOT NULL
) STRICT;
