-- How often each person has looked a value up within an hour that began at `since` (milliseconds since 1970).

CREATE TABLE lookup_spent (
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,
    since   INTEGER NOT NULL,
    spent   INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX lookup_spent_since ON lookup_spent (since);
