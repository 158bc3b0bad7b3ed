-- Slack: which message shows which request, which account there is which person, and what came already.
-- Times are milliseconds since 1970 (UTC).

-- One message per request and channel; (channel, ts) is what Slack calls it. Of all processes that share the store, the
-- one that leased the row writes the message.
CREATE TABLE slack_card (
    approval     TEXT NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    channel      TEXT NOT NULL,
    ts           TEXT,
    decides      INTEGER NOT NULL DEFAULT 0,   -- whether it has buttons to decide with
    shown        INTEGER NOT NULL DEFAULT 0,   -- the latest transition that it shows
    leased_until INTEGER NOT NULL,
    PRIMARY KEY (approval, channel)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX slack_card_message ON slack_card (channel, ts) WHERE ts IS NOT NULL;

-- Made by a sign-in of the person, never from what Slack says of an account.
CREATE TABLE slack_link (
    team         TEXT NOT NULL,
    account      TEXT NOT NULL,
    name         TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    groups       TEXT NOT NULL,                -- of that sign-in, as JSON
    signed_in_at INTEGER NOT NULL,
    linked_at    INTEGER NOT NULL,
    PRIMARY KEY (team, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX slack_link_person ON slack_link (issuer, subject);

-- Codes that an account was shown and nobody has used: SHA-256. The newest one of an account counts.
CREATE TABLE slack_code (
    code       BLOB PRIMARY KEY CHECK (length(code) = 32),
    team       TEXT NOT NULL,
    account    TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX slack_code_account ON slack_code (team, account);

-- What was taken once: SHA-256 of an envelope, an action or a signature.
CREATE TABLE slack_seen (
    what BLOB PRIMARY KEY CHECK (length(what) = 32),
    at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX slack_seen_at ON slack_seen (at);
