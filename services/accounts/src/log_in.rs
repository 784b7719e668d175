//! Opens a session for someone who knows an account's password.
//!
//! Invariant: a name that does not exist, one that was deleted, and one without a password take
//! the same way as a wrong password: the same reads, one hash, one failure counted, one answer.

use std::sync::Arc;

use data::Tx;
use http::StatusCode;
use rest::Problem;

use crate::grant::Grant;
use crate::model::{NameKey, Password};
use crate::store::User;
use crate::throttle::Throttle;
use crate::{Accounts, store};

/// The contract's answer to wrong credentials.
pub(crate) const WRONG: &str = "Your login or password is not correct";

impl Accounts {
    /// Opens a session.
    ///
    /// # Errors
    /// 401 for anything wrong, 429 after too many failures, 503.
    pub(crate) async fn log_in(
        &self,
        name: &str,
        password: &Password,
    ) -> Result<(User, Grant), Problem> {
        let key = NameKey::of(name);
        let throttle = Throttle::log_in(&key, &self.settings);
        let turn = self.hasher.turn().await?;
        throttle.check(&self.db).await?;
        let user = store::by_name(&self.db.read_primary(), std::slice::from_ref(&key)).await?;
        let user = user.filter(|user| !user.is_deleted());
        let hash = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let fits = turn.verify(password, hash).await?;
        let Some(user) = user.filter(|_| fits) else {
            throttle.failed(&self.db).await?;
            return Err(wrong());
        };
        let opening = Arc::new(self.opening()?);
        let (stored, known) = (Arc::clone(&opening), user.clone());
        self.db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    if !store::lock(tx, known.id(), known.password_hash.as_deref()).await? {
                        return Err(wrong());
                    }
                    throttle.succeeded(tx).await?;
                    stored.store(tx, known.id()).await?;
                    Ok::<_, Problem>(())
                })
            })
            .await?;
        let (session, refresh) = opening.tokens();
        let grant = self.grant(user.id(), session, user.is_staff(), refresh);
        Ok((user, grant))
    }
}

fn wrong() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, WRONG)
}

#[cfg(test)]
mod tests;
