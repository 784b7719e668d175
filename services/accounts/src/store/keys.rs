//! The table `signing_keys`.

use auth::Signer;
use data::{DataError, Database, FromQueryResult, Sql, Tx, values};

/// A key as it is stored. It has no `Debug` form: it is a private key.
#[derive(FromQueryResult)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    pub(crate) pkcs8: Vec<u8>,
}

/// All keys, the one that signs first; on a new database one is made. However many instances ask
/// at once, they get the same.
pub(crate) async fn first_key(db: &Database, now: i64) -> Result<Vec<StoredKey>, DataError> {
    let keys = all(&db.read_primary()).await?;
    if !keys.is_empty() {
        return Ok(keys);
    }
    let pkcs8 = Signer::generate().map_err(DataError::other)?;
    let kid = Signer::key_id(&pkcs8).map_err(DataError::other)?;
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            // Another instance's key may be there by now; then it is everyone's.
            tx.run(
                "INSERT INTO signing_keys (generation, kid, pkcs8, created_at) \
                 VALUES (1, $1, $2, $3) ON CONFLICT (generation) DO NOTHING",
                values![kid, pkcs8, now],
            )
            .await?;
            all(tx).await
        })
    })
    .await
}

async fn all(db: &impl Sql) -> Result<Vec<StoredKey>, DataError> {
    db.all("SELECT kid, pkcs8 FROM signing_keys ORDER BY generation DESC", values![]).await
}
