//! Renews a session's tokens, and ends sessions.
//!
//! Invariant: a refresh token works once. Whoever shows one that was used before has a copy of
//! it, or its owner's copy was used by someone else: the whole family ends.

use auth::{Principal, RefreshToken};
use data::{DataError, Tx};
use http::StatusCode;
use ids::UserId;
use rest::{Problem, Timestamp};

use crate::grant::{Grant, new_token};
use crate::store::{self, Rotation};
use crate::{Accounts, events};

impl Accounts {
    /// Takes a refresh token for a new pair of tokens.
    ///
    /// # Errors
    /// 401 if it is not the present one of a living session.
    pub(crate) async fn refresh(&self, token: &RefreshToken) -> Result<Grant, Problem> {
        let now = Timestamp::now().0;
        let successor = new_token()?;
        let (shown, stored) = (token.hash(), successor.hash());
        let expires_at = now.saturating_add(self.settings.session_millis());
        let until = self.revoked_until(now);
        let rotation: Result<Rotation, DataError> = self
            .db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    let rotation = store::rotate(tx, shown, stored, now, expires_at).await?;
                    if let Rotation::Reused { user, session } = &rotation {
                        end(tx, *user, session, now, until).await?;
                    }
                    Ok(rotation)
                })
            })
            .await;
        match rotation? {
            Rotation::Renewed { user, session, staff } => {
                Ok(self.grant(user, session, staff, successor))
            }
            Rotation::Reused { user, session } => {
                tracing::warn!(%user, session, "a refresh token was used twice; its session has ended");
                metrics::counter!("atelier_accounts_refresh_reuse_total").increment(1);
                Err(not_good())
            }
            Rotation::Refused => Err(not_good()),
        }
    }

    /// Ends the caller's session, or that of the refresh token; false if neither names one.
    pub(crate) async fn log_out(
        &self,
        caller: Option<Principal>,
        token: Option<RefreshToken>,
    ) -> Result<bool, Problem> {
        let now = Timestamp::now().0;
        let until = self.revoked_until(now);
        let ended: Result<bool, DataError> = self
            .db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    let session = match (caller, token) {
                        (Some(caller), _) => Some((caller.user, caller.session)),
                        (None, Some(token)) => {
                            store::owner_of_refresh_token(tx, token.hash(), now).await?
                        }
                        (None, None) => None,
                    };
                    let Some((user, session)) = session else { return Ok(false) };
                    end(tx, user, &session, now, until).await?;
                    Ok(true)
                })
            })
            .await;
        Ok(ended?)
    }
}

async fn end(tx: &Tx, user: UserId, session: &str, now: i64, until: i64) -> Result<(), DataError> {
    if store::end_session(tx, user, session, now).await? {
        events::revoked(tx, user, vec![session.to_owned()], until).await?;
    }
    Ok(())
}

fn not_good() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "this refresh token is not valid; log in again")
}
