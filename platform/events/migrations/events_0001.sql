-- What this service has to tell, written with the change it tells of, until the relay has moved it.
CREATE TABLE events_outbox (
    seq {{id}},
    event_id TEXT NOT NULL,
    name TEXT NOT NULL,
    event_key TEXT NOT NULL,
    at BIGINT NOT NULL,
    payload TEXT NOT NULL
);

-- How far each consumer of this service has come in the log.
CREATE TABLE events_positions (
    consumer TEXT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);

-- What each consumer has handled: the same event again does nothing.
CREATE TABLE events_inbox (
    consumer TEXT NOT NULL,
    event_id TEXT NOT NULL,
    handled_at BIGINT NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX events_inbox_by_age ON events_inbox (handled_at);

-- What a handler kept refusing, for an operator to see and replay.
CREATE TABLE events_dead_letters (
    id {{id}},
    consumer TEXT NOT NULL,
    seq BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    name TEXT NOT NULL,
    event_key TEXT NOT NULL,
    at BIGINT NOT NULL,
    payload TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    replay BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX events_dead_letters_to_replay ON events_dead_letters (consumer, id) WHERE replay = 1;
