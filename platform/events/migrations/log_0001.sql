-- The log: append-only, in the order of seq; every event once.
CREATE TABLE log (
    seq {{id}},
    event_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    event_key TEXT NOT NULL,
    at BIGINT NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX log_by_time ON log (at);
