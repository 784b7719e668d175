//! The keys that verify tokens: fetched from `accounts` through the mesh, refreshed in the
//! background, and at once (but not more often than every two seconds) when a token names a key
//! that is not known.
//!
//! The gateway starts without keys; until it has some it is not ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use auth::{AuthError, Pass, Verifier};
use axum::body::Body;
use http::Request;
use http_body_util::{BodyExt, Limited};
use mesh::Channel;
use telemetry::Context;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How often keys are fetched again when nothing asks for it.
const REFRESH_EVERY: Duration = Duration::from_secs(300);
/// The shortest time between two fetches.
const AT_MOST_EVERY: Duration = Duration::from_secs(2);
/// How long one fetch may take.
const FETCH_WITHIN: Duration = Duration::from_secs(2);
/// The pause between fetches until the first succeeds; doubles up to [`AT_MOST_EVERY`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// A JWKS is not larger.
const LARGEST: usize = 64 * 1024;

/// The verifier and where its keys come from.
pub(crate) struct Keys {
    pub(crate) verifier: Verifier,
    accounts: Channel,
    known: AtomicBool,
    last_fetch: Mutex<Option<Instant>>,
}

impl Keys {
    pub(crate) fn new(accounts: Channel) -> Self {
        Self {
            verifier: Verifier::new(),
            accounts,
            known: AtomicBool::new(false),
            last_fetch: Mutex::default(),
        }
    }

    /// Whether keys were fetched.
    pub(crate) fn are_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Checks a token; for one that names an unknown key, fetches the keys again first.
    pub(crate) async fn verify(&self, token: &str) -> Result<Pass, AuthError> {
        match self.verifier.verify(token) {
            Err(AuthError::UnknownKey) => {
                // Boxed: it is seldom, and large.
                Box::pin(self.refresh()).await;
                self.verifier.verify(token)
            }
            verdict => verdict,
        }
    }

    /// Fetches until it succeeds, then every five minutes, until the process stops.
    pub(crate) async fn keep(&self, stopping: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let fetched = self.fetch().await;
            let wait = if fetched { REFRESH_EVERY } else { pause };
            pause = if fetched { FIRST_PAUSE } else { (pause * 2).min(AT_MOST_EVERY) };
            tokio::select! {
                () = sleep(wait) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Fetches the keys unless that was done a moment ago. Those who come together wait for one
    /// fetch.
    async fn refresh(&self) {
        let mut last = self.last_fetch.lock().await;
        if last.is_none_or(|at| at.elapsed() >= AT_MOST_EVERY) {
            self.fetch().await;
            *last = Some(Instant::now());
        }
    }

    async fn fetch(&self) -> bool {
        let fetched = timeout(FETCH_WITHIN, Context::background().scope(self.ask())).await;
        match fetched.ok().flatten() {
            Some(jwks) if self.verifier.set_keys(&jwks) > 0 => {
                self.known.store(true, Ordering::Relaxed);
                true
            }
            _ => {
                tracing::debug!("no keys from accounts");
                false
            }
        }
    }

    async fn ask(&self) -> Option<serde_json::Value> {
        let request = Request::get("/.well-known/jwks.json").body(Body::empty()).ok()?;
        let answer =
            self.accounts.send(request).await.ok().filter(|answer| answer.status().is_success())?;
        let bytes = Limited::new(answer.into_body(), LARGEST).collect().await.ok()?.to_bytes();
        serde_json::from_slice(&bytes).ok()
    }
}
