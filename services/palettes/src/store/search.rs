//! The list of palettes: filters, and pages by id, which grows with time.
//!
//! A search near a colour reads, of each cell that the colour's ball touches, only
//! the newest palettes it needs for the page: the cells are clustered by palette, so
//! that each is read from its newest end until it has given enough. A text is searched
//! for palette by palette, newest first, until the page is full.

use std::fmt::Write as _;

use contracts::ids::{PaletteId, UserId};
use data::Value;

use super::near;
use super::rows::COLUMNS;
use crate::model::{Color, NEAR, Oklab, fold};

/// Which palettes to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Whose.
    pub(crate) user: Option<UserId>,
    /// Of this category, compared folded.
    pub(crate) category: Option<String>,
    /// With this text in the name or category, compared folded.
    pub(crate) text: Option<String>,
    /// With a colour within [`NEAR`] of this one.
    pub(crate) near: Option<Color>,
}

/// The statement that lists a page, and its values. There are few different texts.
pub(super) fn statement(
    filter: &Filter,
    before: Option<PaletteId>,
    limit: u64,
) -> (String, Vec<Value>) {
    let mut values = Values::default();
    let limit = values.bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut conditions = String::from("p.visible");
    let mut and = |condition: String| {
        conditions.push_str(" AND ");
        conditions.push_str(&condition);
    };
    if let Some(before) = before {
        and(format!("p.id < {}", values.bind(before.get())));
    }
    if let Some(user) = filter.user {
        and(format!("p.user_id = {}", values.bind(user.get())));
    }
    if let Some(category) = &filter.category {
        and(format!("p.category_key = {}", values.bind(fold(category))));
    }
    if let Some(text) = &filter.text {
        and(format!("p.search LIKE {} ESCAPE '\\'", values.bind(contains(&fold(text)))));
    }
    let mut with = String::new();
    if let Some(color) = filter.near {
        let ball = Ball::around(color.into(), &mut values);
        if filter.user.is_some() {
            // One user's palettes are few: quicker to look at each of them.
            let near = ball.holds("c.palette_id = p.id");
            conditions
                .push_str(&format!(" AND EXISTS (SELECT 1 FROM palette_colors c WHERE {near})"));
        } else {
            (with, conditions) = newest_of_each_cell(&ball, &conditions, &limit, &mut values);
        }
    }
    let sql = format!(
        "{with}SELECT {COLUMNS} FROM palettes p WHERE {conditions} ORDER BY p.id DESC LIMIT {limit}"
    );
    (sql, values.0)
}

/// What lies within [`NEAR`] of a colour, with its coordinates as places of values.
struct Ball {
    center: Oklab,
    places: [String; 3],
    radius_squared: String,
}

impl Ball {
    fn around(center: Oklab, values: &mut Values) -> Self {
        let places = [center.l, center.a, center.b].map(|coordinate| values.bind(coordinate));
        Self { center, places, radius_squared: values.bind(NEAR * NEAR) }
    }

    /// The condition that a row `c` of the colours is one of `rows` and lies in the ball.
    fn holds(&self, rows: &str) -> String {
        let [l, a, b] = &self.places;
        let radius = &self.radius_squared;
        format!(
            "{rows} AND (c.l - {l}) * (c.l - {l}) + (c.a - {a}) * (c.a - {a}) \
             + (c.b - {b}) * (c.b - {b}) <= {radius}"
        )
    }
}

/// For each cell the newest palettes, as many as a page has, that pass the conditions and have a
/// colour of that cell in the ball. The cell of the ball's centre comes first: if it fills the
/// page, the others are read only as far back as that reaches. Answers the statement's beginning
/// and its condition.
fn newest_of_each_cell(
    ball: &Ball,
    conditions: &str,
    limit: &str,
    values: &mut Values,
) -> (String, String) {
    let own = near::cell(ball.center);
    let mut newest = |cell: i64, least: &str| {
        let near = ball.holds(&format!("c.cell = {}", values.bind(cell)));
        format!(
            "SELECT DISTINCT c.palette_id FROM palette_colors c \
             JOIN palettes p ON p.id = c.palette_id WHERE {near}{least} AND {conditions} \
             ORDER BY c.palette_id DESC LIMIT {limit}"
        )
    };
    let with = format!(
        "WITH own AS ({}), least AS (SELECT CASE WHEN COUNT(*) >= {limit} \
         THEN MIN(palette_id) ELSE 0 END AS id FROM own) ",
        newest(own, "")
    );
    let mut found = String::from("SELECT palette_id FROM own");
    let others = near::cells(ball.center, NEAR).into_iter().filter(|cell| *cell != own);
    for (at, cell) in others.enumerate() {
        let newest = newest(cell, " AND c.palette_id >= (SELECT id FROM least)");
        // Writing to a string cannot fail.
        let _ = write!(found, " UNION SELECT palette_id FROM ({newest}) AS cell{at}");
    }
    (with, format!("p.id IN ({found})"))
}

/// A LIKE pattern for "has this text somewhere in it", with `\` as the escape.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Collects values and hands out their places.
#[derive(Default)]
struct Values(Vec<Value>);

impl Values {
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("${}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_every_character_for_itself() {
        assert_eq!(contains(r"50%_\'"), r"%50\%\_\\'%");
    }

    #[test]
    fn what_is_asked_for_never_becomes_part_of_the_statement() {
        let hostile = "'; DROP TABLE palettes; --".to_owned();
        let filter =
            Filter { category: Some(hostile.clone()), text: Some(hostile), ..Filter::default() };
        let (sql, values) = statement(&filter, Some(7.into()), 20);
        assert!(!sql.contains("DROP"));
        assert_eq!(values.len(), 4);
    }
}
