//! Rankings: walks down an index for all of time, sums of hours for a window.

use contracts::Kind;
use data::{DataError, Sql, Value, values};

use super::{Dialect, Store, json, parsed};
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
}

/// The likes and ids of the top [`DEEPEST`], from the top.
#[derive(Debug)]
pub(crate) struct Depth(Vec<(i64, i64)>);

impl Depth {
    /// The rank that an item with so many likes has; none below the depth.
    #[must_use]
    pub(crate) fn rank(&self, likes: i64, id: i64) -> Option<u64> {
        let above = self.0.partition_point(|place| *place > (likes, id));
        (above < DEEPEST.unsigned_abs() as usize).then_some(above as u64 + 1)
    }
}

pub(super) struct Texts {
    depth: String,
    weights: String,
}

impl Texts {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            depth: dialect.text(
                "SELECT {{pairs:t.likes, t.item_id}} FROM (
                     SELECT likes, item_id FROM items WHERE kind = $1
                     ORDER BY likes DESC, item_id DESC LIMIT $2) AS t",
            ),
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
            None => all_time(question),
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
            "SELECT i.item_id, CAST(t.score AS DOUBLE PRECISION) AS by_score, i.category, i.likes, i.views
             FROM (SELECT a.item_id, CAST({sum} AS BIGINT) AS score FROM activity a {weights}
                   WHERE a.kind = $1 AND a.hour BETWEEN $2 AND $3 GROUP BY a.item_id) AS t
             JOIN items i ON i.kind = $1 AND i.item_id = t.item_id WHERE t.score > 0"
        );
        let mut next = |value: Value| {
            values.push(value);
            values.len()
        };
        if let Some(heading) = &asked.heading {
            sql += &format!(" AND i.heading = ${}", next(heading.clone().into()));
        }
        if let Some(after) = asked.after {
            let (score, id) = (next(whole(after.score).into()), next(after.id.into()));
            sql += &format!(" AND (t.score, i.item_id) < (${score}, ${id})");
        }
        sql += &format!(" ORDER BY t.score DESC, i.item_id DESC LIMIT ${}", next(limit(asked)));
        Ok((sql, values))
    }

    /// The rank of an item with so many likes among all of its kind; none below [`DEEPEST`].
    pub(crate) async fn rank(
        &self,
        kind: Kind,
        likes: i64,
        id: i64,
    ) -> Result<Option<u64>, DataError> {
        let sql = "SELECT COUNT(*) FROM (
                       SELECT 1 AS one FROM items WHERE kind = $1 AND (likes, item_id) > ($2, $3)
                       LIMIT $4) AS above";
        let values = values![kind.number(), likes, id, DEEPEST];
        let above: Option<(i64,)> = self.db.read().row(sql, values).await?;
        Ok(above
            .map(|(above,)| above)
            .filter(|above| *above < DEEPEST)
            .map(|a| a.unsigned_abs() + 1))
    }

    /// The ranks of the top [`DEEPEST`] at once.
    pub(crate) async fn depth(&self, kind: Kind) -> Result<Depth, DataError> {
        let values = values![kind.number(), DEEPEST];
        let text: Option<(String,)> =
            self.db.read().row(&self.texts.rankings.depth, values).await?;
        let mut places: Vec<(i64, i64)> = parsed(text.as_ref().map_or("[]", |(text,)| text))?;
        // Neither engine promises the order in which an aggregate sees its rows.
        places.sort_unstable_by_key(|place| std::cmp::Reverse(*place));
        Ok(Depth(places))
    }
}

fn all_time(asked: &Question) -> (String, Vec<Value>) {
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
        "SELECT i.item_id, CAST(i.{column} AS DOUBLE PRECISION) AS by_score,
                i.category, i.likes, i.views
         FROM items i WHERE i.kind = $1"
    );
    if let Some(heading) = &asked.heading {
        sql += &format!(" AND i.heading = ${}", next(heading.clone().into()));
    }
    if let Some(after) = asked.after {
        let score = match asked.by {
            By::Trending => after.score.into(),
            By::Likes | By::Views => whole(after.score).into(),
        };
        let (score, id) = (next(score), next(after.id.into()));
        sql += &format!(" AND (i.{column}, i.item_id) < (${score}, ${id})");
    }
    sql += &format!(" ORDER BY i.{column} DESC, i.item_id DESC LIMIT ${}", next(limit(asked)));
    (sql, values)
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
