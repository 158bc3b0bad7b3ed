-- Slack: which message shows which request, which account there is which person, and what came already.
-- Times are milliseconds since 1970 (UTC).

-- One message per request and channel; (channel, ts) is what Slack calls it. Of all processes that share the store, the
-- one that leased the row writes the message.
CREATE TABLE slack_card (
    approval     TEXT COLLATE "C" NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    channel      TEXT COLLATE "C" NOT NULL,
    ts           TEXT COLLATE "C",
    decides      BIGINT NOT NULL DEFAULT 0,   -- whether it has buttons to decide with
    shown        BIGINT NOT NULL DEFAULT 0,   -- the latest transition that it shows
    leased_until BIGINT NOT NULL,
    PRIMARY KEY (approval, channel)
);
CREATE UNIQUE INDEX slack_card_message ON slack_card (channel, ts) WHERE ts IS NOT NULL;

-- Made by a sign-in of the person, never from what Slack says of an account.
CREATE TABLE slack_link (
    team         TEXT COLLATE "C" NOT NULL,
    account      TEXT COLLATE "C" NOT NULL,
    name         TEXT COLLATE "C" NOT NULL,
    issuer       TEXT COLLATE "C" NOT NULL,
    subject      TEXT COLLATE "C" NOT NULL,
    groups       TEXT COLLATE "C" NOT NULL,                -- of that sign-in, as JSON
    signed_in_at BIGINT NOT NULL,
    linked_at    BIGINT NOT NULL,
    PRIMARY KEY (team, account)
);
CREATE INDEX slack_link_person ON slack_link (issuer, subject);

-- Codes that an account was shown and nobody has used: SHA-256. The newest one of an account counts.
CREATE TABLE slack_code (
    code       BYTEA PRIMARY KEY CHECK (length(code) = 32),
    team       TEXT COLLATE "C" NOT NULL,
    account    TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX slack_code_account ON slack_code (team, account);

-- What was taken once: SHA-256 of an envelope, an action or a signature.
CREATE TABLE slack_seen (
    what BYTEA PRIMARY KEY CHECK (length(what) = 32),
    at   BIGINT NOT NULL
);
CREATE INDEX slack_seen_at ON slack_seen (at);
