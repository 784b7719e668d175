-- Operations across services: how far each has come and who drives it.
CREATE TABLE sagas (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    version BIGINT NOT NULL,
    -- Counts up when an operation that had to be undone is asked for again.
    round BIGINT NOT NULL,
    -- running, undoing, done, undone
    status TEXT NOT NULL,
    -- Running: steps done. Undoing: steps that are still to be undone.
    step BIGINT NOT NULL,
    state TEXT NOT NULL,
    -- Why it is undone, as the caller is told.
    error TEXT,
    attempt BIGINT NOT NULL,
    lease_owner TEXT,
    -- Nobody but the owner touches it before: the end of the lease, or the time of the next try.
    due_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX sagas_open ON sagas (due_at) WHERE finished_at IS NULL;
CREATE INDEX sagas_finished ON sagas (finished_at) WHERE finished_at IS NOT NULL;
