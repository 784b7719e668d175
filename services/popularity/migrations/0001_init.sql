-- What can be liked. `heading` is the category as it is compared; `trend` is the logarithm of a forward-decayed count (model/decay.rs);
-- `version` grows with each change.
CREATE TABLE items (
    kind INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    owner BIGINT NOT NULL,
    category TEXT,
    heading TEXT,
    created_at BIGINT NOT NULL,
    likes BIGINT NOT NULL DEFAULT 0,
    views BIGINT NOT NULL DEFAULT 0,
    trend {{float}} NOT NULL,
    version BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, item_id)
) {{clustered}};

-- The rankings of all time: read backwards from the top.
CREATE INDEX items_by_likes ON items (kind, likes, item_id);
CREATE INDEX items_by_views ON items (kind, views, item_id);
CREATE INDEX items_by_trend ON items (kind, trend, item_id);
CREATE INDEX items_by_heading_likes ON items (kind, heading, likes, item_id);
CREATE INDEX items_by_heading_views ON items (kind, heading, views, item_id);
CREATE INDEX items_by_heading_trend ON items (kind, heading, trend, item_id);

-- Who likes what, since when (milliseconds since 1970).
CREATE TABLE likes (
    kind INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (kind, item_id, user_id)
) {{clustered}};

CREATE INDEX likes_by_user ON likes (user_id, kind, at);

-- What happened in each hour (since 1970), for the windows. Pruned after 32 days.
CREATE TABLE activity (
    kind INTEGER NOT NULL,
    hour BIGINT NOT NULL,
    item_id BIGINT NOT NULL,
    likes BIGINT NOT NULL DEFAULT 0,
    views BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, hour, item_id)
) {{clustered}};

-- Users who are gone: a like of theirs that was under way is not taken any more.
CREATE TABLE erased (
    user_id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL
);

-- Items that are gone: a registration that was under way does not bring them back.
-- `swept` is 1 once their likes are gone, too.
CREATE TABLE withdrawn (
    kind INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    swept INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, item_id)
);

CREATE INDEX withdrawn_to_sweep ON withdrawn (swept, at);
