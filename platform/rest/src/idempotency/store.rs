//! The table of keys: who holds one, until when, and what was answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::response::{IntoResponse, Response};
use data::{DataError, Database, FromQueryResult, Migration, Sql, values};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{KEPT, REPLAYED};
use crate::{Problem, Timestamp};

/// The table of keys; part of the migrations of each service that uses them.
pub const MIGRATIONS: &[Migration] = data::migrations!["rest_0001_idempotency"];

/// How long a request may hold its key before a repeat takes it for dead.
const LEASE: Duration = Duration::from_secs(30);
/// How often a waiting request looks whether another process has answered.
const POLL: Duration = Duration::from_millis(25);
/// How often old keys are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// The largest answer that is kept, in bytes.
const LARGEST_ANSWER: usize = 1024 * 1024;

pub(super) struct Store {
    db: Database,
    settled: Notify,
    pruned_at: AtomicI64,
}

pub(super) enum Claim {
    /// Run, as this owner.
    Ours(Uuid),
    /// It was answered.
    Done(Response),
    /// It is being answered.
    Running,
    /// The key stands for another body.
    Other,
}

#[derive(FromQueryResult)]
struct Row {
    fingerprint: String,
    status: Option<i32>,
    headers: Option<String>,
    body: Option<Vec<u8>>,
}

impl Store {
    pub(super) fn new(db: Database) -> Self {
        Self { db, settled: Notify::new(), pruned_at: AtomicI64::new(0) }
    }

    pub(super) async fn claim(&self, scope: Uuid, fingerprint: &str) -> Result<Claim, Problem> {
        let now = Timestamp::now().0;
        self.prune(now).await?;
        let (owner, asked) = (Uuid::new_v4(), fingerprint.to_owned());
        let found: Result<Option<Row>, ()> = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let (scope, mine) = (scope.to_string(), owner.to_string());
                    let until = now + LEASE.as_millis() as i64;
                    let inserted = tx
                        .run(
                            "INSERT INTO idempotency_keys \
                             (scope, fingerprint, owner, locked_until, created_at) \
                             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (scope) DO NOTHING",
                            values![scope.clone(), asked.clone(), mine.clone(), until, now],
                        )
                        .await?;
                    // A holder whose lease ran out has died; the same request goes on in its place.
                    let taken_over = tx
                        .run(
                            "UPDATE idempotency_keys SET owner = $1, locked_until = $2 \
                             WHERE scope = $3 AND fingerprint = $4 \
                             AND status IS NULL AND locked_until < $5",
                            values![mine, until, scope.clone(), asked, now],
                        )
                        .await?;
                    if inserted + taken_over > 0 {
                        return Ok::<_, DataError>(Err(()));
                    }
                    let row = tx
                        .one::<Row>(
                            "SELECT fingerprint, status, headers, body \
                             FROM idempotency_keys WHERE scope = $1",
                            values![scope],
                        )
                        .await?;
                    Ok(Ok(row))
                })
            })
            .await?;
        Ok(match found {
            Err(()) => Claim::Ours(owner),
            Ok(Some(row)) if row.fingerprint != fingerprint => Claim::Other,
            Ok(Some(row)) => row.answer().map_or(Claim::Running, Claim::Done),
            Ok(None) => Claim::Running,
        })
    }

    /// Waits until some key was settled here, or long enough to look again.
    pub(super) async fn wait(&self) {
        // Running out of time is the normal case when another process holds the key.
        drop(tokio::time::timeout(POLL, self.settled.notified()).await);
    }

    /// Keeps a success for the repeats, and frees the key after a failure.
    pub(super) async fn settle(
        &self,
        scope: Uuid,
        owner: Uuid,
        response: Response,
    ) -> Result<Response, Problem> {
        let answered = self.keep_or_free(scope, owner, response).await;
        self.settled.notify_waiters();
        answered
    }

    async fn keep_or_free(
        &self,
        scope: Uuid,
        owner: Uuid,
        response: Response,
    ) -> Result<Response, Problem> {
        if !response.status().is_success() {
            self.free(scope, owner).await;
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, LARGEST_ANSWER).await else {
            self.free(scope, owner).await;
            return Err(Problem::internal());
        };
        // Tokens are not kept: a repeat of a sign-up is told its answer, and logs in.
        let headers: BTreeMap<&str, &str> = parts
            .headers
            .iter()
            .filter(|(name, _)| *name != header::SET_COOKIE)
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let headers = serde_json::to_string(&headers).unwrap_or_default();
        let (status, kept) = (i32::from(parts.status.as_u16()), body.to_vec());
        let written = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.run(
                        "UPDATE idempotency_keys SET status = $1, headers = $2, body = $3 \
                         WHERE scope = $4 AND owner = $5",
                        values![status, headers, kept, scope.to_string(), owner.to_string()],
                    )
                    .await
                })
            })
            .await;
        if let Err(error) = written {
            // The thing exists; its lease runs out and a repeat finds it by its operation id.
            tracing::warn!(%error, "an answer could not be kept for its repeats");
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    async fn free(&self, scope: Uuid, owner: Uuid) {
        let freed = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.run(
                        "DELETE FROM idempotency_keys WHERE scope = $1 AND owner = $2",
                        values![scope.to_string(), owner.to_string()],
                    )
                    .await
                })
            })
            .await;
        if let Err(error) = freed {
            tracing::warn!(%error, "a key could not be freed; its lease runs out");
        }
    }

    async fn prune(&self, now: i64) -> Result<(), DataError> {
        let last = self.pruned_at.load(Ordering::Relaxed);
        let due = now - last >= PRUNE_EVERY.as_millis() as i64;
        let swap =
            |a, b| self.pruned_at.compare_exchange(a, b, Ordering::Relaxed, Ordering::Relaxed);
        if !due || swap(last, now).is_err() {
            return Ok(());
        }
        let oldest = now - KEPT.as_millis() as i64;
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.run("DELETE FROM idempotency_keys WHERE created_at < $1", values![oldest])
                        .await
                })
            })
            .await
            .map(drop)
    }
}

impl Row {
    fn answer(self) -> Option<Response> {
        let status = StatusCode::from_u16(u16::try_from(self.status?).ok()?).ok()?;
        let body = Bytes::from(self.body.unwrap_or_default());
        let mut response = (status, Body::from(body)).into_response();
        let kept: BTreeMap<String, String> =
            serde_json::from_str(&self.headers.unwrap_or_default()).unwrap_or_default();
        for (name, value) in kept {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Some(response)
    }
}
