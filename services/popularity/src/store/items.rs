//! Items come, are read, and go.

use std::collections::BTreeMap;

use contracts::Kind;
use data::{DataError, Reader, Sql, Tx, values};

use super::ItemRow;
use super::slots::written_here;
use super::{Changed, Dialect, Elsewhere, ITEM_COLUMNS, Store, item, item_state, json};
use crate::model::decay::Trend;
use crate::model::{Item, ItemState, RETENTION_HOURS, heading, hour_of};

/// So many likes go with one transaction when an item is swept or a user erased.
const SWEEP: i64 = 2_000;

pub(super) struct Texts {
    register: String,
    read: String,
    sweep_activity: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            register: format!(
                "INSERT INTO items AS i (kind, item_id, owner, category, heading, created_at, trend)
                 SELECT $1, $2, $3, $4, $5, $6, $7 WHERE NOT EXISTS (
                     SELECT 1 FROM withdrawn w WHERE w.kind = $1 AND w.item_id = $2)
                 ON CONFLICT (kind, item_id) DO UPDATE
                 SET owner = excluded.owner, category = excluded.category,
                     heading = excluded.heading, version = i.version + 1
                 RETURNING {}",
                ITEM_COLUMNS.replace("i.", "")
            ),
            read: dialect.text(&format!(
                "SELECT (SELECT epoch FROM shard) AS shard_epoch, {ITEM_COLUMNS}
                 FROM {{{{rows:2}}}} LEFT JOIN items i
                     ON i.kind = $1 AND i.item_id = CAST(r.value->>0 AS BIGINT)"
            )),
            sweep_activity: dialect.text(
                "DELETE FROM activity WHERE kind = $1 AND item_id = $2 AND hour IN (
                     SELECT CAST(r.value->>0 AS BIGINT) FROM {{rows:3}})",
            ),
        }
    }
}

/// The epoch of the slots, and a row of `items` if there is one.
type ReadRow = (
    Option<i64>,
    Option<i32>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<f64>,
    Option<i64>,
);

impl Store {
    /// Makes an item known, or gives it another owner or category. Answers it as it is then; none
    /// if it was withdrawn: that is for ever.
    pub(crate) async fn register(
        &self,
        tx: &Tx,
        item: Item,
        owner: i64,
        category: Option<String>,
        created_at: i64,
    ) -> Result<Result<Option<ItemState>, Elsewhere>, DataError> {
        let standings = self.hold(tx).await?;
        if let Err(elsewhere) = written_here(&standings, item) {
            return Ok(Err(elsewhere));
        }
        let none = Trend::NONE.stored();
        let heading = category.as_deref().map(heading);
        let (kind, id) = (item.kind.number(), item.id);
        let values = values![kind, id, owner, category, heading, created_at, none];
        let row: Option<ItemRow> = tx.row(&self.texts.items.register, values).await?;
        self.note(tx, &standings, [Changed::Item(item)].into_iter()).await?;
        row.map(|row| Ok(item_state(row)?.1)).transpose().map(Ok)
    }

    /// Forgets an item where it is. Its likes go with [`Store::sweep`]; repeating it changes nothing.
    pub(crate) async fn withdraw(
        &self,
        tx: &Tx,
        item: Item,
        now: i64,
    ) -> Result<Result<(), Elsewhere>, DataError> {
        let standings = self.hold(tx).await?;
        if let Err(elsewhere) = written_here(&standings, item) {
            return Ok(Err(elsewhere));
        }
        self.bury(tx, item, now).await?;
        self.note(tx, &standings, [Changed::Item(item)].into_iter()).await.map(Ok)
    }

    /// Forgets an item, be it here or not: where it is on its way to, it must be known as well that
    /// it never comes back.
    pub(crate) async fn bury(&self, tx: &Tx, item: Item, now: i64) -> Result<(), DataError> {
        let (kind, id) = (item.kind.number(), item.id);
        let sql = "DELETE FROM items WHERE kind = $1 AND item_id = $2";
        tx.run(sql, values![kind, id]).await?;
        let sql = "INSERT INTO withdrawn (kind, item_id, at) VALUES ($1, $2, $3)
                   ON CONFLICT DO NOTHING";
        tx.run(sql, values![kind, id, now]).await?;
        Ok(())
    }

    /// Removes some of the likes of a withdrawn item, and with the last its hours. Answers whether
    /// there is more to do.
    pub(crate) async fn sweep(&self, tx: &Tx, item: Item, now: i64) -> Result<bool, DataError> {
        let (kind, id) = (item.kind.number(), item.id);
        let sql = "DELETE FROM likes WHERE kind = $1 AND item_id = $2 AND user_id IN (
                       SELECT user_id FROM likes WHERE kind = $1 AND item_id = $2 LIMIT $3)";
        if tx.run(sql, values![kind, id, SWEEP]).await? == SWEEP.unsigned_abs() {
            return Ok(true);
        }
        let hours = (hour_of(now) - RETENTION_HOURS..=hour_of(now)).map(|hour| [hour]);
        tx.run(&self.texts.items.sweep_activity, values![kind, id, json(hours)?]).await?;
        let sql = "UPDATE withdrawn SET swept = 1 WHERE kind = $1 AND item_id = $2";
        tx.run(sql, values![kind, id]).await?;
        Ok(false)
    }

    /// Withdrawn items whose likes are still there, at most 100.
    pub(crate) async fn unswept(&self) -> Result<Vec<Item>, DataError> {
        let sql = "SELECT kind, item_id FROM withdrawn WHERE swept = 0 ORDER BY at LIMIT 100";
        let rows: Vec<(i32, i64)> = self.db.read().rows(sql, []).await?;
        rows.into_iter().map(|(kind, id)| item(kind, id)).collect()
    }

    /// Forgets the tombstones of items withdrawn long ago.
    pub(crate) async fn prune_withdrawn(&self, tx: &Tx, before: i64) -> Result<(), DataError> {
        let sql = "DELETE FROM withdrawn WHERE swept = 1 AND at < $1";
        tx.run(sql, values![before]).await.map(drop)
    }

    /// Remembers that a user is gone: no like of theirs is taken any more.
    pub(crate) async fn erase(&self, tx: &Tx, user: i64, now: i64) -> Result<(), DataError> {
        let sql = "INSERT INTO erased (user_id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.run(sql, values![user, now]).await.map(drop)
    }

    /// Removes what likes of a user are left at items that are no more.
    pub(crate) async fn sweep_user(&self, tx: &Tx, user: i64) -> Result<(), DataError> {
        let sql = "DELETE FROM likes WHERE user_id = $1 AND NOT EXISTS (
                       SELECT 1 FROM items i WHERE i.kind = likes.kind AND i.item_id = likes.item_id)";
        tx.run(sql, values![user]).await.map(drop)
    }

    /// Erased users of whom a like is left: one that was under way when they went.
    pub(crate) async fn erased_since(&self, since: i64) -> Result<Vec<i64>, DataError> {
        let sql = "SELECT e.user_id FROM erased e WHERE e.at >= $1 AND EXISTS (
                       SELECT 1 FROM likes l WHERE l.user_id = e.user_id) LIMIT 100";
        let rows: Vec<(i64,)> = self.db.read().rows(sql, values![since]).await?;
        Ok(rows.into_iter().map(|(user,)| user).collect())
    }

    /// Reads items of one kind; those that do not exist are missing. Answers also the epoch of the
    /// slots here at that moment, so that the reader can tell whether they were the ones to read.
    pub(crate) async fn read(
        &self,
        from: &Reader,
        kind: Kind,
        ids: &[i64],
    ) -> Result<(i64, BTreeMap<i64, ItemState>), DataError> {
        let values = values![kind.number(), json(ids.iter().map(|id| [id]))?];
        let rows: Vec<ReadRow> = from.rows(&self.texts.items.read, values).await?;
        let epoch = rows.first().and_then(|row| row.0).unwrap_or_default();
        let found = rows.into_iter().filter_map(|row| {
            let (_, kind, id, owner, category, likes, views, trend, version) = row;
            Some((kind?, id?, owner?, category, likes?, views?, trend?, version?))
        });
        let by_id = |row| item_state(row).map(|(item, state)| (item.id, state));
        Ok((epoch, found.map(by_id).collect::<Result<_, _>>()?))
    }
}
