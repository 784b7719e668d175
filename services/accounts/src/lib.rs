//! Accounts, sessions and keys: who is who.
//!
//! **Owns** users, their names for ever, sessions and refresh tokens, which chats they are in, and
//! the private keys that sign access tokens. **Takes part** in the two-phase commits by which chat
//! changes who is in a chat. **Calls** `Erasure` of the services that hold something of a user who
//! is deleted, and `Chat.Outcome` when it was told nothing of what it prepared. **Emits**
//! `account.created.v1`, `account.deleted.v1`, `session.revoked.v1`.
//!
//! **Fails** like this: without its database, 503, and nobody signs in; tokens signed before keep
//! working everywhere, since whoever has the public keys checks them. Without a sibling, a
//! deletion is finished later. Without chat, what is prepared stays so: nobody sees it, and no
//! other transaction changes it.
//!
//! **Invariants.** No two accounts have names that look alike. A password is stored as Argon2id
//! and shown nowhere; a refresh token is stored as a hash and works once. What an attacker can
//! see or time does not depend on whether a name exists, except where a sign-up must say so.

mod change_members;
mod change_profile;
mod chat;
mod delete_user;
mod events;
mod grant;
mod hasher;
mod log_in;
pub mod model;
mod profiles;
mod refresh;
mod rest;
mod rpc;
mod settings;
mod sign_up;
mod store;
mod throttle;
mod workers;

use std::sync::Arc;

use ::events::Log;
use ::rest::{Idempotency, Timestamp};
use auth::Signer;
use axum::Router;
use axum::body::Bytes;
use data::{DataError, Database, Migration};
use mesh::Mesh;
use saga::two_phase::{self, Participation};
use tasks::Tasks;

use crate::change_members::Members;

pub use rest::openapi;
pub use settings::{Hashing, Settings};
pub use sign_up::create_user;

/// Everything this service's database holds.
pub const MIGRATIONS: &[&[Migration]] =
    &[OWN, ::events::MIGRATIONS, saga::MIGRATIONS, two_phase::MIGRATIONS, ::rest::MIGRATIONS];

const OWN: &[Migration] = data::migrations!["0001_init", "0002_chats"];

/// What the handlers share.
struct Accounts {
    db: Database,
    hasher: hasher::Hasher,
    signer: Signer,
    /// The public keys, as they are served.
    jwks: Bytes,
    settings: Settings,
    sagas: saga::Engine,
    members: Participation<Members>,
    profiles: profiles::Profiles,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its database failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A setting cannot be used.
    #[error("{0}")]
    Settings(String),
    /// A signing key in the database is damaged.
    #[error("the signing key {0} in the accounts' database is damaged; restore a backup")]
    Key(String),
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A value is not acceptable.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// Why.
        reason: model::Reason,
    },
    /// Someone has, or had, the name or one that looks like it.
    #[error("this name is taken")]
    Taken,
    /// The password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    Hashing(String),
    /// The database failed.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Starts the service: its routes, and its background work on `tasks`. Public profiles are kept in
/// `caches`, if other instances share them.
///
/// # Errors
/// When the database or a setting cannot be used.
pub async fn build(
    db: Database,
    log: Log,
    mesh: Mesh,
    caches: &cache::Store,
    tasks: &Tasks,
    settings: Settings,
) -> Result<Router, BuildError> {
    let accounts =
        Accounts::open(db.clone(), mesh.clone(), caches, settings, saga_settings()).await?;
    accounts.sagas.start(tasks);
    accounts.members.start(tasks, chat::Chat::new(&mesh));
    ::events::relay(db.clone(), log, tasks);
    workers::start(db, tasks);
    Ok(accounts.routes(&mesh))
}

fn saga_settings() -> saga::Settings {
    saga::Settings { wait: delete_user::WAIT, ..saga::Settings::default() }
}

impl Accounts {
    /// The service without its background work.
    async fn open(
        db: Database,
        mesh: Mesh,
        store: &cache::Store,
        settings: Settings,
        sagas: saga::Settings,
    ) -> Result<Arc<Self>, BuildError> {
        let hasher = hasher::Hasher::new(&settings.hashing).map_err(BuildError::Settings)?;
        let keys = store::first_key(&db, Timestamp::now().0).await?;
        let mut signers = Vec::with_capacity(keys.len());
        for key in keys {
            let signer = Signer::from_pkcs8(&key.kid, &key.pkcs8);
            signers.push(signer.map_err(|_| BuildError::Key(key.kid))?);
        }
        let jwks = serde_json::json!({"keys": signers.iter().map(Signer::jwk).collect::<Vec<_>>()});
        let signer = signers.into_iter().next().ok_or_else(|| BuildError::Key("1".to_owned()))?;
        let members = Members::new(db.engine());
        let members = Participation::new(db.clone(), members, sagas.clone());
        let sagas = saga::Engine::new(db.clone(), sagas)
            .register(delete_user::definition(mesh, settings.erase_in.clone()));
        let jwks = Bytes::from(jwks.to_string());
        let profiles = profiles::Profiles::new(db.clone(), store);
        Ok(Arc::new(Self { db, hasher, signer, jwks, settings, sagas, members, profiles }))
    }

    fn routes(self: Arc<Self>, mesh: &Mesh) -> Router {
        let keys = Idempotency::new(self.db.clone());
        let routes = rest::routes(Arc::clone(&self), &keys).merge(rpc::routes(self, mesh));
        ::rest::router(routes)
    }
}
