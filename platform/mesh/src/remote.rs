//! The instances of one service that are elsewhere, and a call to one of them.
//!
//! Invariant: a request is repeated only if nothing was done with it, or if doing it twice is the
//! same as once. Repeats that load an instance are paid from the budget.

pub(crate) mod breaker;
mod budget;
pub(crate) mod grpc;
pub(crate) mod instance;
mod load;
mod outlier;
pub(crate) mod pick;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::clock::Nanos;
use crate::error::{ERROR, Error, Kind};
use crate::registry::Listed;
use crate::settings::MeshSettings;
use crate::transport::io::Dialer;
use crate::transport::outgoing::Outgoing;
use crate::transport::{self, Answer, Endpoint, Failure, Way};
use budget::Budget;
use instance::{Instance, Ticket, Tuning};
use pick::{Choice, NoneLeft};

/// How often a set is searched for outliers.
const SWEEP: Nanos = 1_000_000_000;
/// Instances one call is tried on because an answer was missing or bad.
const ATTEMPTS: usize = 3;
/// Instances one call is tried on when nobody listens at their addresses.
const CONNECTS: usize = 16;

/// The instances of one service.
pub(crate) struct Remote {
    service: Arc<str>,
    set: ArcSwap<Vec<Arc<Instance>>>,
    budget: Budget,
    outliers: outlier::Rules,
    next_sweep: AtomicU64,
    tuning: Tuning,
}

/// One request on its way to some instance.
pub(crate) struct Request {
    pub(crate) parts: Parts,
    pub(crate) body: Outgoing,
    pub(crate) way: Way,
    pub(crate) idempotent: bool,
    pub(crate) deadline: Option<Instant>,
    /// It goes to somebody else's service, which has no door of ours.
    pub(crate) external: bool,
}

/// Why an attempt is not the last, or that it is.
enum Verdict {
    Done(Response),
    Failed(Kind),
    /// Nothing was sent: another instance may be asked, whatever was asked for.
    Elsewhere(Kind),
    /// Another instance may be asked if the budget allows; otherwise this is the result.
    Again(Result<(Answer, Ticket), Kind>),
}

impl Remote {
    pub(crate) fn new(service: Arc<str>, tuning: Tuning, settings: &MeshSettings) -> Self {
        Self {
            service,
            set: ArcSwap::default(),
            budget: Budget::new(settings),
            outliers: outlier::Rules::new(settings),
            next_sweep: AtomicU64::new(SWEEP),
            tuning,
        }
    }

    pub(crate) fn set(&self) -> Arc<Vec<Arc<Instance>>> {
        self.set.load_full()
    }

    /// Knows of this instance and no other, which it shares with whoever else knows it.
    pub(crate) fn keep_to(&self, instance: Arc<Instance>) {
        self.set.store(Arc::new(vec![instance]));
    }

    /// Takes over what the registry lists. Instances that stay keep their connections and what
    /// is known of them. With `keep`, those not listed stay as well.
    pub(crate) fn update(
        &self,
        listed: &[Listed],
        keep: bool,
        dialer: &Dialer,
        settings: &MeshSettings,
    ) {
        let old = self.set();
        let mut new: Vec<Arc<Instance>> = Vec::with_capacity(listed.len());
        for listed in listed {
            let known = old.iter().find(|i| i.endpoint.address() == listed.host);
            let instance = match known {
                Some(instance) => {
                    instance.relabel(listed);
                    instance.clone()
                }
                None => match Endpoint::new(&listed.host, dialer, settings) {
                    Some(endpoint) => Arc::new(Instance::new(listed, endpoint, self.tuning)),
                    None => continue,
                },
            };
            if !new.iter().any(|i| i.endpoint.address() == listed.host) {
                new.push(instance);
            }
        }
        if keep {
            let absent = |i: &&Arc<Instance>| !new.iter().any(|n| Arc::ptr_eq(n, i));
            let kept: Vec<_> = old.iter().filter(absent).cloned().collect();
            new.extend(kept);
        }
        if new.len() != old.len() || !new.iter().zip(old.iter()).all(|(a, b)| Arc::ptr_eq(a, b)) {
            self.set.store(Arc::new(new));
        }
    }

    /// Calls one instance, and others after it where that is safe.
    pub(crate) async fn send(
        &self,
        mut request: Request,
        choice: &Choice<'_>,
    ) -> Result<Response, Error> {
        let now = self.tuning.clock.now();
        self.budget.deposit(now);
        self.sweep_when_due(now);
        let mut tried = Vec::new();
        let mut attempts = 0;
        let mut last = None;
        loop {
            let now = self.tuning.clock.now();
            let ticket = match pick::pick(&self.set.load(), &tried, choice, now) {
                Ok(ticket) => ticket,
                Err(none) => return self.give_up(last, none, now),
            };
            let instance = ticket.instance().clone();
            match self.attempt(&mut request, ticket).await {
                Verdict::Done(response) => return Ok(response),
                Verdict::Failed(kind) => return Err(self.error(kind, 1)),
                Verdict::Elsewhere(kind) => {
                    last = Some(Err(kind));
                    if tried.len() >= CONNECTS {
                        return Err(self.error(kind, 1));
                    }
                }
                Verdict::Again(result) => {
                    attempts += 1;
                    if attempts >= ATTEMPTS || !self.budget.withdraw(self.tuning.clock.now()) {
                        return self.settle(result);
                    }
                    let service = self.service.to_string();
                    metrics::counter!("mesh_retries_total", "service" => service).increment(1);
                    last = Some(result);
                }
            }
            tried.push(instance);
        }
    }

    /// No instance is left to ask: what came before counts, if anything did.
    fn give_up(
        &self,
        last: Option<Result<(Answer, Ticket), Kind>>,
        none: NoneLeft,
        now: Nanos,
    ) -> Result<Response, Error> {
        match last {
            Some(result) => self.settle(result),
            None => {
                let wait =
                    none.until.map_or(1, |until| until.saturating_sub(now).div_ceil(1_000_000_000));
                Err(self.error(Kind::Unavailable, wait))
            }
        }
    }

    fn settle(&self, result: Result<(Answer, Ticket), Kind>) -> Result<Response, Error> {
        match result {
            Ok((answer, ticket)) => match Error::from_headers(&self.service, answer.headers()) {
                Some(error) => Err(error),
                None => Ok(answer.into_response(ticket)),
            },
            Err(kind) => Err(self.error(kind, 1)),
        }
    }

    async fn attempt(&self, request: &mut Request, mut ticket: Ticket) -> Verdict {
        let Request { parts, body, way, idempotent, deadline, external } = request;
        ticket.until(*deadline, body.ended());
        let kept = body.again();
        let repeatable = kept.is_some();
        let endpoint = ticket.instance().endpoint.clone();
        let sent = transport::send(&endpoint, parts, body, *way, *idempotent).await;
        // Sending takes the body; the next instance is to get all of it again.
        if let Some(kept) = kept {
            *body = kept;
        }
        let again = repeatable && *idempotent;
        match sent {
            Ok(mut answer) => {
                if *external {
                    answer.headers_mut().remove(ERROR);
                }
                self.judge(answer, ticket, again, repeatable)
            }
            // The caller's own doing, and nothing about the instance.
            Err(Failure::Caller(_)) => Verdict::Failed(Kind::Broken),
            Err(failure) => {
                let host = endpoint.address();
                tracing::debug!(service = &*self.service, host, error = %failure, "call failed");
                ticket.fail();
                match failure {
                    Failure::Connect(_) | Failure::NotSent => Verdict::Elsewhere(Kind::Unavailable),
                    Failure::Refused if repeatable => Verdict::Again(Err(Kind::Unavailable)),
                    _ if again => Verdict::Again(Err(Kind::Broken)),
                    _ => Verdict::Failed(Kind::Broken),
                }
            }
        }
    }

    /// Says what a response means for its instance, and whether another should be asked.
    fn judge(&self, answer: Answer, mut ticket: Ticket, again: bool, repeatable: bool) -> Verdict {
        if let Some(error) = Error::from_headers(&self.service, answer.headers()) {
            // The door turned it away: nothing was done, unless time ran out inside.
            return match error.kind() {
                Kind::Busy | Kind::Unavailable => {
                    ticket.turned_away();
                    if repeatable {
                        Verdict::Again(Ok((answer, ticket)))
                    } else {
                        Verdict::Failed(error.kind())
                    }
                }
                kind => {
                    ticket.fail();
                    Verdict::Failed(kind)
                }
            };
        }
        let status = answer.status();
        let failed = match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => true,
            _ => grpc::is_failure(answer.headers()),
        };
        if !failed {
            ticket.succeed();
            return Verdict::Done(answer.into_response(ticket));
        }
        ticket.fail();
        let may_do_better =
            matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
                || grpc::is_unavailable(answer.headers());
        if again && may_do_better {
            Verdict::Again(Ok((answer, ticket)))
        } else {
            Verdict::Done(answer.into_response(ticket))
        }
    }

    fn error(&self, kind: Kind, retry_after: u64) -> Error {
        Error::new(kind, &self.service, retry_after)
    }

    /// Looks for outliers, if the last look is long enough ago. One of the callers does it.
    fn sweep_when_due(&self, now: Nanos) {
        let due = self.next_sweep.load(Relaxed);
        if now < due
            || self.next_sweep.compare_exchange(due, now + SWEEP, Relaxed, Relaxed).is_err()
        {
            return;
        }
        let set = self.set.load();
        let samples: Vec<_> = set.iter().map(|i| i.sample(now)).collect();
        let out = outlier::outliers(&samples, &self.outliers);
        for (i, instance) in set.iter().enumerate() {
            if out.contains(&i) {
                instance.eject(now);
                let host = instance.endpoint.address();
                tracing::warn!(
                    service = &*self.service,
                    host,
                    "ejected: it fails more than the others"
                );
                let service = self.service.to_string();
                metrics::counter!("mesh_ejections_total", "service" => service).increment(1);
            } else if samples[i].volume() >= outlier::VOLUME {
                instance.acquit();
            } else {
                continue;
            }
            instance.restart_sample();
        }
    }
}

/// Whether a method may be repeated.
pub(crate) fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS].contains(method)
}
