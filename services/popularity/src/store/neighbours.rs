//! Who likes the same, and what else they like: bounded looks along two indexes.

use std::collections::HashMap;

use contracts::Kind;
use data::{DataError, Sql, values};

use super::{Dialect, Store, json, parsed, shown_here};
use crate::model::similarity::{FANS, HISTORY, SEEDS};

/// Something that could be recommended: the person neither owns nor likes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Which item.
    pub id: i64,
    /// Under which heading.
    pub category: Option<String>,
    /// Likes in all.
    pub likes: i64,
    /// Views in all.
    pub views: i64,
}

/// Something that a person likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Liked {
    /// Since when.
    pub at: i64,
    /// Which item.
    pub id: i64,
    /// Likes in all.
    pub likes: i64,
}

/// Some of those who like an item: for each.
pub(crate) type Fans = HashMap<i64, Vec<i64>>;

pub(super) struct Texts {
    liked: String,
    fans: String,
    histories: String,
    candidates: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            liked: format!(
                "SELECT t.at, t.item_id, i.likes FROM likes t
                 JOIN items i ON i.kind = t.kind AND i.item_id = t.item_id
                 WHERE t.user_id = $1 AND t.kind = $2 AND {}
                 ORDER BY t.at DESC, t.item_id DESC LIMIT $3",
                shown_here()
            ),
            // The fans whose ids follow the person's, and from the beginning if these are few:
            // everybody sees another part of a large crowd, and always the same one.
            fans: dialect.text(
                "SELECT t.item_id,
                     (SELECT {{array:f.user_id}} FROM (
                          SELECT l.user_id FROM likes l
                          WHERE l.kind = $1 AND l.item_id = t.item_id AND l.user_id > $2
                          ORDER BY l.user_id LIMIT $3) AS f),
                     (SELECT {{array:f.user_id}} FROM (
                          SELECT l.user_id FROM likes l
                          WHERE l.kind = $1 AND l.item_id = t.item_id AND l.user_id < $2
                          ORDER BY l.user_id LIMIT $3) AS f)
                 FROM (SELECT CAST(r.value->>0 AS BIGINT) AS item_id FROM {{rows:4}}) AS t",
            ),
            histories: dialect.text(
                "SELECT t.user_id,
                     (SELECT {{pairs:h.at, h.item_id}} FROM (
                          SELECT l.at, l.item_id FROM likes l
                          WHERE l.user_id = t.user_id AND l.kind = $1
                          ORDER BY l.at DESC LIMIT $2) AS h)
                 FROM (SELECT CAST(r.value->>0 AS BIGINT) AS user_id FROM {{rows:3}}) AS t",
            ),
            candidates: dialect.text(
                "SELECT i.item_id, i.category, i.likes, i.views
                 FROM {{rows:3}} CROSS JOIN items i
                 WHERE i.kind = $1 AND i.item_id = CAST(r.value->>0 AS BIGINT) AND i.owner <> $2
                   AND NOT EXISTS (SELECT 1 FROM likes l WHERE l.kind = i.kind
                                     AND l.item_id = i.item_id AND l.user_id = $2)",
            ),
        }
    }
}

impl Store {
    /// The latest likes of a user here, the latest first.
    pub(crate) async fn liked(&self, kind: Kind, user: i64) -> Result<Vec<Liked>, DataError> {
        let values = values![user, kind.number(), count(SEEDS)];
        let rows: Vec<(i64, i64, i64)> =
            self.db.read().rows(&self.texts.neighbours.liked, values).await?;
        Ok(rows.into_iter().map(|(at, id, likes)| Liked { at, id, likes }).collect())
    }

    /// Some of those who like each of these items, without the user.
    pub(crate) async fn fans(&self, kind: Kind, user: i64, ids: &[i64]) -> Result<Fans, DataError> {
        let ids = json(ids.iter().map(|id| [id]))?;
        let values = values![kind.number(), user, count(FANS), ids];
        let rows: Vec<(i64, String, String)> =
            self.db.read().rows(&self.texts.neighbours.fans, values).await?;
        let fans = |(id, after, before): (i64, String, String)| {
            let mut some: Vec<i64> = parsed(&after)?;
            some.extend(parsed::<Vec<i64>>(&before)?);
            some.truncate(FANS);
            Ok((id, some))
        };
        rows.into_iter().map(fans).collect()
    }

    /// The latest likes of each of these users here: since when, and which item.
    pub(crate) async fn histories(
        &self,
        kind: Kind,
        users: &[i64],
    ) -> Result<HashMap<i64, Vec<(i64, i64)>>, DataError> {
        let ids = json(users.iter().map(|user| [user]))?;
        let values = values![kind.number(), count(HISTORY), ids];
        let rows: Vec<(i64, String)> =
            self.db.read().rows(&self.texts.neighbours.histories, values).await?;
        rows.into_iter().map(|(user, liked)| Ok((user, parsed(&liked)?))).collect()
    }

    /// Those of the items that exist and that the user neither owns nor likes, in any order.
    pub(crate) async fn candidates(
        &self,
        kind: Kind,
        user: i64,
        ids: impl Iterator<Item = i64>,
    ) -> Result<Vec<Candidate>, DataError> {
        let values = values![kind.number(), user, json(ids.map(|id| [id]))?];
        let rows: Vec<(i64, Option<String>, i64, i64)> =
            self.db.read().rows(&self.texts.neighbours.candidates, values).await?;
        let candidate = |(id, category, likes, views)| Candidate { id, category, likes, views };
        Ok(rows.into_iter().map(candidate).collect())
    }
}

fn count(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
