//! Makes an account.

use std::sync::Arc;

use data::{DataError, Database, Tx};
use ids::UserId;
use rest::{Problem, Timestamp};

use crate::grant::Grant;
use crate::hasher::Hasher;
use crate::model::{Email, Name, Password};
use crate::store::{NewUser, User};
use crate::throttle::Throttle;
use crate::{Accounts, CreateError, Settings, events, store};

/// What someone signs up with.
#[derive(Debug)]
pub(crate) struct SignUp {
    pub(crate) name: Name,
    pub(crate) email: Option<Email>,
    pub(crate) password: Option<Password>,
}

impl Accounts {
    /// Makes an account and opens its first session.
    ///
    /// # Errors
    /// 409 for a name that is or was taken, 429 for too many from one address, 503.
    pub(crate) async fn sign_up(&self, wanted: SignUp) -> Result<(User, Grant), Problem> {
        let throttle = Throttle::sign_up(&self.settings);
        throttle.check(&self.db).await?;
        let SignUp { name, email, password } = wanted;
        // Before the costly hash; the insert decides.
        let keys = name.keys();
        if store::by_name(&self.db.read_primary(), &keys).await?.is_some() {
            return Err(taken());
        }
        let password_hash = match &password {
            Some(password) => Some(self.hasher.turn().await?.hash(password).await?),
            None => None,
        };
        let new = NewUser {
            name,
            email: email.map(Email::into_string),
            password_hash,
            staff: false,
            created_at: Timestamp::now().0,
        };
        let opening = Arc::new(self.opening()?);
        let stored = Arc::clone(&opening);
        let user: User = self
            .db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    throttle.count(tx).await?;
                    let user = insert(tx, &new).await?.ok_or_else(taken)?;
                    stored.store(tx, user.id()).await?;
                    Ok::<_, Problem>(user)
                })
            })
            .await?;
        let (session, refresh) = opening.tokens();
        let grant = self.grant(user.id(), session, user.is_staff(), refresh);
        Ok((user, grant))
    }
}

/// Makes an account without a session, beside a running system.
///
/// # Errors
/// What is wrong with the name or the password, that the name is taken, or that the database
/// cannot be written.
pub async fn create_user(
    db: &Database,
    name: &str,
    password: &str,
    staff: bool,
) -> Result<UserId, CreateError> {
    let settings = Settings::default();
    let name =
        Name::parse(name).map_err(|reason| CreateError::Invalid { field: "name", reason })?;
    let password = Password::new(password);
    password
        .check(settings.shortest_password)
        .map_err(|reason| CreateError::Invalid { field: "password", reason })?;
    let hasher = Hasher::new(&settings.hashing).map_err(CreateError::Hashing)?;
    let hashing = |problem: Problem| CreateError::Hashing(problem.to_string());
    let turn = hasher.turn().await.map_err(hashing)?;
    let password_hash = Some(turn.hash(&password).await.map_err(hashing)?);
    let new = NewUser { name, email: None, password_hash, staff, created_at: Timestamp::now().0 };
    db.write(move |tx: &Tx| {
        Box::pin(async move {
            let user = insert(tx, &new).await?.ok_or(CreateError::Taken)?;
            Ok(user.id())
        })
    })
    .await
}

async fn insert(tx: &Tx, new: &NewUser) -> Result<Option<User>, DataError> {
    let Some(id) = store::insert(tx, new).await? else { return Ok(None) };
    events::created(tx, id, new.name.as_str()).await?;
    store::user(tx, id).await
}

fn taken() -> Problem {
    Problem::conflict("this name is taken").with_field("username", "this name is taken")
}
