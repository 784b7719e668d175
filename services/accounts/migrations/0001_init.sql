CREATE TABLE users (
    id {{id}},
    username TEXT NOT NULL,
    email TEXT,
    password_hash TEXT,
    display_name TEXT,
    bio TEXT,
    staff BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

-- Every key of every name that was ever given, so that none is given twice. A name has up to three.
CREATE TABLE names (
    name_key TEXT NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id)
);

-- A session is a family of refresh tokens, one of which is good.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id, created_at);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    token_hash {{bytes}} NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX refresh_tokens_session_id_idx ON refresh_tokens (session_id);

-- The highest generation signs; all verify. Two instances that make the first key at once agree on
-- the generation's one row.
CREATE TABLE signing_keys (
    generation BIGINT NOT NULL PRIMARY KEY,
    kid TEXT NOT NULL,
    pkcs8 {{bytes}} NOT NULL,
    created_at BIGINT NOT NULL
);

-- Attempts in a window of time, by what is attempted.
CREATE TABLE attempts (
    subject TEXT NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL,
    window_ends_at BIGINT NOT NULL
);
CREATE INDEX attempts_window_ends_at_idx ON attempts (window_ends_at);
