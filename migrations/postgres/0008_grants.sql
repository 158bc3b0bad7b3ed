-- Approvals for a while, stand-ins, escalations and broken glass. docs/approvals.md explains them. Times are
-- milliseconds since 1970 (UTC).

-- What a reviewer wished beside an approval (JSON), under which class of sign-in, and for whom they stood in.
ALTER TABLE approval_decision ADD COLUMN wish TEXT COLLATE "C";
ALTER TABLE approval_decision ADD COLUMN acr TEXT COLLATE "C";
ALTER TABLE approval_decision ADD COLUMN standing_for TEXT COLLATE "C";

-- When further groups may decide, and when it was told that they may.
ALTER TABLE approval ADD COLUMN escalate_at BIGINT;
CREATE INDEX approval_escalates ON approval (escalate_at) WHERE state = 'pending' AND escalate_at IS NOT NULL;

CREATE TABLE approval_grant (
    id           TEXT COLLATE "C" PRIMARY KEY,
    -- The request it was given with.
    approval     TEXT COLLATE "C" NOT NULL,
    issuer       TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    client_id    TEXT COLLATE "C" NOT NULL,
    -- The only session it is for, if it is for one.
    session      TEXT COLLATE "C",
    tool         TEXT COLLATE "C" NOT NULL,
    resource     TEXT COLLATE "C",
    -- Everything that a call has to be to fall under it.
    shape_sha256 BYTEA NOT NULL CHECK (length(shape_sha256) = 32),
    -- What is asked of whom, what is free, how much one use may change (JSON).
    terms        TEXT COLLATE "C" NOT NULL,
    -- The call it was given with, for people to look at (JSON). Gone once it is over.
    sealed       TEXT COLLATE "C",
    uses         BIGINT NOT NULL CHECK (uses > 0),
    uses_left    BIGINT NOT NULL CHECK (uses_left BETWEEN 0 AND uses),
    created_at   BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    ended_at     BIGINT,
    ended_how    TEXT COLLATE "C" CHECK (ended_how IN ('revoked','expired','used up','void')),
    ended_by     TEXT COLLATE "C",
    CHECK ((ended_at IS NULL) = (ended_how IS NULL)),
    CHECK (sealed IS NULL OR ended_at IS NULL)
);
CREATE INDEX approval_grant_of ON approval_grant (issuer, subject, client_id, tool) WHERE ended_at IS NULL;
CREATE INDEX approval_grant_ends ON approval_grant (ends_at) WHERE ended_at IS NULL;

-- A grant only shrinks, whoever writes.
CREATE FUNCTION approval_grant_shrinks() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a grant only shrinks'; END $$;
CREATE TRIGGER approval_grant_shrinks BEFORE UPDATE ON approval_grant FOR EACH ROW
WHEN (OLD.ended_at IS NOT NULL OR NEW.uses_left > OLD.uses_left OR NEW.ends_at <> OLD.ends_at
  OR NEW.uses <> OLD.uses OR NEW.shape_sha256 <> OLD.shape_sha256 OR NEW.terms <> OLD.terms
  OR NEW.issuer <> OLD.issuer OR NEW.subject <> OLD.subject OR NEW.client_id <> OLD.client_id
  OR NEW.tool <> OLD.tool OR NEW.session IS DISTINCT FROM OLD.session OR NEW.resource IS DISTINCT FROM OLD.resource)
EXECUTE FUNCTION approval_grant_shrinks();

-- The people who agreed to it.
CREATE TABLE approval_grant_person (
    grant_id     TEXT COLLATE "C" NOT NULL REFERENCES approval_grant (id) ON DELETE CASCADE,
    issuer       TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    groups       TEXT COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    method       TEXT COLLATE "C",
    acr          TEXT COLLATE "C",
    standing_for TEXT COLLATE "C",
    PRIMARY KEY (grant_id, issuer, subject)
);
CREATE FUNCTION approval_grant_person_kept() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a decision does not change'; END $$;
CREATE TRIGGER approval_grant_person_kept BEFORE UPDATE ON approval_grant_person FOR EACH ROW
EXECUTE FUNCTION approval_grant_person_kept();

-- Who stands in for a reviewer in one of their groups, and when.
CREATE TABLE approval_delegation (
    id         TEXT COLLATE "C" PRIMARY KEY,
    issuer     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    to_issuer  TEXT COLLATE "C" NOT NULL,
    to_subject TEXT COLLATE "C" NOT NULL,
    group_name TEXT COLLATE "C" NOT NULL,
    starts_at  BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at   BIGINT,
    ended_by   TEXT COLLATE "C",
    CHECK (starts_at < ends_at)
);
CREATE INDEX approval_delegation_to ON approval_delegation (to_issuer, to_subject) WHERE ended_at IS NULL;
CREATE FUNCTION approval_delegation_ends() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a delegation only ends'; END $$;
CREATE TRIGGER approval_delegation_ends BEFORE UPDATE ON approval_delegation FOR EACH ROW
WHEN (OLD.ended_at IS NOT NULL OR NEW.issuer <> OLD.issuer OR NEW.subject <> OLD.subject
  OR NEW.to_issuer <> OLD.to_issuer OR NEW.to_subject <> OLD.to_subject OR NEW.group_name <> OLD.group_name
  OR NEW.starts_at <> OLD.starts_at OR NEW.ends_at <> OLD.ends_at)
EXECUTE FUNCTION approval_delegation_ends();

-- Requests that went on without the people who were asked, until somebody else has reviewed them.
CREATE TABLE approval_break_glass (
    approval      TEXT COLLATE "C" PRIMARY KEY,
    issuer        TEXT COLLATE "C" NOT NULL,
    subject       TEXT COLLATE "C" NOT NULL,
    groups        TEXT COLLATE "C" NOT NULL,
    reason        TEXT COLLATE "C" NOT NULL,
    at            BIGINT NOT NULL,
    tool          TEXT COLLATE "C" NOT NULL,
    resource      TEXT COLLATE "C",
    action_sha256 BYTEA NOT NULL CHECK (length(action_sha256) = 32),
    -- Who was asked (JSON): they review it.
    terms         TEXT COLLATE "C" NOT NULL,
    reviewed_at   BIGINT,
    reviewed_by   TEXT COLLATE "C",
    reviewed_words TEXT COLLATE "C",
    CHECK ((reviewed_at IS NULL) = (reviewed_by IS NULL))
);
CREATE INDEX approval_break_glass_open ON approval_break_glass (at) WHERE reviewed_at IS NULL;
CREATE FUNCTION approval_break_glass_kept() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'what was broken stays on record'; END $$;
CREATE TRIGGER approval_break_glass_kept BEFORE UPDATE ON approval_break_glass FOR EACH ROW
WHEN (OLD.reviewed_at IS NOT NULL OR NEW.issuer <> OLD.issuer OR NEW.subject <> OLD.subject
  OR NEW.reason <> OLD.reason OR NEW.at <> OLD.at OR NEW.terms <> OLD.terms)
EXECUTE FUNCTION approval_break_glass_kept();
