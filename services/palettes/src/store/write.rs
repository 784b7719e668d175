//! What changes the tables: each function is part of somebody's transaction.
//!
//! A function that refuses may have written already: the transaction must end
//! without being kept, as it does when its closure answers with an error.

use std::fmt::Write as _;

use contracts::ids::{PaletteId, UserId};
use data::{DataError, Sql, Tx, Value, values};
use http::StatusCode;
use rest::Problem;
use saga::StepError;

use super::near;
use super::rows::{COLUMNS, Row, written};
use crate::model::{Change, Color, Draft, Oklab, Palette, fold};

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// There is none with this id.
    #[error("there is no such palette")]
    Absent,
    /// It is somebody else's.
    #[error("this palette is not yours")]
    Foreign,
    /// It has changed since the caller saw it.
    #[error("the palette has changed in the meantime")]
    Changed,
    /// The account is gone.
    #[error("the account was deleted")]
    Erased,
    /// The database failed.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Absent => Self::not_found(error.to_string()),
            WriteError::Foreign => Self::forbidden(error.to_string()),
            WriteError::Changed => Self::new(StatusCode::PRECONDITION_FAILED, error.to_string()),
            WriteError::Erased => Self::unauthorized(),
            WriteError::Data(error) => error.into(),
        }
    }
}

impl From<WriteError> for StepError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Data(error) => error.into(),
            refused => Self::Undo(refused.into()),
        }
    }
}

/// Inserts a palette that nobody sees yet.
pub(crate) async fn insert_hidden(
    tx: &Tx,
    user: UserId,
    draft: Draft,
    now: i64,
) -> Result<Palette, WriteError> {
    if is_erased(tx, user).await? {
        return Err(WriteError::Erased);
    }
    let sql = "INSERT INTO palettes (user_id, color_codes, category, category_key, name, search, created_at, updated_at, version, visible) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 1, FALSE) RETURNING id";
    let Draft { colors, category, name } = draft;
    let (key, search) = keys(category.as_deref(), name.as_deref());
    let values =
        values![user.get(), written(&colors), category.clone(), key, name.clone(), search, now];
    let (id,) = tx
        .row::<(i64,)>(sql, values)
        .await?
        .ok_or_else(|| DataError::other("an INSERT gave no id"))?;
    insert_colors(tx, id.into(), &colors).await?;
    Ok(Palette {
        id: id.into(),
        user,
        colors,
        category,
        name,
        created_at: now,
        updated_at: now,
        version: 1,
    })
}

/// Lets a hidden palette be seen, unless its owner has gone in the meantime.
pub(crate) async fn publish(tx: &Tx, palette: &Palette) -> Result<(), WriteError> {
    if is_erased(tx, palette.user).await? {
        return Err(WriteError::Erased);
    }
    let sql = "UPDATE palettes SET visible = TRUE WHERE id = $1";
    // It can only be gone because the erasure of its owner was quicker.
    let shown = tx.run(sql, values![palette.id.get()]).await?;
    if shown == 1 { Ok(()) } else { Err(WriteError::Erased) }
}

/// Takes a palette away that was never seen.
pub(crate) async fn discard(tx: &Tx, id: PaletteId) -> Result<(), DataError> {
    tx.run("DELETE FROM palettes WHERE id = $1 AND NOT visible", values![id.get()]).await?;
    delete_colors(tx, id).await
}

/// Changes a palette of `user`'s, if it still has the version that `seen` names.
pub(crate) async fn change(
    tx: &Tx,
    id: PaletteId,
    user: UserId,
    seen: Option<i64>,
    change: Change,
    now: i64,
) -> Result<Palette, WriteError> {
    // First the count, which locks the row: of two changes at once, the second sees the first.
    let lock = format!(
        "UPDATE palettes SET version = version + 1 WHERE id = $1 AND visible RETURNING {COLUMNS}"
    );
    let Some(row) = tx.one::<Row>(&lock, values![id.get()]).await? else {
        return Err(WriteError::Absent);
    };
    let mut palette = Palette::try_from(row)?;
    if palette.user != user {
        return Err(WriteError::Foreign);
    }
    if seen.is_some_and(|seen| seen != palette.version - 1) {
        return Err(WriteError::Changed);
    }
    let repaint = change.colors.as_ref().is_some_and(|colors| *colors != palette.colors);
    palette = change.apply(palette);
    // A clock that was set back does not make a palette older than it is.
    palette.updated_at = now.max(palette.updated_at);
    let (key, search) = keys(palette.category.as_deref(), palette.name.as_deref());
    let sql = "UPDATE palettes SET color_codes = $1, category = $2, category_key = $3, name = $4, search = $5, updated_at = $6 \
               WHERE id = $7";
    let values = values![
        written(&palette.colors),
        palette.category.clone(),
        key,
        palette.name.clone(),
        search,
        palette.updated_at,
        id.get()
    ];
    tx.run(sql, values).await?;
    if repaint {
        delete_colors(tx, id).await?;
        insert_colors(tx, id, &palette.colors).await?;
    }
    Ok(palette)
}

/// Deletes a palette of `user`'s.
pub(crate) async fn remove(tx: &Tx, id: PaletteId, user: UserId) -> Result<(), WriteError> {
    let sql = "DELETE FROM palettes WHERE id = $1 AND visible RETURNING user_id";
    match tx.row::<(i64,)>(sql, values![id.get()]).await? {
        None => Err(WriteError::Absent),
        Some((owner,)) if owner != user.get() => Err(WriteError::Foreign),
        Some(_) => {
            delete_colors(tx, id).await?;
            Ok(())
        }
    }
}

/// Notes that an account is gone, and deletes at most `most` of its palettes,
/// hidden ones too. Answers which; none when there are none left.
pub(crate) async fn erase_some(
    tx: &Tx,
    user: UserId,
    most: i64,
) -> Result<Vec<PaletteId>, DataError> {
    tx.run(
        "INSERT INTO erased_users (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING",
        values![user.get()],
    )
    .await?;
    let sql = "DELETE FROM palettes WHERE id IN (SELECT id FROM palettes WHERE user_id = $1 ORDER BY id LIMIT $2) RETURNING id";
    let gone: Vec<(i64,)> = tx.rows(sql, values![user.get(), most]).await?;
    for (id,) in &gone {
        delete_colors(tx, (*id).into()).await?;
    }
    Ok(gone.into_iter().map(|(id,)| id.into()).collect())
}

async fn is_erased(tx: &Tx, user: UserId) -> Result<bool, DataError> {
    let found = tx
        .row::<(i64,)>("SELECT user_id FROM erased_users WHERE user_id = $1", values![user.get()])
        .await?;
    Ok(found.is_some())
}

async fn delete_colors(tx: &Tx, id: PaletteId) -> Result<(), DataError> {
    tx.run("DELETE FROM palette_colors WHERE palette_id = $1", values![id.get()]).await.map(drop)
}

/// One statement for all the colours; a palette has at most 64.
async fn insert_colors(tx: &Tx, id: PaletteId, colors: &[Color]) -> Result<(), DataError> {
    let mut sql =
        String::from("INSERT INTO palette_colors (cell, palette_id, position, l, a, b) VALUES ");
    let mut values: Vec<Value> = Vec::with_capacity(colors.len() * 6);
    for (position, color) in (0i64..).zip(colors) {
        let lab = Oklab::from(*color);
        let first = values.len();
        // Writing to a string cannot fail.
        let _ = write!(
            sql,
            "{}(${}, ${}, ${}, ${}, ${}, ${})",
            if first > 0 { ", " } else { "" },
            first + 1,
            first + 2,
            first + 3,
            first + 4,
            first + 5,
            first + 6
        );
        values.extend(values![near::cell(lab), id.get(), position, lab.l, lab.a, lab.b]);
    }
    tx.run(&sql, values).await.map(drop)
}

/// The columns that are compared and searched in place of category and name.
fn keys(category: Option<&str>, name: Option<&str>) -> (Option<String>, String) {
    let key = category.map(fold);
    // Searched texts hold no line breaks, so none is found across the two.
    let search =
        format!("{}\n{}", name.map(fold).unwrap_or_default(), key.as_deref().unwrap_or_default());
    (key, search)
}
