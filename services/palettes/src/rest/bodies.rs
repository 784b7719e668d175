//! The bodies that clients send, and what they mean.

use contracts::ids::UserId;
use rest::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::model::{
    Change, Draft, Invalid, MAX_CATEGORY_CHARS, MAX_NAME_CHARS, parse_colors, present, tidy,
};

/// A palette to be created.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewPalette {
    /// Your own id, if given.
    pub(super) user_id: Option<UserId>,
    /// 1 to 64 colours: `#RGB`, `#RRGGBB` or `#RRGGBBAA`.
    #[schema(example = json!(["#e63946", "#FFF"]))]
    color_codes: Vec<String>,
    /// At most 50 characters.
    category: Option<String>,
    /// At most 100 characters.
    name: Option<String>,
}

/// What to change of a palette; what is left out stays, `null` takes a name or category away.
#[derive(Deserialize, ToSchema)]
pub(super) struct PaletteChange {
    /// Your own id, if given.
    pub(super) user_id: Option<UserId>,
    /// 1 to 64 colours: `#RGB`, `#RRGGBB` or `#RRGGBBAA`.
    color_codes: Option<Vec<String>>,
    /// At most 50 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    category: Option<Option<String>>,
    /// At most 100 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
}

impl NewPalette {
    /// The palette it asks for; 422 with everything that is wrong.
    pub(super) fn draft(self) -> Result<Draft, Problem> {
        let mut wrong = Vec::new();
        let colors = sort(parse_colors(&self.color_codes), &mut wrong);
        let category = text("category", self.category, MAX_CATEGORY_CHARS, &mut wrong);
        let name = text("name", self.name, MAX_NAME_CHARS, &mut wrong);
        refuse(wrong)?;
        Ok(Draft { colors, category, name })
    }
}

impl PaletteChange {
    /// The change it asks for; 422 with everything that is wrong.
    pub(super) fn change(self) -> Result<Change, Problem> {
        let mut wrong = Vec::new();
        let colors = self.color_codes.map(|codes| sort(parse_colors(&codes), &mut wrong));
        let category = self
            .category
            .map(|category| text("category", category, MAX_CATEGORY_CHARS, &mut wrong));
        let name = self.name.map(|name| text("name", name, MAX_NAME_CHARS, &mut wrong));
        refuse(wrong)?;
        Ok(Change { colors, category, name })
    }
}

fn sort<T: Default>(parsed: Result<T, Vec<Invalid>>, wrong: &mut Vec<Invalid>) -> T {
    parsed.unwrap_or_else(|errors| {
        wrong.extend(errors);
        T::default()
    })
}

fn text(
    field: &str,
    text: Option<String>,
    most: usize,
    wrong: &mut Vec<Invalid>,
) -> Option<String> {
    let tidied = tidy(field, text.as_deref().unwrap_or_default(), most);
    sort(tidied.map_err(|error| vec![error]), wrong)
}

/// 422 if anything is wrong; the detail tells of the first.
fn refuse(wrong: Vec<Invalid>) -> Result<(), Problem> {
    let Some(first) = wrong.first() else { return Ok(()) };
    let problem = Problem::invalid(format!("{} {}", first.field, first.reason));
    Err(wrong
        .into_iter()
        .fold(problem, |problem, error| problem.with_field(error.field, error.reason)))
}
