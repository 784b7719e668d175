//! What a client gets by signing in: an access token, and a refresh token to renew it with.
//!
//! Invariant: a grant exists only for a session whose row is committed, and its refresh token is
//! stored as a hash alone.

use auth::{Principal, RefreshToken};
use data::{DataError, Tx};
use ids::UserId;
use rest::{Problem, Timestamp};
use uuid::Uuid;

use crate::{Accounts, events, store};

/// The tokens of a session.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) user: UserId,
    pub(crate) access: String,
    pub(crate) refresh: RefreshToken,
}

/// A session about to be opened.
#[derive(Debug)]
pub(crate) struct Opening {
    session: String,
    refresh: RefreshToken,
    now: i64,
    expires_at: i64,
    revoked_until: i64,
    most: u32,
}

impl Accounts {
    /// A new session, not yet stored.
    pub(crate) fn opening(&self) -> Result<Opening, Problem> {
        let now = Timestamp::now().0;
        Ok(Opening {
            session: Uuid::new_v4().simple().to_string(),
            refresh: new_token()?,
            now,
            expires_at: now.saturating_add(self.settings.session_millis()),
            revoked_until: self.revoked_until(now),
            most: self.settings.sessions_per_account,
        })
    }

    /// The tokens of a session that was opened or renewed.
    pub(crate) fn grant(
        &self,
        user: UserId,
        session: String,
        staff: bool,
        refresh: RefreshToken,
    ) -> Grant {
        let who = Principal { user, session, staff };
        let access = self.signer.sign_access(&who, self.settings.access_lifetime());
        Grant { user, access, refresh }
    }

    /// When no access token of a session that ends now can be valid any more, unix milliseconds:
    /// its lifetime, and a minute for clocks that differ.
    pub(crate) fn revoked_until(&self, now: i64) -> i64 {
        let lifetime =
            i64::try_from(self.settings.access_lifetime().as_millis()).unwrap_or(i64::MAX);
        now.saturating_add(lifetime).saturating_add(60_000)
    }
}

impl Opening {
    /// Stores the session of `user`, in the transaction that decided that they may have it.
    pub(crate) async fn store(&self, tx: &Tx, user: UserId) -> Result<(), DataError> {
        let hash = self.refresh.hash();
        let ended = store::open_session(
            tx,
            user,
            &self.session,
            hash,
            self.now,
            self.expires_at,
            self.most,
        )
        .await?;
        events::revoked(tx, user, ended, self.revoked_until).await
    }

    /// The session's name and its refresh token, for the client once the session is stored.
    pub(crate) fn tokens(&self) -> (String, RefreshToken) {
        (self.session.clone(), self.refresh.clone())
    }
}

/// A new refresh token.
pub(crate) fn new_token() -> Result<RefreshToken, Problem> {
    RefreshToken::generate().map_err(|error| {
        tracing::error!(%error, "no randomness for a token");
        Problem::internal()
    })
}
