//! Changes what an account says, and its password.
//!
//! Invariant: a password is changed only by someone who knows it, and the change ends every other
//! session of the account.

use auth::Principal;
use contracts::ids::RoomId;
use data::Tx;
use rest::{Problem, Timestamp};

use crate::model::{NameKey, Password};
use crate::store::{Profile, User};
use crate::throttle::Throttle;
use crate::{Accounts, events, store};

/// What is to be changed.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) profile: Profile,
    pub(crate) password: Option<Password>,
    pub(crate) current_password: Option<Password>,
}

impl Accounts {
    /// Changes the caller's own account; answers it with the chats it is in.
    ///
    /// # Errors
    /// 403 for a wrong current password, 422 for a missing one, 429 after too many wrong ones,
    /// 404 if the account was deleted meanwhile, 409 if its password was changed meanwhile.
    pub(crate) async fn change_profile(
        &self,
        caller: &Principal,
        change: Change,
    ) -> Result<(User, Vec<RoomId>), Problem> {
        let Change { mut profile, password, current_password } = change;
        let known = store::user(&self.db.read_primary(), caller.user).await?;
        let known = known.filter(|user| !user.is_deleted()).ok_or_else(no_such_user)?;
        if let Some(password) = &password {
            self.check_current(&known, current_password.as_ref()).await?;
            profile.password_hash = Some(self.hasher.turn().await?.hash(password).await?);
        }
        let now = Timestamp::now().0;
        let until = self.revoked_until(now);
        let (user, session) = (caller.user, caller.session.clone());
        let db = self.db.clone();
        let write = async move {
            db.write(move |tx: &Tx| {
                Box::pin(async move {
                    // Of two changes at once, the second was allowed by a password that is gone.
                    if profile.password_hash.is_some() {
                        if !store::lock(tx, user, known.password_hash.as_deref()).await? {
                            return Err(Problem::conflict("the password was changed meanwhile"));
                        }
                        let ended = store::end_sessions(tx, user, Some(&session), now).await?;
                        events::revoked(tx, user, ended, until).await?;
                    }
                    if !store::change_profile(tx, user, &profile).await? {
                        return Err(no_such_user());
                    }
                    let chats = store::chats_of(tx, user).await?;
                    let user = store::user(tx, user).await?.ok_or_else(no_such_user)?;
                    Ok((user, chats))
                })
            })
            .await
        };
        self.profiles.changing(user, write).await
    }

    /// Checks the current password of an account that has one. A wrong one counts as a failed
    /// log-in: a borrowed session is no place to guess undisturbed.
    async fn check_current(&self, user: &User, current: Option<&Password>) -> Result<(), Problem> {
        let Some(hash) = user.password_hash.as_deref() else { return Ok(()) };
        let Some(current) = current else {
            let reason = "your current password is needed to set another";
            return Err(Problem::invalid_field("current_password", reason));
        };
        let throttle = Throttle::log_in(&NameKey::of(&user.username), &self.settings);
        let turn = self.hasher.turn().await?;
        throttle.check(&self.db).await?;
        if turn.verify(current, Some(hash)).await? {
            return Ok(());
        }
        throttle.failed(&self.db).await?;
        Err(Problem::forbidden("the current password is not correct")
            .with_field("current_password", "not correct"))
    }
}

/// The answer to an id that no living account has.
pub(crate) fn no_such_user() -> Problem {
    Problem::not_found("there is no such user")
}
