//! Many rows in few statements, whose texts are the same each time and so stay prepared.

use data::{DataError, Sql, Tx, Value};

use crate::log::Entry;

/// Cuts `items` into pieces of 128, 64, …, 1, each length at most once but the first.
fn pieces<T>(items: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let largest = rest.len().checked_ilog2()?.min(7);
        let (piece, left) = rest.split_at(1 << largest);
        rest = left;
        Some(piece)
    })
}

/// Appends events to a table with the columns of the log, in order; returns how many.
pub(crate) async fn insert(
    tx: &Tx,
    into: &str,
    entries: &[Entry],
    conflict: &str,
) -> Result<u64, DataError> {
    let mut new = 0;
    for piece in pieces(entries) {
        let rows: Vec<String> = (0..piece.len() * 5)
            .step_by(5)
            .map(|n| format!("(${}, ${}, ${}, ${}, ${})", n + 1, n + 2, n + 3, n + 4, n + 5))
            .collect();
        let rows = rows.join(", ");
        let sql =
            format!("{into} (event_id, name, event_key, at, payload) VALUES {rows}{conflict}");
        let values = piece.iter().flat_map(|entry| {
            let Entry { id, name, key, at, payload } = entry.clone();
            [id.into(), name.into(), key.into(), at.into(), payload.into()]
        });
        new += tx.run(&sql, values).await?;
    }
    Ok(new)
}

/// Deletes rows by number.
pub(crate) async fn delete(tx: &Tx, from: &str, seqs: &[i64]) -> Result<(), DataError> {
    for piece in pieces(seqs) {
        let list: Vec<String> = (1..=piece.len()).map(|n| format!("${n}")).collect();
        let sql = format!("{from} WHERE seq IN ({})", list.join(", "));
        tx.run(&sql, piece.iter().map(|seq| Value::from(*seq))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_everything_in_order_with_few_lengths() {
        for len in [0, 1, 3, 63, 64, 65, 127, 128, 129, 511, 512] {
            let items: Vec<usize> = (0..len).collect();
            let cut: Vec<&[usize]> = pieces(&items).collect();
            assert_eq!(cut.concat(), items);
            assert!(cut.iter().all(|p| p.len().is_power_of_two() && p.len() <= 128));
            assert!(cut.len() <= len / 128 + 7);
        }
    }
}
