-- Who is signed in. Tokens, codes and keys are here only as SHA-256; what an identity provider gave us
-- for asking again is sealed with a key that is not in this file. Times are Unix milliseconds.

-- A token family of the facade, or an API key at work: the session of the contracts.
CREATE TABLE session (
    id          TEXT PRIMARY KEY,          -- 32 of [a-z0-9]
    issuer      TEXT NOT NULL,             -- configured name
    subject     TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    client_name TEXT NOT NULL,             -- shown to people; claimed unless verified
    verified    INTEGER NOT NULL,          -- somebody other than the client vouches for client_id
    scope       TEXT NOT NULL,             -- granted scopes, space-separated, sorted
    claimed     TEXT NOT NULL,             -- JSON list: groups as the provider writes them
    auth_time   INTEGER,                   -- seconds: when the person last proved themselves, if it is known
    provider_sid TEXT,                     -- the provider's name for its session (back-channel logout)
    sealed      BLOB,                      -- sealed Upstream; NULL when there is none
    created_at  INTEGER NOT NULL,
    used_at     INTEGER NOT NULL,
    checked_at  INTEGER NOT NULL,          -- when the provider last said that the person is still there
    asking_until INTEGER,                  -- a process asks the provider now; until then no other does
    ends_at     INTEGER NOT NULL,
    ended_at    INTEGER,
    ended_why   TEXT
) STRICT;
CREATE INDEX session_person ON session (issuer, subject) WHERE ended_at IS NULL;
CREATE INDEX session_provider ON session (issuer, provider_sid) WHERE ended_at IS NULL;
CREATE INDEX session_ended ON session (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX session_over ON session (ends_at) WHERE ended_at IS NULL;
CREATE TRIGGER session_once BEFORE UPDATE OF ended_at ON session
WHEN OLD.ended_at IS NOT NULL AND NEW.ended_at IS NOT OLD.ended_at
BEGIN SELECT RAISE(ABORT, 'a session ends once'); END;
CREATE TRIGGER session_whose BEFORE UPDATE OF id, issuer, subject, client_id, verified, created_at ON session
BEGIN SELECT RAISE(ABORT, 'a session belongs to whom it was opened for'); END;

-- Ends in the order in which they happened, for the processes that share this file: numbers are never
-- used twice, so whoever has seen one has seen all before it, whatever the clocks say.
CREATE TABLE session_end (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    session     TEXT NOT NULL,
    at          INTEGER NOT NULL
) STRICT;

CREATE TABLE token (
    hash        BLOB PRIMARY KEY,
    session     TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('access','refresh')),
    resource    TEXT NOT NULL,
    scope       TEXT NOT NULL,             -- not wider than the session's
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    generation  INTEGER NOT NULL,          -- of refresh tokens: how many exchanges came before
    replaced_at INTEGER                    -- a refresh token whose generation was exchanged
) STRICT, WITHOUT ROWID;
CREATE INDEX token_session ON token (session, kind, generation);
CREATE INDEX token_expires ON token (expires_at);

-- An authorization request under way (RFC 6749 4.1.1), from the first page to the provider's answer.
CREATE TABLE sign_in (
    hash         BLOB PRIMARY KEY,         -- of the id that pages and the provider's `state` carry
    client_id    TEXT NOT NULL,
    client_name  TEXT NOT NULL,
    verified     INTEGER NOT NULL,
    redirect_uri TEXT,                     -- NULL for a device
    state        TEXT,                     -- the client's own, repeated to it
    challenge    TEXT,                     -- PKCE S256; NULL for a device
    resource     TEXT NOT NULL,
    scope        TEXT NOT NULL,
    device       BLOB,                     -- hash of the device code that waits for this
    issuer       TEXT,                     -- the provider that was chosen on the consent page
    nonce        TEXT,                     -- what the provider's answer must repeat
    sealed       BLOB,                     -- sealed PKCE verifier towards the provider
    bound        BLOB,                     -- hash of the cookie of the browser that approved; NULL before that
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    answered_at  INTEGER                   -- the provider's answer came; once
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_expires ON sign_in (expires_at);

-- A person has signed in for a client: what the client's code is worth.
CREATE TABLE code (
    hash         BLOB PRIMARY KEY,
    client_id    TEXT NOT NULL,
    client_name  TEXT NOT NULL,
    verified     INTEGER NOT NULL,
    redirect_uri TEXT,
    challenge    TEXT,
    resource     TEXT NOT NULL,
    scope        TEXT NOT NULL,
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    claimed      TEXT NOT NULL,
    auth_time    INTEGER,
    provider_sid TEXT,
    sealed       BLOB,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    session      TEXT                      -- the session it was exchanged for; a second exchange ends that
) STRICT, WITHOUT ROWID;
CREATE INDEX code_expires ON code (expires_at);

-- Devices that wait for a person (RFC 8628).
CREATE TABLE device (
    hash        BLOB PRIMARY KEY,          -- of the device code
    user_code   TEXT NOT NULL UNIQUE,
    client_id   TEXT NOT NULL,
    client_name TEXT NOT NULL,
    verified    INTEGER NOT NULL,
    resource    TEXT NOT NULL,
    scope       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    polled_at   INTEGER,
    pause       INTEGER NOT NULL,          -- milliseconds between two questions
    denied      INTEGER NOT NULL DEFAULT 0,
    code        BLOB                       -- hash of the code a person's sign-in left for it
) STRICT, WITHOUT ROWID;
CREATE INDEX device_expires ON device (expires_at);

-- Clients that registered themselves (RFC 7591), where that is allowed. Nothing they say is verified.
CREATE TABLE client (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,           -- JSON list
    created_at    INTEGER NOT NULL,
    used_at       INTEGER                  -- NULL until somebody signed in through it
) STRICT, WITHOUT ROWID;

-- API keys of unattended agents.
CREATE TABLE api_key (
    id          TEXT PRIMARY KEY,          -- public half of the key
    hash        BLOB NOT NULL UNIQUE,      -- of the whole key
    name        TEXT NOT NULL,             -- the service: subject of its principal
    groups      TEXT NOT NULL,             -- JSON list of local groups
    tools       TEXT NOT NULL,             -- JSON list; what it may call at most
    resources   TEXT NOT NULL,             -- JSON list
    made_by     TEXT NOT NULL,             -- user id of the administrator
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER,
    revoked_at  INTEGER,
    revoked_by  TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_name ON api_key (name);
