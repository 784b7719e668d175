-- Which event a position stands on: in a log that was replaced, its number belongs to another one.
ALTER TABLE events_positions ADD COLUMN event_id TEXT NOT NULL DEFAULT '';

-- Nobody knows it of the positions there are. The log is read again; the inbox knows what was handled.
UPDATE events_positions SET position = 0;
