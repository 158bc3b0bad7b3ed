-- People's approvals: one row per request, the decisions about it, and every transition as an event.
-- docs/approvals.md explains the states. Times are milliseconds since 1970 (UTC).

CREATE TABLE approval (
    id            TEXT PRIMARY KEY,
    state         TEXT NOT NULL CHECK (state IN
                  ('pending','granted','refused','expired','cancelled','spent','unknown')),
    request_key   BLOB NOT NULL CHECK (length(request_key) = 32),
    -- The action without its measured effect, and with it: the second is what people sign.
    asked_sha256  BLOB NOT NULL CHECK (length(asked_sha256) = 32),
    action_sha256 BLOB NOT NULL CHECK (length(action_sha256) = 32),
    issuer        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    session       TEXT NOT NULL,
    tool          TEXT NOT NULL,
    resource      TEXT,
    unattended    INTEGER NOT NULL,
    -- What is asked of whom, and what may be told and kept of facts and effect (JSON).
    terms         TEXT NOT NULL,
    -- Arguments, effect with its keys, principal (JSON). Gone once the request is final.
    sealed        TEXT,
    created_at    INTEGER NOT NULL,
    decide_by     INTEGER NOT NULL,
    granted_at    INTEGER,
    execute_by    INTEGER,
    -- When its last waiting caller went away.
    left_at       INTEGER,
    settled_at    INTEGER,
    -- The call that spent it, and whether that was answered with something else than a refusal.
    call_id       TEXT,
    answered      INTEGER,
    CHECK (sealed IS NULL OR state IN ('pending','granted','spent')),
    CHECK ((state IN ('spent','unknown')) = (call_id IS NOT NULL)),
    CHECK ((execute_by IS NULL) = (granted_at IS NULL))
) STRICT;

-- The identical call is the same request: at most one of it is open.
CREATE UNIQUE INDEX approval_open ON approval (request_key) WHERE state IN ('pending','granted');
CREATE INDEX approval_key ON approval (request_key, created_at);
CREATE INDEX approval_owner ON approval (issuer, subject) WHERE state = 'pending';
CREATE INDEX approval_unsettled ON approval (state) WHERE settled_at IS NULL;
CREATE INDEX approval_created ON approval (created_at);

-- Nothing leads back out of a final state, whoever writes.
CREATE TRIGGER approval_forward BEFORE UPDATE OF state ON approval
WHEN NOT (
       OLD.state = NEW.state
    OR (OLD.state = 'pending' AND NEW.state IN ('granted','refused','expired','cancelled'))
    OR (OLD.state = 'granted' AND NEW.state IN ('refused','expired','cancelled','spent'))
    OR (OLD.state = 'spent' AND NEW.state = 'unknown' AND OLD.answered IS NULL))
BEGIN SELECT RAISE(ABORT, 'an approval goes only forward'); END;
CREATE TRIGGER approval_signed BEFORE UPDATE OF action_sha256, request_key, issuer, subject ON approval
BEGIN SELECT RAISE(ABORT, 'what people sign does not change'); END;

-- One decision per person and request.
CREATE TABLE approval_decision (
    approval TEXT NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    groups   TEXT NOT NULL,
    approves INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (approval, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER approval_decision_kept BEFORE UPDATE ON approval_decision
BEGIN SELECT RAISE(ABORT, 'a decision does not change'); END;

-- Written in the transaction of the transition; `recorded` once the journal has it, and before that
-- nobody acts on it.
CREATE TABLE approval_event (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    approval TEXT NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    at       INTEGER NOT NULL,
    word     TEXT NOT NULL,
    by       TEXT,
    words    TEXT,
    call_id  TEXT,
    recorded INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX approval_event_of ON approval_event (approval, seq);
CREATE INDEX approval_event_owed ON approval_event (seq) WHERE recorded = 0;

-- Where notices go: a channel hears of what happens after it was opened.
CREATE TABLE approval_channel (
    name  TEXT PRIMARY KEY,
    after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE approval_delivery (
    channel  TEXT NOT NULL,
    event    INTEGER NOT NULL REFERENCES approval_event (seq) ON DELETE CASCADE,
    state    TEXT NOT NULL CHECK (state IN ('delivered','failed','dead')),
    attempts INTEGER NOT NULL,
    next_at  INTEGER NOT NULL,
    error    TEXT,
    PRIMARY KEY (channel, event)
) STRICT, WITHOUT ROWID;
