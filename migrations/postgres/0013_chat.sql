-- How often Slack did not take the message of a request, and why the last time: it is owed for as long as its request waits.
ALTER TABLE slack_card ADD COLUMN attempts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE slack_card ADD COLUMN error TEXT COLLATE "C";

-- Whether its person was told that a link is about to end.
ALTER TABLE slack_link ADD COLUMN warned BIGINT NOT NULL DEFAULT 0;

-- Links that a person confirmed after a sign-in, and that wait for the account's own word in Slack. `code` is the SHA-256 of what
-- the button there says. The newest one of an account counts.
CREATE TABLE slack_offer (
    code         BYTEA PRIMARY KEY CHECK (length(code) = 32),
    team         TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    issuer       TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    groups       TEXT COLLATE "C" NOT NULL,
    signed_in_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX slack_offer_account ON slack_offer (team, account);
