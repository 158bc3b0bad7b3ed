-- How often Slack did not take the message of a request, and why the last time: it is owed for as long as its request waits.
ALTER TABLE slack_card ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slack_card ADD COLUMN error TEXT;

-- Whether its person was told that a link is about to end.
ALTER TABLE slack_link ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;

-- Links that a person confirmed after a sign-in, and that wait for the account's own word in Slack. `code` is the SHA-256 of what
-- the button there says. The newest one of an account counts.
CREATE TABLE slack_offer (
    code         BLOB PRIMARY KEY CHECK (length(code) = 32),
    team         TEXT NOT NULL,
    account      TEXT NOT NULL,
    name         TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    groups       TEXT NOT NULL,
    signed_in_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX slack_offer_account ON slack_offer (team, account);
