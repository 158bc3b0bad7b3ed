-- Approvals for a while, stand-ins, escalations and broken glass. docs/approvals.md explains them. Times are
-- milliseconds since 1970 (UTC).

-- What a reviewer wished beside an approval (JSON), under which class of sign-in, and for whom they stood in.
ALTER TABLE approval_decision ADD COLUMN wish TEXT;
ALTER TABLE approval_decision ADD COLUMN acr TEXT;
ALTER TABLE approval_decision ADD COLUMN standing_for TEXT;

-- When further groups may decide, and when it was told that they may.
ALTER TABLE approval ADD COLUMN escalate_at INTEGER;
CREATE INDEX approval_escalates ON approval (escalate_at) WHERE state = 'pending' AND escalate_at IS NOT NULL;

CREATE TABLE approval_grant (
    id           TEXT PRIMARY KEY,
    -- The request it was given with.
    approval     TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    -- The only session it is for, if it is for one.
    session      TEXT,
    tool         TEXT NOT NULL,
    resource     TEXT,
    -- Everything that a call has to be to fall under it.
    shape_sha256 BLOB NOT NULL CHECK (length(shape_sha256) = 32),
    -- What is asked of whom, what is free, how much one use may change (JSON).
    terms        TEXT NOT NULL,
    -- The call it was given with, for people to look at (JSON). Gone once it is over.
    sealed       TEXT,
    uses         INTEGER NOT NULL CHECK (uses > 0),
    uses_left    INTEGER NOT NULL CHECK (uses_left BETWEEN 0 AND uses),
    created_at   INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL,
    ended_at     INTEGER,
    ended_how    TEXT CHECK (ended_how IN ('revoked','expired','used up','void')),
    ended_by     TEXT,
    CHECK ((ended_at IS NULL) = (ended_how IS NULL)),
    CHECK (sealed IS NULL OR ended_at IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_grant_of ON approval_grant (issuer, subject, client_id, tool) WHERE ended_at IS NULL;
CREATE INDEX approval_grant_ends ON approval_grant (ends_at) WHERE ended_at IS NULL;

-- A grant only shrinks, whoever writes.
CREATE TRIGGER approval_grant_shrinks BEFORE UPDATE ON approval_grant
WHEN OLD.ended_at IS NOT NULL OR NEW.uses_left > OLD.uses_left OR NEW.ends_at <> OLD.ends_at
  OR NEW.uses <> OLD.uses OR NEW.shape_sha256 <> OLD.shape_sha256 OR NEW.terms <> OLD.terms
  OR NEW.issuer <> OLD.issuer OR NEW.subject <> OLD.subject OR NEW.client_id <> OLD.client_id
  OR NEW.tool <> OLD.tool OR NEW.session IS NOT OLD.session OR NEW.resource IS NOT OLD.resource
BEGIN SELECT RAISE(ABORT, 'a grant only shrinks'); END;

-- The people who agreed to it.
CREATE TABLE approval_grant_person (
    grant_id     TEXT NOT NULL REFERENCES approval_grant (id) ON DELETE CASCADE,
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    groups       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    method       TEXT,
    acr          TEXT,
    standing_for TEXT,
    PRIMARY KEY (grant_id, issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER approval_grant_person_kept BEFORE UPDATE ON approval_grant_person
BEGIN SELECT RAISE(ABORT, 'a decision does not change'); END;

-- Who stands in for a reviewer in one of their groups, and when.
CREATE TABLE approval_delegation (
    id         TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    to_issuer  TEXT NOT NULL,
    to_subject TEXT NOT NULL,
    group_name TEXT NOT NULL,
    starts_at  INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER,
    ended_by   TEXT,
    CHECK (starts_at < ends_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_delegation_to ON approval_delegation (to_issuer, to_subject) WHERE ended_at IS NULL;
CREATE TRIGGER approval_delegation_ends BEFORE UPDATE ON approval_delegation
WHEN OLD.ended_at IS NOT NULL OR NEW.issuer <> OLD.issuer OR NEW.subject <> OLD.subject
  OR NEW.to_issuer <> OLD.to_issuer OR NEW.to_subject <> OLD.to_subject OR NEW.group_name <> OLD.group_name
  OR NEW.starts_at <> OLD.starts_at OR NEW.ends_at <> OLD.ends_at
BEGIN SELECT RAISE(ABORT, 'a delegation only ends'); END;

-- Requests that went on without the people who were asked, until somebody else has reviewed them.
CREATE TABLE approval_break_glass (
    approval      TEXT PRIMARY KEY,
    issuer        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    groups        TEXT NOT NULL,
    reason        TEXT NOT NULL,
    at            INTEGER NOT NULL,
    tool          TEXT NOT NULL,
    resource      TEXT,
    action_sha256 BLOB NOT NULL CHECK (length(action_sha256) = 32),
    -- Who was asked (JSON): they review it.
    terms         TEXT NOT NULL,
    reviewed_at   INTEGER,
    reviewed_by   TEXT,
    reviewed_words TEXT,
    CHECK ((reviewed_at IS NULL) = (reviewed_by IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_break_glass_open ON approval_break_glass (at) WHERE reviewed_at IS NULL;
CREATE TRIGGER approval_break_glass_kept BEFORE UPDATE ON approval_break_glass
WHEN OLD.reviewed_at IS NOT NULL OR NEW.issuer <> OLD.issuer OR NEW.subject <> OLD.subject
  OR NEW.reason <> OLD.reason OR NEW.at <> OLD.at OR NEW.terms <> OLD.terms
BEGIN SELECT RAISE(ABORT, 'what was broken stays on record'); END;
