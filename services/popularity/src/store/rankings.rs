//! Rankings: walks down an index for all of time, sums of hours for a window.

use contracts::Kind;
use data::{DataError, Sql, Value, values};

use super::{Dialect, Store, json, parsed, shown_here};
use crate::model::decay::{LIKE, VIEW, weight_of_hour};
use crate::model::hour_of;
use crate::model::ranking::{By, Cursor, Ranked, Window};

/// Below this place nobody is told their rank.
pub(crate) const DEEPEST: i64 = 10_000;

/// Sums of weights are compared and kept as whole millionths, so that pages fit together.
const MILLIONTHS: f64 = 1e6;

/// What is asked of a ranking.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    /// Of what.
    pub kind: Kind,
    /// Under one heading only, folded.
    pub heading: Option<String>,
    /// Over which time.
    pub window: Window,
    /// By what.
    pub by: By,
    /// Below which place.
    pub after: Option<Cursor>,
    /// How many.
    pub limit: u64,
    /// As of when, in milliseconds since 1970 UTC.
    pub as_of: i64,
    /// Whether rows have to be looked at one by one for whether they are to be shown here.
    pub sift: bool,
}

/// The likes and ids of the top [`DEEPEST`], from the top.
#[derive(Debug)]
pub(crate) struct Depth(Vec<(i64, i64)>);

impl Depth {
    /// The top of what several shards have, each item once.
    #[must_use]
    pub(crate) fn merged(mut places: Vec<(i64, i64)>) -> Self {
        // Neither engine promises the order in which an aggregate sees its rows.
        places.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
        places.dedup_by_key(|place| place.1);
        places.truncate(DEEPEST.unsigned_abs() as usize);
        Self(places)
    }

    /// The rank that an item with so many likes has; none below the depth.
    #[must_use]
    pub(crate) fn rank(&self, likes: i64, id: i64) -> Option<u64> {
        let above = self.0.partition_point(|place| *place > (likes, id));
        (above < DEEPEST.unsigned_abs() as usize).then_some(above as u64 + 1)
    }
}

pub(super) struct Texts {
    depth: String,
    depth_sifted: String,
    rank: String,
    rank_sifted: String,
    weights: String,
    /// ` AND …`: a row of `t` is to be shown here.
    sift: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        let sift = format!(" AND {}", shown_here());
        let depth = |sift: &str| {
            dialect.text(&format!(
                "SELECT {{{{pairs:d.likes, d.item_id}}}} FROM (
                     SELECT t.likes, t.item_id FROM items t WHERE t.kind = $1{sift}
                     ORDER BY t.likes DESC, t.item_id DESC LIMIT $2) AS d"
            ))
        };
        let rank = |sift: &str| {
            format!(
                "SELECT COUNT(*) FROM (
                     SELECT 1 AS one FROM items t
                     WHERE t.kind = $1 AND (t.likes, t.item_id) > ($2, $3){sift} LIMIT $4) AS above"
            )
        };
        Self {
            depth: depth(""),
            depth_sifted: depth(&sift),
            rank: rank(""),
            rank_sifted: rank(&sift),
            sift,
            weights: dialect.text(
                "SELECT CAST(r.value->>0 AS BIGINT) AS hour,
                        CAST(r.value->>1 AS DOUBLE PRECISION) AS weight FROM {{rows:4}}",
            ),
        }
    }
}

impl Store {
    /// A page of a ranking, from the top or below a place.
    pub(crate) async fn ranking(&self, question: &Question) -> Result<Vec<Ranked>, DataError> {
        let (sql, values) = match question.window.first_hour(question.as_of) {
            None => self.all_time(question),
            Some(first) => self.windowed(question, first)?,
        };
        let rows: Vec<(i64, f64, Option<String>, i64, i64)> =
            self.db.read().rows(&sql, values).await?;
        let above = question.after.map_or(0, |cursor| cursor.rank);
        let ranked = |(rank, (id, score, category, likes, views))| Ranked {
            id,
            rank,
            score,
            category,
            likes,
            views,
        };
        Ok((above + 1..).zip(rows).map(ranked).collect())
    }

    fn windowed(&self, asked: &Question, first: i64) -> Result<(String, Vec<Value>), DataError> {
        let last = hour_of(asked.as_of);
        let mut values = values![asked.kind.number(), first, last];
        let (sum, weights) = match asked.by {
            By::Likes => ("SUM(a.likes)".to_owned(), String::new()),
            By::Views => ("SUM(a.views)".to_owned(), String::new()),
            By::Trending => {
                let weight = |hour| (hour, weight_of_hour(hour, last) * MILLIONTHS);
                values.push(json((first..=last).map(weight))?.into());
                let sum =
                    format!("ROUND(SUM((a.likes * {LIKE:?} + a.views * {VIEW:?}) * w.weight))");
                (sum, format!("JOIN ({}) AS w ON w.hour = a.hour", self.texts.rankings.weights))
            }
        };
        let mut sql = format!(
            "SELECT t.item_id, CAST(u.score AS DOUBLE PRECISION) AS by_score, t.category, t.likes, t.views
             FROM (SELECT a.item_id, CAST({sum} AS BIGINT) AS score FROM activity a {weights}
                   WHERE a.kind = $1 AND a.hour BETWEEN $2 AND $3 GROUP BY a.item_id) AS u
             JOIN items t ON t.kind = $1 AND t.item_id = u.item_id WHERE u.score > 0"
        );
        let mut next = |value: Value| {
            values.push(value);
            values.len()
        };
        if let Some(heading) = &asked.heading {
            sql += &format!(" AND t.heading = ${}", next(heading.clone().into()));
        }
        if asked.sift {
            sql += &self.texts.rankings.sift;
        }
        if let Some(after) = asked.after {
            let (score, id) = (next(whole(after.score).into()), next(after.id.into()));
            sql += &format!(" AND (u.score, t.item_id) < (${score}, ${id})");
        }
        sql += &format!(" ORDER BY u.score DESC, t.item_id DESC LIMIT ${}", next(limit(asked)));
        Ok((sql, values))
    }

    /// Along an index.
    fn all_time(&self, asked: &Question) -> (String, Vec<Value>) {
        let column = match asked.by {
            By::Likes => "likes",
            By::Views => "views",
            By::Trending => "trend",
        };
        let mut values = values![asked.kind.number()];
        let mut next = |value: Value| {
            values.push(value);
            values.len()
        };
        let mut sql = format!(
            "SELECT t.item_id, CAST(t.{column} AS DOUBLE PRECISION) AS by_score,
                    t.category, t.likes, t.views
             FROM items t WHERE t.kind = $1"
        );
        if let Some(heading) = &asked.heading {
            sql += &format!(" AND t.heading = ${}", next(heading.clone().into()));
        }
        if asked.sift {
            sql += &self.texts.rankings.sift;
        }
        if let Some(after) = asked.after {
            let score = match asked.by {
                By::Trending => after.score.into(),
                By::Likes | By::Views => whole(after.score).into(),
            };
            let (score, id) = (next(score), next(after.id.into()));
            sql += &format!(" AND (t.{column}, t.item_id) < (${score}, ${id})");
        }
        sql += &format!(" ORDER BY t.{column} DESC, t.item_id DESC LIMIT ${}", next(limit(asked)));
        (sql, values)
    }

    /// How many of a kind stand above an item with so many likes, up to [`DEEPEST`].
    pub(crate) async fn above(
        &self,
        kind: Kind,
        likes: i64,
        id: i64,
        sift: bool,
    ) -> Result<i64, DataError> {
        let texts = &self.texts.rankings;
        let sql = if sift { &texts.rank_sifted } else { &texts.rank };
        let values = values![kind.number(), likes, id, DEEPEST];
        let above: Option<(i64,)> = self.db.read().row(sql, values).await?;
        Ok(above.map_or(0, |(above,)| above))
    }

    /// The likes and ids of the top [`DEEPEST`] here, in any order.
    pub(crate) async fn top(&self, kind: Kind, sift: bool) -> Result<Vec<(i64, i64)>, DataError> {
        let texts = &self.texts.rankings;
        let sql = if sift { &texts.depth_sifted } else { &texts.depth };
        let values = values![kind.number(), DEEPEST];
        let text: Option<(String,)> = self.db.read().row(sql, values).await?;
        parsed(text.as_ref().map_or("[]", |(text,)| text))
    }
}

fn limit(asked: &Question) -> Value {
    i64::try_from(asked.limit).unwrap_or(i64::MAX).into()
}

/// A score that was a count; cursors are held to what a double holds exactly.
#[allow(clippy::cast_possible_truncation)]
fn whole(score: f64) -> i64 {
    score as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_end_at_the_depth() {
        let depth = Depth((0..DEEPEST).rev().map(|likes| (likes, 7)).collect());
        assert_eq!(depth.rank(DEEPEST - 1, 7), Some(1));
        assert_eq!(depth.rank(DEEPEST - 1, 6), Some(2), "the newer of equals comes first");
        assert_eq!(depth.rank(0, 7), Some(10_000));
        assert_eq!(depth.rank(0, 6), None);
    }
}
