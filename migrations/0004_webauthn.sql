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
    created_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX security_key_person ON security_key (issuer, subject);

-- What proved the person of an event, beyond their sign-in.
ALTER TABLE approval_event ADD COLUMN method TEXT;
