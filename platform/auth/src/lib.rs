//! Tokens, principals and who may do what.
//!
//! Access tokens are JWTs (RFC 7519) signed with Ed25519 (RFC 8037) by the accounts service and
//! checked wherever a request enters. The private keys never leave that service; everyone else
//! holds a [`Verifier`] fed with its JWKS.
//!
//! Invariant: a [`Principal`] comes from a token whose signature, issuer and times were checked
//! and whose session and user are not revoked, or from the private network, which got it so.

mod clock;
mod principal;
mod refresh;
mod revocations;
mod signer;
mod verifier;

pub use principal::Principal;
pub use refresh::RefreshToken;
pub use signer::Signer;
pub use verifier::{Pass, Verified, Verifier};

use std::time::Duration;

/// The `iss` of every access token.
pub const ISSUER: &str = "atelier";

/// How long an access token lives unless settings say otherwise.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// No access token lives longer; one that claims to is refused. It bounds how long revocations
/// have to be remembered.
pub const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a token or a key was refused. The texts name no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It has not the form of an access token of ours.
    #[error("the token is malformed")]
    Malformed,
    /// It is not signed with EdDSA.
    #[error("the token is signed with an algorithm that is not accepted")]
    Algorithm,
    /// The key it names is not known (perhaps not yet: fetch the JWKS again).
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// The signature does not fit.
    #[error("the token's signature is wrong")]
    Signature,
    /// Someone else issued it.
    #[error("the token comes from another issuer")]
    Issuer,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Its session, or every session of its user, was ended.
    #[error("the session has ended")]
    Revoked,
    /// The bytes are no Ed25519 private key, or the system gave no randomness for one.
    #[error("the signing key is unusable")]
    Key,
}
