//! One instance of a service: where it is, how it does, and the calls under way to it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::clock::{Clock, Nanos, millis};
use crate::registry::Listed;
use crate::remote::breaker::{self, Admission, Breaker, State};
use crate::remote::load::Load;
use crate::remote::outlier::Sample;
use crate::settings::MeshSettings;
use crate::transport::Endpoint;
use crate::view::{Circuit, InstanceView};

/// What the instances of a mesh have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) clock: Clock,
    pub(crate) decay: Nanos,
    pub(crate) breaker: breaker::Rules,
    pub(crate) eject: Nanos,
}

impl Tuning {
    pub(crate) fn new(clock: Clock, settings: &MeshSettings) -> Self {
        Self {
            clock,
            decay: millis(settings.ewma_decay_ms.max(1)),
            breaker: breaker::Rules::new(settings),
            eject: millis(settings.outlier_eject_ms),
        }
    }
}

/// One instance of a service.
pub(crate) struct Instance {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) load: Load,
    pub(crate) breaker: Breaker,
    /// Which instance this is for rendezvous hashing.
    pub(crate) hash: u64,
    tuning: Tuning,
    /// Whether the registry lists it, or it is only kept because nobody else is listed.
    listed: AtomicBool,
    weight: AtomicU32,
    label: Mutex<Label>,
    succeeded: AtomicU32,
    failed: AtomicU32,
    ejected_until: AtomicU64,
    /// How often in a row it was ejected.
    ejections: AtomicU32,
}

/// What was said at registration and only `/status` shows.
struct Label {
    version: String,
    zone: String,
}

impl Instance {
    pub(crate) fn new(listed: &Listed, endpoint: Endpoint, tuning: Tuning) -> Self {
        let instance = Self {
            hash: crate::remote::pick::hash(listed.host.as_bytes()),
            endpoint: Arc::new(endpoint),
            load: Load::new(tuning.clock.now()),
            breaker: Breaker::new(),
            tuning,
            listed: AtomicBool::new(true),
            weight: AtomicU32::new(1),
            label: Mutex::new(Label { version: String::new(), zone: String::new() }),
            succeeded: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
        };
        instance.relabel(listed);
        instance
    }

    /// Takes over what the registry says now.
    pub(crate) fn relabel(&self, listed: &Listed) {
        self.listed.store(true, Relaxed);
        self.weight.store(listed.weight.max(1), Relaxed);
        let label = Label { version: listed.version.clone(), zone: listed.zone.clone() };
        *self.label.lock().unwrap_or_else(PoisonError::into_inner) = label;
    }

    /// The registry lists it no more.
    pub(crate) fn unlist(&self) {
        self.listed.store(false, Relaxed);
    }

    pub(crate) fn weight(&self) -> f64 {
        f64::from(self.weight.load(Relaxed))
    }

    /// What one more request is expected to cost, by peak EWMA.
    pub(crate) fn cost(&self, now: Nanos) -> f64 {
        self.load.cost(now, self.tuning.decay) / self.weight()
    }

    pub(crate) fn is_ejected(&self, now: Nanos) -> bool {
        self.ejected_until.load(Relaxed) > now
    }

    /// Leaves it out for a while, longer each time in a row, up to ten times as long.
    pub(crate) fn eject(&self, now: Nanos) {
        let times = u64::from(self.ejections.fetch_add(1, Relaxed).min(9)) + 1;
        self.ejected_until.store(now + self.tuning.eject * times, Relaxed);
    }

    /// It did well enough while it was measured.
    pub(crate) fn acquit(&self) {
        self.ejections.store(0, Relaxed);
    }

    pub(crate) fn sample(&self, now: Nanos) -> Sample {
        Sample {
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            ejected: self.is_ejected(now),
        }
    }

    pub(crate) fn restart_sample(&self) {
        self.succeeded.store(0, Relaxed);
        self.failed.store(0, Relaxed);
    }

    pub(crate) fn view(&self) -> InstanceView {
        let now = self.tuning.clock.now();
        let circuit = match self.breaker.state() {
            State::Open { .. } => Circuit::Open,
            State::HalfOpen { .. } => Circuit::HalfOpen,
            State::Closed { .. } if self.is_ejected(now) => Circuit::Ejected,
            State::Closed { .. } => Circuit::Closed,
        };
        let label = self.label.lock().unwrap_or_else(PoisonError::into_inner);
        InstanceView {
            host: self.endpoint.address().to_string(),
            version: label.version.clone(),
            zone: label.zone.clone(),
            weight: self.weight.load(Relaxed),
            healthy: circuit == Circuit::Closed && self.listed.load(Relaxed),
            circuit,
            in_flight: self.load.in_flight(),
            latency_ms: self.load.latency(now, self.tuning.decay) / 1e6,
        }
    }

    /// Starts a call, if the circuit lets it pass.
    pub(crate) fn begin(self: &Arc<Self>, now: Nanos) -> Option<Ticket> {
        let probe = match self.breaker.admission(now) {
            Admission::Pass => false,
            Admission::Probe if self.breaker.take_probe(now) => true,
            Admission::Probe | Admission::Refuse { .. } => return None,
        };
        self.load.begin();
        Some(Ticket {
            instance: self.clone(),
            began: now,
            deadline: None,
            probe,
            told: false,
            caller_ready: None,
        })
    }
}

/// A call under way. It counts as in flight until this is dropped, and its result is told once.
pub(crate) struct Ticket {
    instance: Arc<Instance>,
    began: Nanos,
    deadline: Option<Instant>,
    probe: bool,
    told: bool,
    /// Set once the caller has sent its whole request. Until then, waiting is the caller's doing.
    caller_ready: Option<Arc<AtomicBool>>,
}

impl Ticket {
    /// Blames the instance if the call is still without an answer at `deadline`, provided that
    /// the caller had sent its request by then.
    pub(crate) fn until(
        &mut self,
        deadline: Option<Instant>,
        caller_ready: Option<Arc<AtomicBool>>,
    ) {
        self.deadline = deadline;
        self.caller_ready = caller_ready;
    }

    pub(crate) fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The instance answered.
    pub(crate) fn succeed(&mut self) {
        if self.told {
            return;
        }
        self.told = true;
        let Instance { load, breaker, tuning, succeeded, .. } = &*self.instance;
        let now = tuning.clock.now();
        let took = now.saturating_sub(self.began);
        succeeded.fetch_add(1, Relaxed);
        if breaker.succeeded(self.probe) {
            tracing::info!(host = self.instance.endpoint.address(), "circuit closed");
            load.restart(took, now);
        } else {
            load.record(took, now, tuning.decay);
        }
    }

    /// The instance failed.
    pub(crate) fn fail(&mut self) {
        if self.told {
            return;
        }
        self.told = true;
        self.blame();
    }

    /// The instance has too much to do: its circuit stays closed, but it gets less.
    pub(crate) fn turned_away(&mut self) {
        self.told = true;
        let Instance { load, breaker, tuning, .. } = &*self.instance;
        let now = tuning.clock.now();
        load.record_failure(now.saturating_sub(self.began), now, tuning.decay);
        breaker.succeeded(self.probe);
    }

    /// The instance had answered, and failed before its answer was complete.
    pub(crate) fn fail_late(&mut self) {
        self.told = true;
        self.blame();
    }

    fn blame(&self) {
        let Instance { load, breaker, tuning, failed, .. } = &*self.instance;
        let now = tuning.clock.now();
        failed.fetch_add(1, Relaxed);
        load.record_failure(now.saturating_sub(self.began), now, tuning.decay);
        if breaker.failed(self.probe, now, &tuning.breaker) {
            let host = self.instance.endpoint.address();
            tracing::warn!(host, "circuit opened");
            metrics::counter!("mesh_circuit_opened_total").increment(1);
        }
    }

    /// Ends without a word, for tests that turn the clock by hand.
    #[cfg(test)]
    pub(crate) fn forget_for_test(&mut self) {
        self.told = true;
    }

    /// Nobody waits any more: was it the instance's fault?
    fn give_up(&self) {
        let late = self.deadline.is_some_and(|d| d <= Instant::now());
        let asked = self.caller_ready.as_ref().is_none_or(|ready| ready.load(Relaxed));
        if late && asked {
            return self.blame();
        }
        let Instance { load, breaker, tuning, .. } = &*self.instance;
        let now = tuning.clock.now();
        if asked {
            load.record_at_least(now.saturating_sub(self.began), now, tuning.decay);
        }
        if self.probe {
            breaker.probe_lost(now);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.told {
            self.give_up();
        }
        self.instance.load.end();
    }
}
