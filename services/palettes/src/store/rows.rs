//! A row of `palettes`.

use data::sea_orm;
use data::{DataError, FromQueryResult};

use crate::model::{Color, ColorError, Palette};

/// The columns a [`Row`] has.
pub(super) const COLUMNS: &str =
    "id, user_id, color_codes, category, name, created_at, updated_at, version";

#[derive(FromQueryResult)]
pub(super) struct Row {
    id: i64,
    user_id: i64,
    color_codes: String,
    category: Option<String>,
    name: Option<String>,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

impl TryFrom<Row> for Palette {
    type Error = DataError;

    fn try_from(row: Row) -> Result<Self, DataError> {
        let colors: Result<Vec<Color>, ColorError> =
            row.color_codes.split(' ').map(str::parse).collect();
        let colors = colors.map_err(|_| {
            DataError::Other(format!("palette {} has a colour that is none", row.id))
        })?;
        Ok(Self {
            id: row.id.into(),
            user: row.user_id.into(),
            colors,
            category: row.category,
            name: row.name,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        })
    }
}

/// Colours as the column holds them.
pub(super) fn written(colors: &[Color]) -> String {
    colors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
