-- Security keys and passkeys of people who decide (WebAuthn Level 3), and how a decision was proven.
-- Times are milliseconds since 1970 (UTC).

CREATE TABLE security_key (
    id         TEXT PRIMARY KEY,           -- ours, for pages and the journal
    credential BLOB NOT NULL UNIQUE,       -- what the authenticator calls it
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    handle     BLOB NOT NULL CHECK (length(handle) = 64),  -- what authenticators know the person by: random
    public     BLOB NOT NULL,              -- public key and extensions
    state      BLOB NOT NULL CHECK (length(state) = 7),    -- flags and the count of its signatures
    transports INTEGER NOT NULL,           -- how browsers reach it, as bits
    name       TEXT NOT NULL,
    signed_in_at INTEGER NOT NULL,         -- the sign-in it was registered under; it counts under later ones only
    created_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX security_key_person ON security_key (issuer, subject);
CREATE TRIGGER security_key_whose
BEFORE UPDATE OF id, credential, issuer, subject, handle, public, signed_in_at, created_at ON security_key
BEGIN SELECT RAISE(ABORT, 'a security key belongs to whom it was registered for'); END;

-- Challenges that were not answered yet. Here, because of all processes that share the store one takes the answer.
CREATE TABLE security_challenge (
    challenge  BLOB PRIMARY KEY CHECK (length(challenge) = 16),
    issuer     TEXT NOT NULL,              -- who was asked
    subject    TEXT NOT NULL,
    about      TEXT NOT NULL,              -- what a use is for, exactly (JSON)
    kind       TEXT NOT NULL CHECK (kind IN ('use','make')),
    ceremony   BLOB NOT NULL,              -- what was asked for
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX security_challenge_person ON security_challenge (issuer, subject, expires_at);
CREATE INDEX security_challenge_expires ON security_challenge (expires_at);

-- What proved the person, beyond their sign-in: of a decision, and of the event that tells of it.
ALTER TABLE approval_decision ADD COLUMN method TEXT;
ALTER TABLE approval_event ADD COLUMN method TEXT;
