CREATE TABLE palettes (
    id {{id}},
    user_id BIGINT NOT NULL,
    -- As #RRGGBB or #RRGGBBAA, separated by one blank.
    color_codes TEXT NOT NULL,
    category TEXT,
    -- The category as it is compared.
    category_key TEXT,
    name TEXT,
    -- Name and category as they are searched.
    search TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- 1, and one more with every change.
    version BIGINT NOT NULL,
    -- False until popularity knows of it: nobody sees it before.
    visible BOOLEAN NOT NULL
);
CREATE INDEX palettes_user_id_idx ON palettes (user_id, id);
CREATE INDEX palettes_category_key_idx ON palettes (category_key, id);

-- The colours in Oklab, by the cell of a grid, so that a search near a colour reads few of them.
CREATE TABLE palette_colors (
    cell BIGINT NOT NULL,
    palette_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    l {{float}} NOT NULL,
    a {{float}} NOT NULL,
    b {{float}} NOT NULL,
    PRIMARY KEY (cell, palette_id, position)
) {{clustered}};
CREATE INDEX palette_colors_palette_id_idx ON palette_colors (palette_id);

-- Accounts that are gone: a palette whose creation was under way then is not published.
CREATE TABLE erased_users (
    user_id BIGINT NOT NULL PRIMARY KEY
);
