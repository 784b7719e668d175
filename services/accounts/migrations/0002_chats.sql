-- Which chats an account is in, as the two-phase commits that chat coordinates have left it.
CREATE TABLE user_chats (
    user_id BIGINT NOT NULL REFERENCES users (id),
    chat_id BIGINT NOT NULL,
    PRIMARY KEY (user_id, chat_id)
) {{clustered}};

-- What of it is prepared and not ended: until then no other transaction may prepare it.
CREATE TABLE held_chats (
    user_id BIGINT NOT NULL,
    chat_id BIGINT NOT NULL,
    -- By which transaction, as its coordinator calls it.
    tx TEXT NOT NULL,
    PRIMARY KEY (user_id, chat_id)
) {{clustered}};
CREATE INDEX held_chats_tx_idx ON held_chats (tx);
