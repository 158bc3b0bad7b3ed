-- Decisions that an integration sends back: what its notice carried, spent once, and for whom it says it decides.
-- Times are milliseconds since 1970 (UTC).

CREATE TABLE approval_callback (
    approval    TEXT NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    integration TEXT NOT NULL,
    nonce       BLOB NOT NULL CHECK (length(nonce) = 32),
    made_at     INTEGER NOT NULL,
    spent_at    INTEGER,
    PRIMARY KEY (approval, integration)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER approval_callback_once BEFORE UPDATE ON approval_callback
WHEN OLD.spent_at IS NOT NULL OR NEW.nonce <> OLD.nonce OR NEW.integration <> OLD.integration
  OR NEW.approval <> OLD.approval
BEGIN SELECT RAISE(ABORT, 'a nonce is spent once'); END;

-- `<issuer>#<subject>`: claimed by the integration, known by nobody.
ALTER TABLE approval_decision ADD COLUMN on_behalf TEXT;
