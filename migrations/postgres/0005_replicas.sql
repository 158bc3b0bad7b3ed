-- Processes that share the store, and when each was last seen (milliseconds since 1970, by the database's
-- clock).

CREATE TABLE replica (
    boot    TEXT COLLATE "C" PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
