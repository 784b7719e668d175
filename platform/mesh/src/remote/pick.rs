//! Choosing an instance by [`Policy`], among those whose circuit lets a call pass, that are not
//! ejected, and that this call has not tried yet.
//!
//! Invariant: an instance that can be asked is found if there is one. Ejected ones are asked when
//! all others are out; those with an open circuit never.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rand::Rng;

use crate::Policy;
use crate::clock::Nanos;
use crate::remote::breaker::Admission;
use crate::remote::instance::{Instance, Ticket};

/// How a call is to be balanced.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) policy: &'a Policy,
    /// The channel's count for [`Policy::RoundRobin`].
    pub(crate) turn: &'a AtomicUsize,
    /// The hash of the header's value for [`Policy::ConsistentHash`].
    pub(crate) key: Option<u64>,
    /// It may be repeated, and so may be a probe although others are well.
    pub(crate) idempotent: bool,
}

/// Nobody can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoneLeft {
    /// When the next circuit may be probed, if one is open.
    pub(crate) until: Option<Nanos>,
}

/// How fit an instance is for a call, the fittest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fitness {
    Out,
    /// Only when nobody else is there.
    LastResort,
    Fit,
    /// Its circuit wants a probe, and this call can be one.
    Probe,
}

/// Starts a call to one of `set`.
pub(crate) fn pick(
    set: &[Arc<Instance>],
    tried: &[Arc<Instance>],
    choice: &Choice<'_>,
    now: Nanos,
) -> Result<Ticket, NoneLeft> {
    let fitness = |i: &Arc<Instance>| fitness(i, tried, choice.idempotent, now);
    let quick = match (choice.policy, choice.key) {
        (Policy::RoundRobin, _) => in_turn(set, choice.turn, fitness),
        (Policy::ConsistentHash(_), Some(key)) => by_hash(set, key, fitness),
        (Policy::LeastConnections, _) => of_two(set, fitness, connections),
        (Policy::PeakEwma | Policy::ConsistentHash(_), _) => of_two(set, fitness, |i| i.cost(now)),
    };
    if let Some(ticket) = quick.and_then(|i| i.begin(now)) {
        return Ok(ticket);
    }
    slowly(set, tried, choice, now)
}

/// Looks at every instance, the fittest and cheapest first.
fn slowly(
    set: &[Arc<Instance>],
    tried: &[Arc<Instance>],
    choice: &Choice<'_>,
    now: Nanos,
) -> Result<Ticket, NoneLeft> {
    let mut all: Vec<_> = set
        .iter()
        .map(|i| (fitness(i, tried, choice.idempotent, now), i.cost(now), i))
        .filter(|(fitness, ..)| *fitness > Fitness::Out)
        .collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    if let Some(ticket) = all.into_iter().find_map(|(_, _, i)| i.begin(now)) {
        return Ok(ticket);
    }
    let until = set.iter().filter_map(|i| match i.breaker.admission(now) {
        Admission::Refuse { until } => Some(until),
        Admission::Pass | Admission::Probe => None,
    });
    Err(NoneLeft { until: until.min() })
}

fn fitness(
    instance: &Arc<Instance>,
    tried: &[Arc<Instance>],
    idempotent: bool,
    now: Nanos,
) -> Fitness {
    if tried.iter().any(|t| Arc::ptr_eq(t, instance)) {
        return Fitness::Out;
    }
    match instance.breaker.admission(now) {
        Admission::Refuse { .. } => Fitness::Out,
        Admission::Probe if idempotent => Fitness::Probe,
        Admission::Probe => Fitness::LastResort,
        Admission::Pass if instance.is_ejected(now) => Fitness::LastResort,
        Admission::Pass => Fitness::Fit,
    }
}

fn connections(instance: &Arc<Instance>) -> f64 {
    (instance.load.in_flight() as f64 + 1.0) / instance.weight()
}

/// The cheaper of two different instances taken at random.
fn of_two(
    set: &[Arc<Instance>],
    fitness: impl Fn(&Arc<Instance>) -> Fitness,
    cost: impl Fn(&Arc<Instance>) -> f64,
) -> Option<&Arc<Instance>> {
    let (a, b) = match set {
        [] => return None,
        [only] => (only, only),
        _ => {
            // One draw gives both: 32 bits for each, and the second skips the first.
            let draw = rand::rng().next_u64();
            let first = below(draw as u32, set.len());
            let second = below((draw >> 32) as u32, set.len() - 1);
            (&set[first], &set[second + usize::from(second >= first)])
        }
    };
    let fit = |i: &&Arc<Instance>| fitness(i) >= Fitness::Fit;
    match (Some(a).filter(fit), Some(b).filter(fit)) {
        (Some(a), Some(b)) => {
            let cheaper = if cost(a) <= cost(b) { a } else { b };
            Some([a, b].into_iter().find(|i| fitness(i) == Fitness::Probe).unwrap_or(cheaper))
        }
        (one, other) => one.or(other),
    }
}

/// Maps 32 random bits to an index below `length` (Lemire, without the correction of its bias,
/// which is length / 2^32).
fn below(draw: u32, length: usize) -> usize {
    ((u64::from(draw) * length as u64) >> 32) as usize
}

/// The next fit one.
fn in_turn<'a>(
    set: &'a [Arc<Instance>],
    turn: &AtomicUsize,
    fitness: impl Fn(&Arc<Instance>) -> Fitness,
) -> Option<&'a Arc<Instance>> {
    let start = turn.fetch_add(1, Relaxed);
    (0..set.len())
        .map(|i| &set[start.wrapping_add(i) % set.len()])
        .find(|i| fitness(i) >= Fitness::Fit)
}

/// The fit one whose weighted rendezvous score for the key is highest: each key has an order of
/// instances of its own, so that one that goes away moves only its own keys.
/// Source: Thaler and Ravishankar; weights after Schindelhauer and Schomaker.
fn by_hash(
    set: &[Arc<Instance>],
    key: u64,
    fitness: impl Fn(&Arc<Instance>) -> Fitness,
) -> Option<&Arc<Instance>> {
    let score = |i: &Instance| {
        // 53 bits, never 0 and below 1: the logarithm is finite and negative.
        let unit = ((mix(key ^ i.hash) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        i.weight() / -unit.ln()
    };
    set.iter().filter(|i| fitness(i) >= Fitness::Fit).max_by(|a, b| score(a).total_cmp(&score(b)))
}

/// A hash that is the same in every process, so that all gateways agree: FNV-1a, then mixed.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let fnv = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// SplitMix64's finaliser.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
