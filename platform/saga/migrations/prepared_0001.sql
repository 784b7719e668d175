-- What this service has prepared for two-phase commits that others coordinate.
CREATE TABLE prepared (
    -- Which participation, and the transaction as its coordinator calls it.
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    -- prepared, committed, aborted
    status TEXT NOT NULL,
    payload TEXT NOT NULL,
    -- How often the coordinator was asked, and when it is asked next.
    attempt BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    PRIMARY KEY (name, id)
);
CREATE INDEX prepared_in_doubt ON prepared (due_at) WHERE ended_at IS NULL;
CREATE INDEX prepared_ended ON prepared (ended_at) WHERE ended_at IS NOT NULL;
