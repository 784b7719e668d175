//! Who asks. The gateway verified it; the mesh carried it; a handler says what it needs of it.

use auth::Principal;
use axum::extract::FromRequestParts;
use http::request::Parts;
use ids::UserId;

use crate::Problem;

/// The caller, if signed in.
#[derive(Clone, Debug)]
pub struct Caller(pub Option<Principal>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Principal::current()))
    }
}

impl Caller {
    /// The caller's account, if signed in.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.0.as_ref().map(|principal| principal.user)
    }
}

/// A caller who is signed in; anybody else gets 401.
#[derive(Clone, Debug)]
pub struct SignedIn(pub Principal);

impl<S: Send + Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Problem> {
        Principal::current().map(Self).ok_or_else(Problem::unauthorized)
    }
}

/// Checks the optional `user_id` of a body: it must be the caller's own.
///
/// # Errors
/// 403 if it is somebody else's.
pub fn own(caller: &Principal, user_id: Option<UserId>) -> Result<(), Problem> {
    match user_id {
        Some(other) if other != caller.user => Err(Problem::forbidden("user_id is not your own")),
        _ => Ok(()),
    }
}
