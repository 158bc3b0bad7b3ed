-- Security keys and passkeys of people who decide (WebAuthn Level 3), and how a decision was proven.
-- Times are milliseconds since 1970 (UTC).

CREATE TABLE security_key (
    id         TEXT COLLATE "C" PRIMARY KEY,           -- ours, for pages and the journal
    credential BYTEA NOT NULL UNIQUE,       -- what the authenticator calls it
    issuer     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    handle     BYTEA NOT NULL CHECK (length(handle) = 64),  -- what authenticators know the person by: random
    public     BYTEA NOT NULL,              -- public key and extensions
    state      BYTEA NOT NULL CHECK (length(state) = 7),    -- flags and the count of its signatures
    transports BIGINT NOT NULL,           -- how browsers reach it, as bits
    name       TEXT COLLATE "C" NOT NULL,
    signed_in_at BIGINT NOT NULL,         -- the sign-in it was registered under; it counts under later ones only
    created_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX security_key_person ON security_key (issuer, subject);
CREATE FUNCTION security_key_whose() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a security key belongs to whom it was registered for'; END $$;
CREATE TRIGGER security_key_whose
BEFORE UPDATE OF id, credential, issuer, subject, handle, public, signed_in_at, created_at ON security_key
FOR EACH ROW EXECUTE FUNCTION security_key_whose();

-- Challenges that were not answered yet. Here, because of all processes that share the store one takes the answer.
CREATE TABLE security_challenge (
    challenge  BYTEA PRIMARY KEY CHECK (length(challenge) = 16),
    issuer     TEXT COLLATE "C" NOT NULL,              -- who was asked
    subject    TEXT COLLATE "C" NOT NULL,
    about      TEXT COLLATE "C" NOT NULL,              -- what a use is for, exactly (JSON)
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('use','make')),
    ceremony   BYTEA NOT NULL,              -- what was asked for
    expires_at BIGINT NOT NULL
);
CREATE INDEX security_challenge_person ON security_challenge (issuer, subject, expires_at);
CREATE INDEX security_challenge_expires ON security_challenge (expires_at);

-- What proved the person, beyond their sign-in: of a decision, and of the event that tells of it.
ALTER TABLE approval_decision ADD COLUMN method TEXT COLLATE "C";
ALTER TABLE approval_event ADD COLUMN method TEXT COLLATE "C";
