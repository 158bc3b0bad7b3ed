-- What the people's side looks through: who is asked about a request by which policy, said by the request's own terms,
-- whichever version of the server writes it; and what makes its lists and a session's calls quick to find.

CREATE TABLE approval_asked (
    approval TEXT NOT NULL REFERENCES approval (id) ON DELETE CASCADE,
    rule     TEXT NOT NULL,
    of_group TEXT NOT NULL,
    -- Milliseconds after the request was made: groups that are asked only when it waits too long.
    later    INTEGER NOT NULL,
    PRIMARY KEY (approval, rule, of_group)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO approval_asked (approval, rule, of_group, later)
SELECT approval.id, asked.value ->> '$.id', seat.value ->> '$[1]', 0
FROM approval,
     json_each(CASE WHEN json_valid(approval.terms) THEN approval.terms ELSE '{}' END, '$.asks') AS asked,
     json_each(asked.value, '$.seats') AS seat
WHERE asked.value ->> '$.id' IS NOT NULL AND seat.value ->> '$[1]' IS NOT NULL;
INSERT OR IGNORE INTO approval_asked (approval, rule, of_group, later)
SELECT approval.id, asked.value ->> '$.id', later.value ->> '$.group', coalesce(later.value ->> '$.seconds', 0) * 1000
FROM approval, json_each(CASE WHEN json_valid(approval.terms) THEN approval.terms ELSE '{}' END, '$.asks') AS asked,
     json_each(asked.value, '$.escalate') AS later
WHERE asked.value ->> '$.id' IS NOT NULL AND later.value ->> '$.group' IS NOT NULL;

CREATE TRIGGER approval_asks AFTER INSERT ON approval BEGIN
    INSERT OR IGNORE INTO approval_asked (approval, rule, of_group, later)
    SELECT NEW.id, asked.value ->> '$.id', seat.value ->> '$[1]', 0
    FROM json_each(CASE WHEN json_valid(NEW.terms) THEN NEW.terms ELSE '{}' END, '$.asks') AS asked,
         json_each(asked.value, '$.seats') AS seat
    WHERE asked.value ->> '$.id' IS NOT NULL AND seat.value ->> '$[1]' IS NOT NULL;
    INSERT OR IGNORE INTO approval_asked (approval, rule, of_group, later)
    SELECT NEW.id, asked.value ->> '$.id', later.value ->> '$.group', coalesce(later.value ->> '$.seconds', 0) * 1000
    FROM json_each(CASE WHEN json_valid(NEW.terms) THEN NEW.terms ELSE '{}' END, '$.asks') AS asked,
         json_each(asked.value, '$.escalate') AS later
    WHERE asked.value ->> '$.id' IS NOT NULL AND later.value ->> '$.group' IS NOT NULL;
END;
CREATE TRIGGER approval_asks_anew AFTER UPDATE OF terms ON approval BEGIN
    DELETE FROM approval_asked WHERE approval = NEW.id;
    INSERT OR IGNORE INTO approval_asked (approval, rule, of_group, later)
    SELECT NEW.id, asked.value ->> '$.id', seat.value ->> '$[1]', 0
    FROM json_each(CASE WHEN json_valid(NEW.terms) THEN NEW.terms ELSE '{}' END, '$.asks') AS asked,
         json_each(asked.value, '$.seats') AS seat
    WHERE asked.value ->> '$.id' IS NOT NULL AND seat.value ->> '$[1]' IS NOT NULL;
    INSERT OR IGNORE INTO approval_asked (approval, rule, of_group, later)
    SELECT NEW.id, asked.value ->> '$.id', later.value ->> '$.group', coalesce(later.value ->> '$.seconds', 0) * 1000
    FROM json_each(CASE WHEN json_valid(NEW.terms) THEN NEW.terms ELSE '{}' END, '$.asks') AS asked,
         json_each(asked.value, '$.escalate') AS later
    WHERE asked.value ->> '$.id' IS NOT NULL AND later.value ->> '$.group' IS NOT NULL;
END;

CREATE INDEX approval_asked_of ON approval_asked (of_group, approval);
CREATE INDEX approval_shelf ON approval (state, id);
CREATE INDEX approval_of ON approval (issuer, subject, id);
CREATE INDEX approval_due ON approval (state, decide_by);
CREATE INDEX journal_session ON journal (session, seq) WHERE phase IN ('result', 'refusal', 'interrupted');
