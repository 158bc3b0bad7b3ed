-- Decisions that an integration sends back: what its notice carried, spent once, and for whom it says it decides.
-- Times are milliseconds since 1970 (UTC).

CREATE TABLE approval_callback (
    approval    TEXT COLLATE "C" NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    integration TEXT COLLATE "C" NOT NULL,
    nonce       BYTEA NOT NULL CHECK (length(nonce) = 32),
    made_at     BIGINT NOT NULL,
    spent_at    BIGINT,
    PRIMARY KEY (approval, integration)
);
CREATE FUNCTION approval_callback_once() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'a nonce is spent once'; END $$;
CREATE TRIGGER approval_callback_once BEFORE UPDATE ON approval_callback FOR EACH ROW
WHEN (OLD.spent_at IS NOT NULL OR NEW.nonce <> OLD.nonce OR NEW.integration <> OLD.integration
  OR NEW.approval <> OLD.approval)
EXECUTE FUNCTION approval_callback_once();

-- `<issuer>#<subject>`: claimed by the integration, known by nobody.
ALTER TABLE approval_decision ADD COLUMN on_behalf TEXT COLLATE "C";
