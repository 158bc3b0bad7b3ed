-- The journal and what belongs to it. docs/audit.md explains the tables.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Size of the log, hash of its last leaf, and the roots of the complete subtrees, largest first.
-- Read and written inside every appending transaction, so that several processes can share a store.
CREATE TABLE head (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    size      INTEGER NOT NULL,
    last_leaf BLOB,
    frontier  BLOB NOT NULL
) STRICT;
INSERT INTO head (one, size, last_leaf, frontier) VALUES (1, 0, NULL, x'');

-- `record` is the evidence. The columns between are copies out of it, for searching; `verify`
-- compares them with the record.
CREATE TABLE journal (
    seq      INTEGER PRIMARY KEY,
    leaf     BLOB NOT NULL CHECK (length(leaf) = 32),
    at       TEXT NOT NULL,
    phase    TEXT NOT NULL,
    call_id  TEXT,
    user     TEXT,
    session  TEXT,
    tool     TEXT,
    resource TEXT,
    status   TEXT,
    record   BLOB NOT NULL
) STRICT;
CREATE INDEX journal_call ON journal (call_id) WHERE call_id IS NOT NULL;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- Signed tree heads, and the frontier at that size so that a start can check the tail alone.
CREATE TABLE checkpoint (
    size     INTEGER PRIMARY KEY,
    note     TEXT NOT NULL,
    frontier BLOB NOT NULL
) STRICT;
CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;

-- What was offered, under the number of the record that commits to it. A row may be erased with its
-- salt; the record stays, and so does every proof.
CREATE TABLE payload (
    seq  INTEGER PRIMARY KEY,
    blob TEXT NOT NULL,
    salt BLOB NOT NULL CHECK (length(salt) = 32),
    data BLOB NOT NULL
) STRICT;

-- Calls whose intent is recorded and whose outcome is not yet, and the process that runs them.
CREATE TABLE open_call (
    call_id TEXT PRIMARY KEY,
    seq     INTEGER NOT NULL,
    boot    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A write that must succeed before calls are taken again after a failure.
CREATE TABLE probe (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    filler BLOB NOT NULL
) STRICT;
