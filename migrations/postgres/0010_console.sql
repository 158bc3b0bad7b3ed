-- What the people's side looks through: who is asked about a request by which policy, said by the request's own terms,
-- whichever version of the server writes it; and what makes its lists and a session's calls quick to find.

CREATE TABLE approval_asked (
    approval TEXT COLLATE "C" NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    rule     TEXT COLLATE "C" NOT NULL,
    of_group TEXT COLLATE "C" NOT NULL,
    -- Milliseconds after the request was made: groups that are asked only when it waits too long.
    later    BIGINT NOT NULL,
    PRIMARY KEY (approval, rule, of_group)
);
CREATE FUNCTION approval_asks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM approval_asked WHERE approval = NEW.id;
    INSERT INTO approval_asked (approval, rule, of_group, later)
    SELECT NEW.id, asked ->> 'id', seat ->> 1, 0
    FROM jsonb_array_elements(NEW.terms::jsonb -> 'asks') AS asked,
         jsonb_array_elements(asked -> 'seats') AS seat
    WHERE asked ->> 'id' IS NOT NULL AND seat ->> 1 IS NOT NULL
    ON CONFLICT DO NOTHING;
    INSERT INTO approval_asked (approval, rule, of_group, later)
    SELECT NEW.id, asked ->> 'id', later ->> 'group', coalesce((later ->> 'seconds')::bigint, 0) * 1000
    FROM jsonb_array_elements(NEW.terms::jsonb -> 'asks') AS asked,
         jsonb_array_elements(coalesce(asked -> 'escalate', '[]'::jsonb)) AS later
    WHERE asked ->> 'id' IS NOT NULL AND later ->> 'group' IS NOT NULL
    ON CONFLICT DO NOTHING;
    RETURN NULL;
EXCEPTION WHEN data_exception THEN
    RETURN NULL; -- terms that are none ask nobody
END $$;
CREATE TRIGGER approval_asks AFTER INSERT OR UPDATE OF terms ON approval FOR EACH ROW EXECUTE FUNCTION approval_asks();
UPDATE approval SET terms = terms;

CREATE INDEX approval_asked_of ON approval_asked (of_group, approval);
CREATE INDEX approval_shelf ON approval (state, id);
CREATE INDEX approval_of ON approval (issuer, subject, id);
CREATE INDEX approval_due ON approval (state, decide_by);
CREATE INDEX journal_session ON journal (session, seq) WHERE phase IN ('result', 'refusal', 'interrupted');
