//! The rows of a slot, out of one database and into another, in pages.
//!
//! Everything that goes in is a row as it stands where it comes from, so that putting it in twice,
//! or a second time with what it has become, is right. What is gone for ever stays gone: an item
//! with a tombstone is not put in, nor a like of an item that is not there.

use std::collections::BTreeSet;

use data::{DataError, Sql, Tx, values};
use serde::Serialize;

use super::{Changed, Dialect, Store, item, json};
use crate::model::Item;
use crate::model::slots::{SLOT_SQL, Slot};

/// So many rows go with one transaction.
pub(crate) const PAGE: i64 = 1_000;

/// A row of `items`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CopiedItem(
    i32,
    i64,
    i64,
    Option<String>,
    Option<String>,
    i64,
    i64,
    i64,
    f64,
    i64,
);

impl CopiedItem {
    pub(crate) const fn key(&self) -> (i32, i64) {
        (self.0, self.1)
    }
}

/// Rows of a slot, as they stand where they come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub items: Vec<CopiedItem>,
    /// (kind, item, since).
    pub tombstones: Vec<(i32, i64, i64)>,
    /// (kind, item, user, since).
    pub likes: Vec<(i32, i64, i64, i64)>,
    /// (kind, hour, item, likes, views).
    pub hours: Vec<(i32, i64, i64, i64, i64)>,
    /// (user, since).
    pub erased: Vec<(i64, i64)>,
    /// Rows that were changed: what is not among the others is gone.
    pub changed: BTreeSet<Changed>,
}

pub(super) struct Texts {
    items: String,
    items_by_key: String,
    tombstones: String,
    tombstones_by_key: String,
    likes_of: String,
    likes_by_key: String,
    hours: String,
    hours_by_key: String,
    put_items: String,
    put_tombstones: String,
    put_likes: String,
    put_hours: String,
    put_erased: String,
    remove_items: String,
    remove_likes: String,
    remove_hours: String,
    remove_likes_of: String,
    forget_changes: String,
}

const ITEM: &str = "t.kind, t.item_id, t.owner, t.category, t.heading, t.created_at, t.likes, \
     t.views, t.trend, t.version";

/// `CAST(r.value->>N AS BIGINT)` for each column, the first one being the kind.
fn columns(count: usize) -> String {
    let column = |n| match n {
        0 => "CAST(r.value->>0 AS INTEGER)".to_owned(),
        n => format!("CAST(r.value->>{n} AS BIGINT)"),
    };
    (0..count).map(column).collect::<Vec<_>>().join(", ")
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        let text = |template: String| dialect.text(&template);
        let by_key = |select: &str, table: &str, second: &str, third: Option<&str>| {
            let third = third.map_or_else(String::new, |third| {
                format!(" AND t.{third} = CAST(r.value->>2 AS BIGINT)")
            });
            text(format!(
                "SELECT {select} FROM {{{{rows:1}}}} CROSS JOIN {table} t
                 WHERE t.kind = CAST(r.value->>0 AS INTEGER)
                   AND t.{second} = CAST(r.value->>1 AS BIGINT){third}"
            ))
        };
        let (two, three) = (columns(2), columns(3));
        Self {
            items: format!(
                "SELECT {ITEM} FROM items t
                 WHERE (t.kind, t.item_id) > ($1, $2) AND {SLOT_SQL} = $3
                 ORDER BY t.kind, t.item_id LIMIT $4"
            ),
            items_by_key: by_key(ITEM, "items", "item_id", None),
            tombstones: format!(
                "SELECT t.kind, t.item_id, t.at FROM withdrawn t
                 WHERE (t.kind, t.item_id) > ($1, $2) AND {SLOT_SQL} = $3
                 ORDER BY t.kind, t.item_id LIMIT $4"
            ),
            tombstones_by_key: by_key("t.kind, t.item_id, t.at", "withdrawn", "item_id", None),
            likes_of: text(
                "SELECT l.kind, l.item_id, l.user_id, l.at FROM {{rows:1}} CROSS JOIN likes l
                 WHERE l.kind = CAST(r.value->>0 AS INTEGER)
                   AND l.item_id = CAST(r.value->>1 AS BIGINT)
                   AND (l.kind, l.item_id, l.user_id) > ($2, $3, $4)
                 ORDER BY l.kind, l.item_id, l.user_id LIMIT $5"
                    .to_owned(),
            ),
            likes_by_key: by_key(
                "t.kind, t.item_id, t.user_id, t.at",
                "likes",
                "item_id",
                Some("user_id"),
            ),
            hours: format!(
                "SELECT t.kind, t.hour, t.item_id, t.likes, t.views FROM activity t
                 WHERE (t.kind, t.hour, t.item_id) > ($1, $2, $3) AND {SLOT_SQL} = $4
                 ORDER BY t.kind, t.hour, t.item_id LIMIT $5"
            ),
            hours_by_key: by_key(
                "t.kind, t.hour, t.item_id, t.likes, t.views",
                "activity",
                "item_id",
                Some("hour"),
            ),
            put_items: text(
                "INSERT INTO items (kind, item_id, owner, category, heading, created_at, likes,
                     views, trend, version)
                 SELECT CAST(r.value->>0 AS INTEGER), CAST(r.value->>1 AS BIGINT),
                        CAST(r.value->>2 AS BIGINT), r.value->>3, r.value->>4,
                        CAST(r.value->>5 AS BIGINT), CAST(r.value->>6 AS BIGINT),
                        CAST(r.value->>7 AS BIGINT), CAST(r.value->>8 AS DOUBLE PRECISION),
                        CAST(r.value->>9 AS BIGINT)
                 FROM {{rows:1}} WHERE NOT EXISTS (
                     SELECT 1 FROM withdrawn w WHERE w.kind = CAST(r.value->>0 AS INTEGER)
                         AND w.item_id = CAST(r.value->>1 AS BIGINT))
                 ON CONFLICT (kind, item_id) DO UPDATE
                 SET owner = excluded.owner, category = excluded.category,
                     heading = excluded.heading, created_at = excluded.created_at,
                     likes = excluded.likes, views = excluded.views, trend = excluded.trend,
                     version = excluded.version"
                    .to_owned(),
            ),
            // Not swept: its likes may have been put in before.
            put_tombstones: text(format!(
                "INSERT INTO withdrawn (kind, item_id, at) SELECT {three} FROM {{{{rows:1}}}}
                 WHERE true ON CONFLICT (kind, item_id) DO UPDATE SET swept = 0"
            )),
            put_likes: text(format!(
                "INSERT INTO likes (kind, item_id, user_id, at) SELECT {} FROM {{{{rows:1}}}}
                 WHERE EXISTS (SELECT 1 FROM items i WHERE i.kind = CAST(r.value->>0 AS INTEGER)
                                 AND i.item_id = CAST(r.value->>1 AS BIGINT))
                 ON CONFLICT (kind, item_id, user_id) DO UPDATE SET at = excluded.at",
                columns(4)
            )),
            put_hours: text(format!(
                "INSERT INTO activity (kind, hour, item_id, likes, views)
                 SELECT {} FROM {{{{rows:1}}}}
                 WHERE EXISTS (SELECT 1 FROM items i WHERE i.kind = CAST(r.value->>0 AS INTEGER)
                                 AND i.item_id = CAST(r.value->>2 AS BIGINT))
                 ON CONFLICT (kind, hour, item_id) DO UPDATE
                 SET likes = excluded.likes, views = excluded.views",
                columns(5)
            )),
            put_erased: text(
                "INSERT INTO erased (user_id, at)
                 SELECT CAST(r.value->>0 AS BIGINT), CAST(r.value->>1 AS BIGINT) FROM {{rows:1}}
                 WHERE true ON CONFLICT (user_id) DO NOTHING"
                    .to_owned(),
            ),
            remove_items: text(format!(
                "DELETE FROM items WHERE (kind, item_id) IN (SELECT {two} FROM {{{{rows:1}}}})"
            )),
            remove_likes: text(format!(
                "DELETE FROM likes WHERE (kind, item_id, user_id) IN (
                     SELECT {three} FROM {{{{rows:1}}}})"
            )),
            remove_hours: text(format!(
                "DELETE FROM activity WHERE (kind, hour, item_id) IN (
                     SELECT {three} FROM {{{{rows:1}}}})"
            )),
            remove_likes_of: dialect.text(
                "DELETE FROM likes WHERE (kind, item_id, user_id) IN (
                     SELECT l.kind, l.item_id, l.user_id FROM {{rows:1}} CROSS JOIN likes l
                     WHERE l.kind = CAST(r.value->>0 AS INTEGER)
                       AND l.item_id = CAST(r.value->>1 AS BIGINT) LIMIT $2)",
            ),
            forget_changes: text(
                "DELETE FROM slot_changes WHERE seq IN (
                     SELECT CAST(r.value->>0 AS BIGINT) FROM {{rows:1}})"
                    .to_owned(),
            ),
        }
    }
}

/// Which rows of a page follow.
pub(crate) type After2 = (i32, i64);
/// As [`After2`], for keys of three parts.
pub(crate) type After3 = (i32, i64, i64);
/// Before every row.
pub(crate) const FROM_2: After2 = (0, i64::MIN);
/// Before every row.
pub(crate) const FROM_3: After3 = (0, i64::MIN, i64::MIN);

type ItemTuple = (i32, i64, i64, Option<String>, Option<String>, i64, i64, i64, f64, i64);

fn copied(row: ItemTuple) -> CopiedItem {
    CopiedItem(row.0, row.1, row.2, row.3, row.4, row.5, row.6, row.7, row.8, row.9)
}

impl Store {
    /// A page of the items of a slot.
    pub(crate) async fn items_of(
        &self,
        slot: Slot,
        after: After2,
    ) -> Result<Vec<CopiedItem>, DataError> {
        let values = values![after.0, after.1, i64::from(slot.number()), PAGE];
        let rows: Vec<ItemTuple> =
            self.db.read_primary().rows(&self.texts.copy.items, values).await?;
        Ok(rows.into_iter().map(copied).collect())
    }

    /// A page of the tombstones of a slot.
    pub(crate) async fn tombstones_of(
        &self,
        slot: Slot,
        after: After2,
    ) -> Result<Vec<(i32, i64, i64)>, DataError> {
        let values = values![after.0, after.1, i64::from(slot.number()), PAGE];
        self.db.read_primary().rows(&self.texts.copy.tombstones, values).await
    }

    /// A page of the likes of some items.
    pub(crate) async fn likes_of(
        &self,
        items: &[CopiedItem],
        after: After3,
    ) -> Result<Vec<(i32, i64, i64, i64)>, DataError> {
        let keys = json(items.iter().map(CopiedItem::key))?;
        let values = values![keys, after.0, after.1, after.2, PAGE];
        self.db.read_primary().rows(&self.texts.copy.likes_of, values).await
    }

    /// A page of the hours of a slot.
    pub(crate) async fn hours_of(
        &self,
        slot: Slot,
        after: After3,
    ) -> Result<Vec<(i32, i64, i64, i64, i64)>, DataError> {
        let values = values![after.0, after.1, after.2, i64::from(slot.number()), PAGE];
        self.db.read_primary().rows(&self.texts.copy.hours, values).await
    }

    /// A page of the users who were erased.
    pub(crate) async fn erased_after(&self, user: i64) -> Result<Vec<(i64, i64)>, DataError> {
        let sql = "SELECT user_id, at FROM erased WHERE user_id > $1 ORDER BY user_id LIMIT $2";
        self.db.read_primary().rows(sql, values![user, PAGE]).await
    }

    /// Some of the noted changes of a slot, with their numbers, and the rows as they are now.
    pub(crate) async fn changes_of(&self, slot: Slot) -> Result<(Vec<i64>, Rows), DataError> {
        let sql = "SELECT seq, kind, item_id, what, key FROM slot_changes
                   WHERE slot = $1 ORDER BY seq LIMIT $2";
        let from = self.db.read_primary();
        let noted: Vec<(i64, i32, i64, i32, i64)> =
            from.rows(sql, values![i32::from(slot.number()), PAGE]).await?;
        let mut rows = Rows::default();
        let mut numbers = Vec::with_capacity(noted.len());
        for (seq, kind, id, what, key) in noted {
            numbers.push(seq);
            rows.changed.insert(Changed::from_parts(item(kind, id)?, what, key)?);
        }
        let texts = &self.texts.copy;
        let keys = Keys::of(&rows.changed);
        if !keys.items.is_empty() {
            let items: Vec<ItemTuple> =
                from.rows(&texts.items_by_key, values![json(&keys.items)?]).await?;
            rows.items = items.into_iter().map(copied).collect();
            rows.tombstones =
                from.rows(&texts.tombstones_by_key, values![json(&keys.items)?]).await?;
        }
        if !keys.likes.is_empty() {
            rows.likes = from.rows(&texts.likes_by_key, values![json(&keys.likes)?]).await?;
        }
        if !keys.hours.is_empty() {
            rows.hours = from.rows(&texts.hours_by_key, values![json(&keys.hours)?]).await?;
        }
        Ok((numbers, rows))
    }

    /// Forgets changes that the other shard has.
    pub(crate) async fn forget_changes(&self, tx: &Tx, numbers: &[i64]) -> Result<(), DataError> {
        let numbers = json(numbers.iter().map(|seq| [seq]))?;
        tx.run(&self.texts.copy.forget_changes, values![numbers]).await.map(drop)
    }

    /// Forgets every change of a slot.
    pub(crate) async fn forget_all_changes(&self, tx: &Tx, slot: Slot) -> Result<(), DataError> {
        let sql = "DELETE FROM slot_changes WHERE slot = $1";
        tx.run(sql, values![i32::from(slot.number())]).await.map(drop)
    }

    /// Puts rows in as they are; what was changed and is not among them is removed.
    pub(crate) async fn put(&self, tx: &Tx, rows: &Rows) -> Result<(), DataError> {
        let texts = &self.texts.copy;
        let gone = Keys::of(&rows.changed);
        let hours = gone.hours.iter().map(|(kind, item, hour)| (*kind, *hour, *item));
        write(tx, &texts.remove_likes, &gone.likes).await?;
        write(tx, &texts.remove_hours, &hours.collect::<Vec<_>>()).await?;
        write(tx, &texts.remove_items, &gone.items).await?;
        let buried: Vec<_> = rows.tombstones.iter().map(|(kind, id, _)| (kind, id)).collect();
        write(tx, &texts.remove_items, &buried).await?;
        write(tx, &texts.put_tombstones, &rows.tombstones).await?;
        write(tx, &texts.put_items, &rows.items).await?;
        write(tx, &texts.put_likes, &rows.likes).await?;
        write(tx, &texts.put_hours, &rows.hours).await?;
        write(tx, &texts.put_erased, &rows.erased).await
    }

    /// Removes some likes of these items; answers how many.
    pub(crate) async fn drop_likes(&self, tx: &Tx, items: &[CopiedItem]) -> Result<u64, DataError> {
        let keys = json(items.iter().map(CopiedItem::key))?;
        tx.run(&self.texts.copy.remove_likes_of, values![keys, PAGE]).await
    }

    /// Removes these items.
    pub(crate) async fn drop_items(&self, tx: &Tx, items: &[CopiedItem]) -> Result<(), DataError> {
        let keys: Vec<_> = items.iter().map(CopiedItem::key).collect();
        write(tx, &self.texts.copy.remove_items, &keys).await
    }

    /// Removes these hours.
    pub(crate) async fn drop_hours(
        &self,
        tx: &Tx,
        hours: &[(i32, i64, i64, i64, i64)],
    ) -> Result<(), DataError> {
        let keys: Vec<_> = hours.iter().map(|(kind, hour, item, ..)| (kind, hour, item)).collect();
        write(tx, &self.texts.copy.remove_hours, &keys).await
    }
}

async fn write<T: Serialize>(tx: &Tx, text: &str, rows: &[T]) -> Result<(), DataError> {
    if rows.is_empty() {
        return Ok(());
    }
    tx.run(text, values![json(rows)?]).await.map(drop)
}

/// The keys of what was changed.
#[derive(Default)]
struct Keys {
    items: Vec<(i32, i64)>,
    likes: Vec<(i32, i64, i64)>,
    hours: Vec<(i32, i64, i64)>,
}

impl Keys {
    fn of(changed: &BTreeSet<Changed>) -> Self {
        let mut keys = Self::default();
        for changed in changed {
            let Item { kind, id } = changed.item();
            match changed {
                Changed::Item(_) => keys.items.push((kind.number(), id)),
                Changed::Like(_, user) => keys.likes.push((kind.number(), id, *user)),
                Changed::Hour(_, hour) => keys.hours.push((kind.number(), id, *hour)),
            }
        }
        keys
    }
}
