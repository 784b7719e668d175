//! Signs access tokens. Only the accounts service holds one.
//!
//! Invariant: the private key is never printed; its id is the key's own thumbprint unless the
//! caller names another.

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{AuthError, ISSUER, LONGEST_LIFETIME, Principal, clock};

/// An Ed25519 key that signs access tokens. Its `Debug` form shows only its id.
pub struct Signer {
    key: Ed25519KeyPair,
    kid: String,
    /// The first part of every token it signs.
    header: String,
}

impl Signer {
    /// A new private key, as PKCS #8 bytes to be stored.
    ///
    /// # Errors
    /// [`AuthError::Key`] when the system has no randomness to give.
    pub fn generate() -> Result<Vec<u8>, AuthError> {
        let key = Ed25519KeyPair::generate().map_err(|_| AuthError::Key)?;
        Ok(key.to_pkcs8v1().map_err(|_| AuthError::Key)?.as_ref().to_vec())
    }

    /// The id of a key: its JWK thumbprint (RFC 7638, RFC 8037), so that equal keys have equal ids
    /// and different keys different ones.
    ///
    /// # Errors
    /// [`AuthError::Key`] if the bytes are no Ed25519 key.
    pub fn key_id(pkcs8: &[u8]) -> Result<String, AuthError> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| AuthError::Key)?;
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        // The members in this order and nothing else: the RFC's canonical form.
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Ok(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
    }

    /// A signer with a stored key.
    ///
    /// # Errors
    /// [`AuthError::Key`] if the bytes are no Ed25519 key.
    pub fn from_pkcs8(kid: &str, pkcs8: &[u8]) -> Result<Self, AuthError> {
        let key = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| AuthError::Key)?;
        let header = serde_json::json!({"typ": "JWT", "alg": "EdDSA", "kid": kid});
        Ok(Self { key, kid: kid.to_owned(), header: URL_SAFE_NO_PAD.encode(header.to_string()) })
    }

    /// The key's id, `kid` in tokens and in the JWKS.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// An access token for `who` that lives for `ttl`, at most [`LONGEST_LIFETIME`]. Seconds are
    /// the finest a token can tell.
    #[must_use]
    pub fn sign_access(&self, who: &Principal, ttl: Duration) -> String {
        let now = clock::now() / 1000;
        let ttl = i64::try_from(ttl.min(LONGEST_LIFETIME).as_secs()).unwrap_or(0);
        let mut claims = serde_json::json!({
            "iss": ISSUER,
            "sub": who.user,
            "sid": who.session,
            "iat": now,
            "nbf": now,
            "exp": now + ttl,
        });
        if who.staff {
            claims["staff"] = true.into();
        }
        self.sign(&claims)
    }

    /// The public key as a JWK (RFC 8037).
    #[must_use]
    pub fn jwk(&self) -> serde_json::Value {
        serde_json::json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": URL_SAFE_NO_PAD.encode(self.key.public_key()),
            "kid": self.kid,
            "use": "sig",
            "alg": "EdDSA",
        })
    }

    pub(crate) fn sign(&self, claims: &serde_json::Value) -> String {
        let message = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("kid", &self.kid).finish_non_exhaustive()
    }
}
