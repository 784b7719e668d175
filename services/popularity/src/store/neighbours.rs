//! Who likes the same, and what else they like: bounded looks along two indexes.

use std::collections::HashMap;

use contracts::Kind;
use data::{DataError, Sql, values};

use super::{Dialect, Store, json, parsed};
use crate::model::similarity::{FANS, HISTORY, SEEDS, Seed};

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

pub(super) struct Texts {
    fans: String,
    histories: String,
    candidates: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
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
                     (SELECT {{array:h.item_id}} FROM (
                          SELECT l.item_id FROM likes l
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
    /// The latest likes of a user, and some of those who like the same.
    pub(crate) async fn seeds(&self, kind: Kind, user: i64) -> Result<Vec<Seed>, DataError> {
        let sql = "SELECT l.item_id, i.likes FROM likes l
                   JOIN items i ON i.kind = l.kind AND i.item_id = l.item_id
                   WHERE l.user_id = $1 AND l.kind = $2
                   ORDER BY l.at DESC, l.item_id DESC LIMIT $3";
        let from = self.db.read();
        let values = values![user, kind.number(), count(SEEDS)];
        let liked: Vec<(i64, i64)> = from.rows(sql, values).await?;
        if liked.is_empty() {
            return Ok(Vec::new());
        }
        let ids = json(liked.iter().map(|(id, _)| [id]))?;
        let values = values![kind.number(), user, count(FANS), ids];
        let rows: Vec<(i64, String, String)> =
            from.rows(&self.texts.neighbours.fans, values).await?;
        let mut fans = HashMap::with_capacity(rows.len());
        for (id, after, before) in rows {
            let mut some: Vec<i64> = parsed(&after)?;
            some.extend(parsed::<Vec<i64>>(&before)?);
            some.truncate(FANS);
            fans.insert(id, some);
        }
        let seed = |(id, likes)| Seed { id, likes, fans: fans.remove(&id).unwrap_or_default() };
        Ok(liked.into_iter().map(seed).collect())
    }

    /// The latest likes of each of these users.
    pub(crate) async fn histories(
        &self,
        kind: Kind,
        users: &[i64],
    ) -> Result<HashMap<i64, Vec<i64>>, DataError> {
        if users.is_empty() {
            return Ok(HashMap::new());
        }
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
