-- Which of the shards this database is, and how often the slots here have changed hands: what an
-- instance remembers of `slots` holds as long as `epoch` is the same. One row, or none before it
-- was told who it is.
CREATE TABLE shard (
    id INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,
    epoch BIGINT NOT NULL
);

-- What this database has to do with each slot (store/slots.rs lists the states). `epoch` grows each
-- time a slot changes hands: of two databases that both claim it, the one with the larger is right.
-- `peer` is the shard that it comes from or went to; `mover` and `beat` are who moves it, and a
-- sign of life.
CREATE TABLE slots (
    slot INTEGER PRIMARY KEY,
    state INTEGER NOT NULL,
    epoch BIGINT NOT NULL,
    peer INTEGER NOT NULL DEFAULT 0,
    mover BIGINT NOT NULL DEFAULT 0,
    beat BIGINT NOT NULL DEFAULT 0
);

-- Rows that changed while their slot was being copied, written with the change: an item (what = 1),
-- somebody's like of it (2, `key` is the user), its activity in an hour (3, `key` is the hour).
CREATE TABLE slot_changes (
    seq {{id}},
    slot INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    what INTEGER NOT NULL,
    key BIGINT NOT NULL
);
CREATE INDEX slot_changes_by_slot ON slot_changes (slot, seq);
