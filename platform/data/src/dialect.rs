//! The few words in which the engines differ, for statements that take a batch.
//!
//! A batch travels as one JSON parameter, so that each statement's text is always the same (it is
//! prepared once) and there are as many statements for a thousand rows as for one.

use serde::Serialize;

use crate::{DataError, Engine};

/// Writes statements in the words of one engine.
#[derive(Clone, Copy, Debug)]
pub struct Dialect(Engine);

impl Dialect {
    /// That of `engine`.
    #[must_use]
    pub const fn of(engine: Engine) -> Self {
        Self(engine)
    }

    /// A statement for this engine: `{{rows:N}}` is the table `r` whose one column `value` holds
    /// the elements of the JSON array `$N`; `{{lock:T}}` locks the rows of `T`, `{{share:T}}` keeps
    /// them from being changed; `{{array:X}}` gathers the values of `X` into a JSON text,
    /// `{{pairs:X,Y}}` those of two columns.
    #[must_use]
    pub fn text(self, template: &str) -> String {
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let (word, after) = after.split_once("}}").unwrap_or((after, ""));
            text.push_str(before);
            text.push_str(&self.word(word));
            rest = after;
        }
        text.push_str(rest);
        text
    }

    fn word(self, word: &str) -> String {
        let (word, argument) = word.split_once(':').unwrap_or((word, ""));
        match (word, self.0) {
            ("rows", Engine::Sqlite) => format!("json_each(${argument}) AS r"),
            ("rows", Engine::Postgres) => {
                format!("json_array_elements(CAST(${argument} AS JSON)) AS r(value)")
            }
            ("lock", Engine::Postgres) => format!("FOR UPDATE OF {argument}"),
            ("share", Engine::Postgres) => format!("FOR SHARE OF {argument}"),
            ("array", Engine::Sqlite) => format!("json_group_array({argument})"),
            ("array", Engine::Postgres) => {
                format!("CAST(COALESCE(json_agg({argument}), '[]') AS TEXT)")
            }
            ("pairs", Engine::Sqlite) => format!("json_group_array(json_array({argument}))"),
            ("pairs", Engine::Postgres) => {
                format!("CAST(COALESCE(json_agg(json_build_array({argument})), '[]') AS TEXT)")
            }
            _ => String::new(),
        }
    }
}

/// Rows as the JSON array that `{{rows:N}}` reads.
///
/// # Errors
/// When a row cannot be written as JSON.
pub fn json_rows<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<String, DataError> {
    let rows: Vec<T> = rows.into_iter().collect();
    serde_json::to_string(&rows).map_err(DataError::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_become_the_engine_s_words() {
        let template = "SELECT {{array:x}} FROM {{rows:2}} WHERE true {{lock:i}}";
        assert_eq!(
            Dialect(Engine::Sqlite).text(template),
            "SELECT json_group_array(x) FROM json_each($2) AS r WHERE true "
        );
        assert!(
            Dialect(Engine::Postgres)
                .text(template)
                .ends_with("AS r(value) WHERE true FOR UPDATE OF i")
        );
        assert_eq!(Dialect(Engine::Sqlite).text("{{share:i}}"), "");
        assert_eq!(Dialect(Engine::Postgres).text("{{share:i}}"), "FOR SHARE OF i");
    }
}
