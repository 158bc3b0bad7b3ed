-- The journal and what belongs to it. docs/audit.md explains the tables. The same tables and columns as in
-- the migrations for SQLite; texts compare by their bytes, as there.

CREATE TABLE meta (
    key   TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);

-- Size of the log, hash of its last leaf, and the roots of the complete subtrees, largest first.
-- Read and written inside every appending transaction, so that several processes can share a store.
CREATE TABLE head (
    one       BIGINT PRIMARY KEY CHECK (one = 1),
    size      BIGINT NOT NULL,
    last_leaf BYTEA,
    frontier  BYTEA NOT NULL
);
INSERT INTO head (one, size, last_leaf, frontier) VALUES (1, 0, NULL, '');

-- `record` is the evidence. The columns between are copies out of it, for searching; `verify`
-- compares them with the record.
CREATE TABLE journal (
    seq      BIGINT PRIMARY KEY,
    leaf     BYTEA NOT NULL CHECK (length(leaf) = 32),
    at       TEXT COLLATE "C" NOT NULL,
    phase    TEXT COLLATE "C" NOT NULL,
    call_id  TEXT COLLATE "C",
    "user"   TEXT COLLATE "C",
    session  TEXT COLLATE "C",
    tool     TEXT COLLATE "C",
    resource TEXT COLLATE "C",
    status   TEXT COLLATE "C",
    record   BYTEA NOT NULL
);
CREATE INDEX journal_call ON journal (call_id) WHERE call_id IS NOT NULL;
CREATE FUNCTION journal_no_update() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal FOR EACH ROW EXECUTE FUNCTION journal_no_update();
CREATE FUNCTION journal_no_delete() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal FOR EACH ROW EXECUTE FUNCTION journal_no_delete();
CREATE TRIGGER journal_no_truncate BEFORE TRUNCATE ON journal EXECUTE FUNCTION journal_no_delete();

-- Signed tree heads, and the frontier at that size so that a start can check the tail alone.
CREATE TABLE checkpoint (
    size     BIGINT PRIMARY KEY,
    note     TEXT COLLATE "C" NOT NULL,
    frontier BYTEA NOT NULL
);
CREATE FUNCTION checkpoint_no_update() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'checkpoints are append-only'; END $$;
CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON checkpoint FOR EACH ROW EXECUTE FUNCTION checkpoint_no_update();
CREATE FUNCTION checkpoint_no_delete() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'checkpoints are append-only'; END $$;
CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON checkpoint FOR EACH ROW EXECUTE FUNCTION checkpoint_no_delete();
CREATE TRIGGER checkpoint_no_truncate BEFORE TRUNCATE ON checkpoint EXECUTE FUNCTION checkpoint_no_delete();

-- What was offered, under the number of the record that commits to it. A row may be erased with its
-- salt; the record stays, and so does every proof.
CREATE TABLE payload (
    seq  BIGINT PRIMARY KEY,
    blob TEXT COLLATE "C" NOT NULL,
    salt BYTEA NOT NULL CHECK (length(salt) = 32),
    data BYTEA NOT NULL
);

-- Calls whose intent is recorded and whose outcome is not yet, and the process that runs them.
CREATE TABLE open_call (
    call_id TEXT COLLATE "C" PRIMARY KEY,
    seq     BIGINT NOT NULL,
    boot    TEXT COLLATE "C" NOT NULL
);

-- A write that must succeed before calls are taken again after a failure.
CREATE TABLE probe (
    one    BIGINT PRIMARY KEY CHECK (one = 1),
    filler BYTEA NOT NULL
);
