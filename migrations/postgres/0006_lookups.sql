-- How often each person has looked a value up within an hour that began at `since` (milliseconds since 1970).

CREATE TABLE lookup_spent (
    issuer  TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    since   BIGINT NOT NULL,
    spent   BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX lookup_spent_since ON lookup_spent (since);
