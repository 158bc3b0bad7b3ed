-- Of all processes that share a server's store, one at a time writes rows: the one that holds this row. Nobody can hold
-- it who may not write it.

CREATE TABLE writer (
    one INTEGER PRIMARY KEY CHECK (one = 1)
) STRICT;
INSERT INTO writer (one) VALUES (1);
