-- How far the log reaches. Whoever writes to the log locks this row first and holds it until the
-- commit, so that entries become visible in the order of their positions.
CREATE TABLE head (
    id BIGINT NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);
INSERT INTO head (id, position) VALUES (1, 0);

-- Chats and lobbies.
CREATE TABLE rooms (
    id {{id}},
    -- chat, lobby
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    palette_id BIGINT,
    topic TEXT,
    private BOOLEAN NOT NULL,
    invite_code TEXT,
    -- The number of the last message.
    last_seq BIGINT NOT NULL,
    -- How many members there are.
    members BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- False while it is being made: nobody sees it before.
    visible BOOLEAN NOT NULL,
    deleted_at BIGINT,
    -- Whether what was said in it is removed, after it was deleted.
    emptied BOOLEAN NOT NULL,
    -- The request that made it, so that its repeat makes no other.
    operation TEXT
);
CREATE INDEX rooms_palette_id_idx ON rooms (palette_id, id) WHERE kind = 'lobby';
CREATE INDEX rooms_public_idx ON rooms (id)
    WHERE kind = 'lobby' AND NOT private AND visible AND deleted_at IS NULL;
CREATE INDEX rooms_to_empty_idx ON rooms (id) WHERE deleted_at IS NOT NULL AND NOT emptied;
CREATE INDEX rooms_hidden_idx ON rooms (created_at) WHERE NOT visible;
CREATE UNIQUE INDEX rooms_operation_key ON rooms (operation) WHERE operation IS NOT NULL;

-- Who is in which room, from which position of the log to which; to the greatest number: still.
CREATE TABLE memberships (
    room_id BIGINT NOT NULL REFERENCES rooms (id),
    user_id BIGINT NOT NULL,
    from_position BIGINT NOT NULL,
    to_position BIGINT NOT NULL,
    -- owner, member
    role TEXT NOT NULL,
    -- The number of the last message that this member has read.
    read_seq BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id, from_position)
) {{clustered}};
CREATE UNIQUE INDEX memberships_room_id_user_id_key ON memberships (room_id, user_id)
    WHERE to_position = 9223372036854775807;
CREATE INDEX memberships_user_id_idx ON memberships (user_id, to_position, room_id);

-- What people are called; erased when their account is gone.
CREATE TABLE people (
    user_id BIGINT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL,
    -- The name as it is called: in lower case.
    name_key TEXT NOT NULL,
    erased BOOLEAN NOT NULL
);
CREATE INDEX people_name_key_idx ON people (name_key);

-- Everything that happens, in one order. The id is the position. A message stands in its entry as
-- it is now: an edit or a deletion changes it and adds an entry that points to it.
CREATE TABLE log (
    id {{id}},
    room_id BIGINT NOT NULL REFERENCES rooms (id),
    -- message, message.edited, message.deleted, reaction.added, reaction.removed, created, updated,
    -- deleted, joined, left, read
    kind TEXT NOT NULL,
    -- Who did it.
    user_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    -- A message's number in its room, from 1 and without gaps; of `read`, that which was read.
    seq BIGINT,
    -- A message's text; of other entries what they carry.
    text TEXT,
    -- How its sender knows a message.
    client_id TEXT,
    -- Which message was edited, deleted or reacted to.
    message_id BIGINT,
    -- Who joined or left.
    member_id BIGINT,
    edited_at BIGINT,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX log_room_id_seq_key ON log (room_id, seq) WHERE kind = 'message';
CREATE UNIQUE INDEX log_room_id_user_id_client_id_key ON log (room_id, user_id, client_id)
    WHERE client_id IS NOT NULL;
CREATE INDEX log_room_id_idx ON log (room_id, id);
CREATE UNIQUE INDEX log_read_key ON log (room_id, user_id) WHERE kind = 'read';

-- Who was called by name in which message.
CREATE TABLE mentions (
    user_id BIGINT NOT NULL,
    room_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, seq)
) {{clustered}};
CREATE INDEX mentions_message_id_idx ON mentions (message_id);

CREATE TABLE reactions (
    message_id BIGINT NOT NULL,
    emoji TEXT NOT NULL,
    user_id BIGINT NOT NULL,
    PRIMARY KEY (message_id, emoji, user_id)
) {{clustered}};
