//! Votes and views: the statements of a batch, six of them whatever its size.

use std::collections::{BTreeMap, BTreeSet};

use contracts::Kind;
use data::{DataError, Sql, Tx, values};

use super::slots::written_here;
use super::{Changed, Dialect, ITEM_COLUMNS, ItemRow, Standings, Store, item, item_state, json};
use super::{Elsewhere, shown_here};
use crate::events;
use crate::model::ballot::{self, Before, Changes, Verdict, Vote};
use crate::model::{HOUR_MS, Item, ItemState};

/// What became of a vote that was cast where its item is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cast {
    /// What the voter is told.
    pub verdict: Verdict,
    /// The item after the batch; none if there is no such item.
    pub item: Option<ItemState>,
}

/// What became of views.
#[derive(Debug, Default)]
pub(crate) struct Viewed {
    /// The items as they are now.
    pub items: BTreeMap<Item, ItemState>,
    /// Views of items that are on another shard; nothing became of these.
    pub elsewhere: Vec<(Item, i64)>,
}

pub(super) struct Texts {
    lock_items: String,
    likes_before: String,
    give: String,
    take: String,
    set_likes: String,
    set_views: String,
    add_activity: String,
    likes_of_user: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        let set = |count: &str| {
            dialect.text(&format!(
                "UPDATE items SET {count} = v.{count}, trend = v.trend, version = v.version
                 FROM (SELECT CAST(r.value->>0 AS INTEGER) AS kind,
                              CAST(r.value->>1 AS BIGINT) AS item_id,
                              CAST(r.value->>2 AS BIGINT) AS {count},
                              CAST(r.value->>3 AS DOUBLE PRECISION) AS trend,
                              CAST(r.value->>4 AS BIGINT) AS version
                       FROM {{{{rows:1}}}}) AS v
                 WHERE items.kind = v.kind AND items.item_id = v.item_id"
            ))
        };
        Self {
            lock_items: dialect.text(&format!(
                "SELECT {ITEM_COLUMNS} FROM {{{{rows:1}}}} CROSS JOIN items i
                 WHERE i.kind = CAST(r.value->>0 AS INTEGER)
                   AND i.item_id = CAST(r.value->>1 AS BIGINT)
                 ORDER BY i.kind, i.item_id {{{{lock:i}}}}"
            )),
            // Rows of kind 0 are voters who were erased.
            likes_before: dialect.text(
                "SELECT l.kind, l.item_id, l.user_id, l.at FROM {{rows:1}} CROSS JOIN likes l
                 WHERE l.kind = CAST(r.value->>0 AS INTEGER)
                   AND l.item_id = CAST(r.value->>1 AS BIGINT)
                   AND l.user_id = CAST(r.value->>2 AS BIGINT)
                 UNION ALL
                 SELECT 0, 0, e.user_id, e.at FROM {{rows:2}} CROSS JOIN erased e
                 WHERE e.user_id = CAST(r.value->>0 AS BIGINT)",
            ),
            // No ON CONFLICT: under the item's lock there is none, and if there were, the count
            // would be wrong.
            give: dialect.text(
                "INSERT INTO likes (kind, item_id, user_id, at)
                 SELECT CAST(r.value->>0 AS INTEGER), CAST(r.value->>1 AS BIGINT),
                        CAST(r.value->>2 AS BIGINT), CAST(r.value->>3 AS BIGINT)
                 FROM {{rows:1}}",
            ),
            take: dialect.text(
                "DELETE FROM likes WHERE (kind, item_id, user_id) IN (
                     SELECT CAST(r.value->>0 AS INTEGER), CAST(r.value->>1 AS BIGINT),
                            CAST(r.value->>2 AS BIGINT)
                     FROM {{rows:1}})",
            ),
            set_likes: set("likes"),
            set_views: set("views"),
            add_activity: dialect.text(
                "INSERT INTO activity (kind, hour, item_id, likes, views)
                 SELECT CAST(r.value->>0 AS INTEGER), CAST(r.value->>1 AS BIGINT),
                        CAST(r.value->>2 AS BIGINT), CAST(r.value->>3 AS BIGINT),
                        CAST(r.value->>4 AS BIGINT)
                 FROM {{rows:1}} WHERE true
                 ON CONFLICT (kind, hour, item_id) DO UPDATE
                 SET likes = activity.likes + excluded.likes,
                     views = activity.views + excluded.views",
            ),
            likes_of_user: format!(
                "SELECT t.kind, t.item_id FROM likes t
                 JOIN items i ON i.kind = t.kind AND i.item_id = t.item_id
                 WHERE t.user_id = $1 AND {} ORDER BY t.kind, t.at LIMIT $2",
                shown_here()
            ),
        }
    }
}

/// The rows that a batch changes.
fn changed(changes: &Changes) -> impl Iterator<Item = Changed> + '_ {
    let given = changes.given.iter().map(|(item, user, _)| Changed::Like(*item, *user));
    let taken = changes.taken.iter().map(|(item, user)| Changed::Like(*item, *user));
    let items = changes.items.keys().map(|item| Changed::Item(*item));
    let hours = changes.activity.keys().map(|(item, hour)| Changed::Hour(*item, *hour));
    given.chain(taken).chain(items).chain(hours)
}

/// Which count of an item a batch changes.
#[derive(Clone, Copy)]
enum Count {
    Likes,
    Views,
}

impl Store {
    /// Counts votes in their order; the answers have that order, too. A vote for an item of another
    /// shard is not counted. `now` in milliseconds since 1970 UTC.
    pub(crate) async fn cast(
        &self,
        tx: &Tx,
        votes: Vec<Vote>,
        now: i64,
    ) -> Result<Vec<Result<Cast, Elsewhere>>, DataError> {
        let standings = self.hold(tx).await?;
        let here: Vec<_> = votes.iter().map(|vote| written_here(&standings, vote.item)).collect();
        let all_here = here.iter().all(Result::is_ok);
        let votes = match all_here {
            true => votes,
            false => votes.into_iter().zip(&here).filter_map(|(v, h)| h.ok().map(|()| v)).collect(),
        };
        let cast = self.count(tx, &standings, &votes, now).await?;
        if all_here {
            return Ok(cast.into_iter().map(Ok).collect());
        }
        let mut cast = cast.into_iter();
        Ok(here.into_iter().map(|here| here.and_then(|()| cast.next().ok_or(Elsewhere))).collect())
    }

    async fn count(
        &self,
        tx: &Tx,
        standings: &Standings,
        votes: &[Vote],
        now: i64,
    ) -> Result<Vec<Cast>, DataError> {
        if votes.is_empty() {
            return Ok(Vec::new());
        }
        let mut before = Before {
            items: self.locked(tx, votes.iter().map(|vote| vote.item)).await?,
            ..Before::default()
        };
        self.read_likes(tx, votes, &mut before).await?;
        let (verdicts, changes) = ballot::count(votes, &before, now);
        self.write(tx, standings, &changes, Count::Likes).await?;
        let after = |item| changes.items.get(&item).or_else(|| before.items.get(&item)).cloned();
        let item = |(verdict, vote): (_, &Vote)| Cast { verdict, item: after(vote.item) };
        Ok(verdicts.into_iter().zip(votes).map(item).collect())
    }

    /// Adds views made about `now`; items that are no more are left out.
    pub(crate) async fn add_views(
        &self,
        tx: &Tx,
        views: Vec<(Item, i64)>,
        now: i64,
    ) -> Result<Viewed, DataError> {
        let standings = self.hold(tx).await?;
        let (views, elsewhere): (Vec<_>, Vec<_>) =
            views.into_iter().partition(|(item, _)| written_here(&standings, *item).is_ok());
        let before = self.locked(tx, views.iter().map(|(item, _)| *item)).await?;
        let mut changes = Changes::default();
        for (item, views) in views {
            if let Some(state) = before.get(&item) {
                changes.add_views(item, state, views, now);
            }
        }
        self.write(tx, &standings, &changes, Count::Views).await?;
        Ok(Viewed { items: changes.items, elsewhere })
    }

    /// Takes back up to `most` likes of a user; answers how many there were. To be repeated until
    /// there are none. [`DataError::Busy`] while one of them is about to move.
    pub(crate) async fn take_back(
        &self,
        tx: &Tx,
        user: i64,
        most: i64,
        now: i64,
    ) -> Result<usize, DataError> {
        let text = &self.texts.votes.likes_of_user;
        let rows: Vec<(i32, i64)> = tx.rows(text, values![user, most]).await?;
        let vote = |(kind, id)| Ok(Vote { item: item(kind, id)?, user, like: false, at: now });
        let votes = rows.into_iter().map(vote).collect::<Result<Vec<_>, DataError>>()?;
        let many = votes.len();
        let cast = self.cast(tx, votes, now).await?;
        if cast.iter().any(Result::is_err) {
            return Err(DataError::Busy);
        }
        Ok(many)
    }

    /// Locks items in their order and reads them.
    async fn locked(
        &self,
        tx: &Tx,
        items: impl Iterator<Item = Item>,
    ) -> Result<BTreeMap<Item, ItemState>, DataError> {
        let items: BTreeSet<Item> = items.collect();
        let rows = json(items.iter().map(|item| (item.kind.number(), item.id)))?;
        let rows: Vec<ItemRow> = tx.rows(&self.texts.votes.lock_items, values![rows]).await?;
        rows.into_iter().map(item_state).collect()
    }

    async fn read_likes(
        &self,
        tx: &Tx,
        votes: &[Vote],
        before: &mut Before,
    ) -> Result<(), DataError> {
        let pairs: BTreeSet<(i32, i64, i64)> =
            votes.iter().map(|v| (v.item.kind.number(), v.item.id, v.user)).collect();
        let users: BTreeSet<[i64; 1]> = votes.iter().map(|vote| [vote.user]).collect();
        let values = values![json(pairs)?, json(users)?];
        let rows: Vec<(i32, i64, i64, i64)> =
            tx.rows(&self.texts.votes.likes_before, values).await?;
        for (kind, id, user, at) in rows {
            if kind == 0 {
                before.erased.insert(user);
            } else {
                before.likes.insert((item(kind, id)?, user), at);
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        tx: &Tx,
        standings: &Standings,
        changes: &Changes,
        count: Count,
    ) -> Result<(), DataError> {
        if changes.is_empty() {
            return Ok(());
        }
        let texts = &self.texts.votes;
        let kind = Kind::number;
        if !changes.taken.is_empty() {
            let rows = changes.taken.iter().map(|(item, user)| (kind(item.kind), item.id, user));
            tx.run(&texts.take, values![json(rows)?]).await?;
        }
        if !changes.given.is_empty() {
            let rows = changes.given.iter();
            let rows = rows.map(|(item, user, at)| (kind(item.kind), item.id, user, at));
            tx.run(&texts.give, values![json(rows)?]).await?;
        }
        let rows = changes.items.iter().map(|(item, state)| {
            let count = match count {
                Count::Likes => state.likes,
                Count::Views => state.views,
            };
            (kind(item.kind), item.id, count, state.trend.stored(), state.version)
        });
        let text = match count {
            Count::Likes => &texts.set_likes,
            Count::Views => &texts.set_views,
        };
        tx.run(text, values![json(rows)?]).await?;
        let rows = changes.activity.iter().map(|((item, hour), activity)| {
            (kind(item.kind), hour, item.id, activity.likes, activity.views)
        });
        tx.run(&texts.add_activity, values![json(rows)?]).await?;
        self.note(tx, standings, changed(changes)).await?;
        events::emit_changed(tx, &changes.items).await
    }

    /// Forgets hours that no window reaches any more, one hour of one kind at a time; answers
    /// whether there may be more.
    pub(crate) async fn prune_activity(&self, tx: &Tx, now: i64) -> Result<bool, DataError> {
        let cutoff = now.div_euclid(HOUR_MS) - crate::model::RETENTION_HOURS;
        for kind in Kind::ALL {
            let sql = "SELECT MIN(hour) FROM activity WHERE kind = $1";
            let oldest: Option<(Option<i64>,)> = tx.row(sql, values![kind.number()]).await?;
            if let Some((Some(hour),)) = oldest
                && hour < cutoff
            {
                let sql = "DELETE FROM activity WHERE kind = $1 AND hour = $2";
                tx.run(sql, values![kind.number(), hour]).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
