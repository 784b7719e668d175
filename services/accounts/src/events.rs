//! What accounts tell the others, in the transaction of the change they tell of.

use contracts::events::{AccountCreated, AccountDeleted, Event, SessionRevoked};
use data::{DataError, Tx};
use ids::UserId;

/// An account was made.
pub(crate) async fn created(tx: &Tx, user_id: UserId, username: &str) -> Result<(), DataError> {
    emit(tx, &AccountCreated { user_id, username: username.to_owned() }).await
}

/// An account was deleted.
pub(crate) async fn deleted(tx: &Tx, user_id: UserId) -> Result<(), DataError> {
    emit(tx, &AccountDeleted { user_id }).await
}

/// Sessions of one user have ended. `until`: when the last of their access tokens expires, unix
/// milliseconds.
pub(crate) async fn revoked(
    tx: &Tx,
    user_id: UserId,
    sessions: Vec<String>,
    until: i64,
) -> Result<(), DataError> {
    for session in sessions {
        emit(tx, &SessionRevoked { user_id, session, until }).await?;
    }
    Ok(())
}

async fn emit<E: Event + Sync>(tx: &Tx, event: &E) -> Result<(), DataError> {
    events::emit(tx, E::NAME, &event.key(), event).await
}
