//! Checks access tokens, once each: a token seen before costs a hash and a look-up.
//!
//! Invariant: only EdDSA with a key of the JWKS is accepted, whatever a token's header says; time
//! is checked on every call; a cached answer is used only while neither the keys nor the
//! revocations have changed since it was last checked against them. Memory is bounded.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use ids::UserId;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use crate::principal::is_session;
use crate::revocations::Revocations;
use crate::{AuthError, ISSUER, LONGEST_LIFETIME, Principal, clock};

/// How many verified tokens are remembered, about 8 MiB.
const REMEMBERED: u64 = 16_384;
/// A token is never longer, in bytes.
const LONGEST_TOKEN: usize = 2_048;
/// How many keys of a JWKS are used.
const MOST_KEYS: usize = 16;
/// How far the issuer's clock may run ahead of ours, in milliseconds.
const LEEWAY: i64 = 5_000;

/// A token that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub principal: Principal,
    /// `principal` as it travels between services, ready made.
    pub header: HeaderValue,
    /// When it ends, unix milliseconds.
    pub expires_at: i64,
    /// When it was issued, unix milliseconds (tokens tell whole seconds).
    pub issued_at: i64,
}

/// An accepted token, to be kept by whoever will be shown it again; cheap to clone. What it says
/// stands; whether it still counts tells [`Verifier::check`].
#[derive(Clone)]
pub struct Pass(Arc<Remembered>);

impl Deref for Pass {
    type Target = Verified;

    fn deref(&self) -> &Verified {
        &self.0.verified
    }
}

impl PartialEq for Pass {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Pass {}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.verified.fmt(f)
    }
}

/// Verifies access tokens. Shared by reference; every method may be called from any thread.
pub struct Verifier {
    keys: ArcSwap<HashMap<String, Arc<Key>>>,
    revocations: Revocations,
    /// Counts changes of keys and revocations.
    epoch: AtomicU64,
    remembered: moka::sync::Cache<[u8; 32], Arc<Remembered>>,
    validation: Validation,
}

struct Key {
    public: Vec<u8>,
    decoding: DecodingKey,
}

/// What an access token says. Times are unix seconds. A claim of another type is malformed.
#[derive(Deserialize)]
struct Claims {
    sub: UserId,
    sid: String,
    #[serde(default)]
    staff: bool,
    iat: i64,
    nbf: i64,
    exp: i64,
}

struct Remembered {
    verified: Verified,
    /// Unix milliseconds.
    not_before: i64,
    kid: String,
    key: Arc<Key>,
    /// The epoch at which it was last known to be neither revoked nor signed with a dropped key.
    checked: AtomicU64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Verifier {
    /// A verifier without keys: it accepts nothing until [`Verifier::set_keys`].
    #[must_use]
    pub fn new() -> Self {
        // Fails if it was installed before, which is as good.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "sub"]);
        validation.set_issuer(&[ISSUER]);
        // Checked on every call, remembered or not, in `in_time`.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            keys: ArcSwap::default(),
            revocations: Revocations::new(),
            epoch: AtomicU64::new(0),
            remembered: moka::sync::Cache::new(REMEMBERED),
            validation,
        }
    }

    /// Takes the keys of a JWKS (RFC 7517) in place of those before, and says how many are held
    /// now. Keys that are not Ed25519 signing keys are passed over; a document without a usable
    /// key changes nothing, so that a broken answer locks nobody out.
    pub fn set_keys(&self, jwks: &serde_json::Value) -> usize {
        let listed = jwks.get("keys").and_then(serde_json::Value::as_array);
        let old = self.keys.load();
        let keys: HashMap<_, _> =
            listed.into_iter().flatten().filter_map(read_key).take(MOST_KEYS).collect();
        let same = keys.len() == old.len()
            && keys
                .iter()
                .all(|(kid, key)| old.get(kid).is_some_and(|held| held.public == key.public));
        if keys.is_empty() || same {
            return old.len();
        }
        let held = keys.len();
        self.keys.store(Arc::new(keys));
        self.epoch.fetch_add(1, Ordering::SeqCst);
        held
    }

    /// Refuses the session's tokens from now on. `until`, unix milliseconds: when the last of them
    /// expires and the session can be forgotten.
    pub fn revoke_session(&self, session: &str, until: i64) {
        self.revocations.revoke_session(session, until, clock::now());
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Refuses the user's tokens that were issued at or before `before`, unix milliseconds.
    pub fn revoke_user(&self, user: UserId, before: i64) {
        self.revocations.revoke_user(user, before, clock::now());
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Checks a token.
    ///
    /// # Errors
    /// The first reason to refuse it. [`AuthError::UnknownKey`] may mean that the issuer has a new
    /// key: fetch its JWKS again (not more often than every few seconds).
    pub fn verify(&self, token: &str) -> Result<Pass, AuthError> {
        self.verify_at(token, clock::now())
    }

    fn verify_at(&self, token: &str, now: i64) -> Result<Pass, AuthError> {
        if token.len() > LONGEST_TOKEN {
            return Err(AuthError::Malformed);
        }
        let hash = sha256(token);
        let pass = match self.remembered.get(&hash) {
            Some(entry) => Pass(entry),
            None => {
                let entry = Arc::new(self.read(token)?);
                in_time(&entry, now)?;
                self.remembered.insert(hash, entry.clone());
                Pass(entry)
            }
        };
        self.check_at(&pass, now)?;
        Ok(pass)
    }

    /// Whether a token that was accepted still counts.
    ///
    /// # Errors
    /// As [`Verifier::verify`]. After [`AuthError::UnknownKey`] the token is to be verified anew.
    pub fn check(&self, pass: &Pass) -> Result<(), AuthError> {
        self.check_at(pass, clock::now())
    }

    fn check_at(&self, Pass(entry): &Pass, now: i64) -> Result<(), AuthError> {
        // Read first: what is changed while the entry is looked at is looked at the next time.
        let epoch = self.epoch.load(Ordering::SeqCst);
        in_time(entry, now)?;
        if entry.checked.load(Ordering::SeqCst) != epoch {
            self.still_good(entry)?;
            entry.checked.store(epoch, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Whether neither the key nor the session nor the user has been withdrawn.
    fn still_good(&self, entry: &Remembered) -> Result<(), AuthError> {
        let held =
            self.keys.load().get(&entry.kid).is_some_and(|key| key.public == entry.key.public);
        if !held {
            return Err(AuthError::UnknownKey);
        }
        if self.revocations.refuses(&entry.verified.principal, entry.verified.issued_at) {
            return Err(AuthError::Revoked);
        }
        Ok(())
    }

    fn read(&self, token: &str) -> Result<Remembered, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Malformed)?;
        // `decode` checks it too; here it keeps a key from being looked up for a foreign algorithm.
        if header.alg != Algorithm::EdDSA {
            return Err(AuthError::Algorithm);
        }
        let kid = header.kid.ok_or(AuthError::UnknownKey)?;
        let key = self.keys.load().get(&kid).cloned().ok_or(AuthError::UnknownKey)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature => AuthError::Signature,
                ErrorKind::InvalidIssuer => AuthError::Issuer,
                ErrorKind::InvalidAlgorithm => AuthError::Algorithm,
                _ => AuthError::Malformed,
            })?
            .claims;
        let (issued_at, not_before, expires_at) = claims.times().ok_or(AuthError::Malformed)?;
        if !is_session(&claims.sid) {
            return Err(AuthError::Malformed);
        }
        let principal = Principal { user: claims.sub, session: claims.sid, staff: claims.staff };
        let verified = Verified { header: principal.to_header(), principal, expires_at, issued_at };
        // No epoch is this high, so that the first look checks keys and revocations.
        Ok(Remembered { verified, not_before, kid, key, checked: AtomicU64::new(u64::MAX) })
    }
}

impl Claims {
    /// Issued at, not before, expires at, in milliseconds; `None` when they are out of order or
    /// the token would live too long.
    fn times(&self) -> Option<(i64, i64, i64)> {
        let [iat, nbf, exp] =
            [self.iat, self.nbf, self.exp].map(|seconds| seconds.checked_mul(1000));
        let (iat, nbf, exp) = (iat?, nbf?, exp?);
        let in_order = iat <= nbf && nbf <= exp;
        let short = exp.checked_sub(iat)? <= clock::millis(LONGEST_LIFETIME.as_millis());
        (in_order && short).then_some((iat, nbf, exp))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.load().keys()).finish_non_exhaustive()
    }
}

fn in_time(token: &Remembered, now: i64) -> Result<(), AuthError> {
    if token.verified.expires_at <= now {
        return Err(AuthError::Expired);
    }
    if token.not_before > now.saturating_add(LEEWAY) {
        return Err(AuthError::NotYetValid);
    }
    Ok(())
}

fn sha256(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

fn read_key(jwk: &serde_json::Value) -> Option<(String, Arc<Key>)> {
    let member = |name: &str| jwk.get(name).and_then(serde_json::Value::as_str);
    let signs = member("use").is_none_or(|usage| usage == "sig")
        && member("alg").is_none_or(|alg| alg == "EdDSA");
    if !(signs && member("kty") == Some("OKP") && member("crv") == Some("Ed25519")) {
        return None;
    }
    let public = URL_SAFE_NO_PAD.decode(member("x")?).ok().filter(|x| x.len() == 32)?;
    let decoding = DecodingKey::from_ed_der(&public);
    Some((member("kid")?.to_owned(), Arc::new(Key { public, decoding })))
}

#[cfg(test)]
mod tests;
