//! The policies, on instances that exist only in memory and on a clock that is turned by hand.

use std::collections::HashMap;

use http::HeaderName;
use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::registry::Listed;
use crate::remote::instance::Tuning;
use crate::settings::MeshSettings;
use crate::transport::Endpoint;
use crate::transport::io::Dialer;

const MS: Nanos = 1_000_000;

fn set(weights: &[u32]) -> Vec<Arc<Instance>> {
    let settings = MeshSettings::default();
    let tuning = Tuning::new(Clock::begin(), &settings);
    let instance = |(i, weight): (usize, &u32)| {
        let host = format!("10.0.0.{i}:80");
        let endpoint = Endpoint::new(&host, &Dialer::default(), &settings).unwrap();
        let listed = Listed { host, version: String::new(), weight: *weight, zone: String::new() };
        Arc::new(Instance::new(&listed, endpoint, tuning))
    };
    weights.iter().enumerate().map(instance).collect()
}

fn open(instance: &Arc<Instance>, now: Nanos) {
    let rules = crate::remote::breaker::Rules::new(&MeshSettings::default());
    for _ in 0..5 {
        instance.breaker.failed(false, now, &rules);
    }
}

struct Chooser {
    policy: Policy,
    turn: AtomicUsize,
}

impl Chooser {
    fn new(policy: Policy) -> Self {
        Self { policy, turn: AtomicUsize::new(0) }
    }

    fn choice(&self, key: Option<u64>) -> Choice<'_> {
        Choice { policy: &self.policy, turn: &self.turn, key, idempotent: true }
    }

    fn index(&self, set: &[Arc<Instance>], key: Option<u64>, now: Nanos) -> Option<usize> {
        let ticket = pick(set, &[], &self.choice(key), now).ok()?;
        set.iter().position(|i| Arc::ptr_eq(i, ticket.instance()))
    }
}

fn policies() -> [Policy; 4] {
    let header = HeaderName::from_static("x-user");
    [Policy::PeakEwma, Policy::RoundRobin, Policy::LeastConnections, Policy::ConsistentHash(header)]
}

#[test]
fn nobody_is_chosen_from_nobody() {
    for policy in policies() {
        let none = pick(&[], &[], &Chooser::new(policy).choice(None), 0).err();
        assert_eq!(none, Some(NoneLeft { until: None }));
    }
}

#[test]
fn the_slow_one_of_eight_gets_few() {
    let set = set(&[1; 8]);
    let chooser = Chooser::new(Policy::PeakEwma);
    let mut counts = [0; 8];
    // Closed loop: 16 callers, a call takes 2 ms, at the slow one 200 ms.
    let mut under_way: Vec<(Nanos, usize, Ticket)> = Vec::new();
    for step in 0..20_000_u64 {
        let now = step * MS / 8;
        while let Some(done) = under_way.iter().position(|(end, ..)| *end <= now) {
            let (_, index, mut ticket) = under_way.swap_remove(done);
            let took = if index == 0 { 200 } else { 2 };
            set[index].load.record(took * MS, now, 10_000 * MS);
            ticket.forget_for_test();
        }
        if under_way.len() < 16 {
            let ticket = pick(&set, &[], &chooser.choice(None), now).unwrap();
            let index = set.iter().position(|i| Arc::ptr_eq(i, ticket.instance())).unwrap();
            counts[index] += 1;
            under_way.push((now + if index == 0 { 200 } else { 2 } * MS, index, ticket));
        }
    }
    let total: u32 = counts.iter().sum();
    assert!(total > 10_000);
    assert!(counts[0] < total / 100, "{counts:?}");
    assert!(counts[1..].iter().all(|c| *c > total / 10), "{counts:?}");
}

#[test]
fn round_robin_takes_turns_and_skips_who_is_out() {
    let set = set(&[1; 4]);
    let chooser = Chooser::new(Policy::RoundRobin);
    let order: Vec<_> = (0..8).map(|_| chooser.index(&set, None, 0).unwrap()).collect();
    assert_eq!(order, [0, 1, 2, 3, 0, 1, 2, 3]);
    open(&set[1], 0);
    let order: Vec<_> = (0..4).map(|_| chooser.index(&set, None, 0).unwrap()).collect();
    assert!(!order.contains(&1), "{order:?}");
}

#[test]
fn least_connections_prefers_the_idle_one() {
    let set = set(&[1, 1]);
    let chooser = Chooser::new(Policy::LeastConnections);
    let busy: Vec<_> = (0..3).map(|_| set[0].begin(0).unwrap()).collect();
    for _ in 0..50 {
        assert_eq!(chooser.index(&set, None, 0), Some(1));
    }
    drop(busy);
}

#[test]
fn a_key_keeps_its_instance_and_only_orphans_move() {
    let set = set(&[1; 6]);
    let chooser = Chooser::new(policies()[3].clone());
    let home = |set: &[Arc<Instance>], key: u64| {
        let i = chooser.index(set, Some(hash(&key.to_le_bytes())), 0).unwrap();
        set[i].endpoint.address().to_owned()
    };
    let before: HashMap<u64, String> = (0..2_000).map(|key| (key, home(&set, key))).collect();
    let gone = set[2].endpoint.address().to_owned();
    let mut smaller = set.clone();
    smaller.remove(2);
    for (key, host) in &before {
        let now = home(&smaller, *key);
        assert!(*host == gone || *host == now, "{key} moved from {host} to {now}");
    }
    for instance in &set {
        let share = before.values().filter(|h| *h == instance.endpoint.address()).count();
        assert!((200..500).contains(&share), "{share} of 2000 at one of six");
    }
}

#[test]
fn weights_count() {
    let set = set(&[1, 3]);
    let chooser = Chooser::new(policies()[3].clone());
    let at = |key: u64| chooser.index(&set, Some(hash(&key.to_le_bytes())), 0).unwrap();
    let heavy = (0..4_000).filter(|key| at(*key) == 1).count();
    assert!((2_800..3_200).contains(&heavy), "{heavy} of 4000 at weight 3 of 4");
}

#[test]
fn an_ejected_one_is_the_last_resort() {
    let set = set(&[1, 1]);
    set[0].eject(0);
    for policy in policies() {
        let chooser = Chooser::new(policy);
        for key in 0..20 {
            assert_eq!(chooser.index(&set, Some(key), 1), Some(1));
        }
    }
    open(&set[1], 1);
    for policy in policies() {
        assert_eq!(Chooser::new(policy).index(&set, Some(7), 1), Some(0));
    }
}

#[test]
fn a_due_probe_is_made_by_a_call_that_can_be_repeated() {
    let set = set(&[1, 1]);
    let chooser = Chooser::new(Policy::PeakEwma);
    open(&set[0], 0);
    let due = 1_000 * MS;
    let once = Choice { idempotent: false, ..chooser.choice(None) };
    for _ in 0..20 {
        let ticket = pick(&set, &[], &once, due).unwrap();
        assert!(Arc::ptr_eq(ticket.instance(), &set[1]));
    }
    let probe = pick(&set, &[], &chooser.choice(None), due).unwrap();
    assert!(Arc::ptr_eq(probe.instance(), &set[0]));
    // While the probe is under way the others go elsewhere; when it is given up, the next may.
    assert_eq!(chooser.index(&set, None, due), Some(1));
    drop(probe);
}

proptest! {
    #[test]
    fn whoever_can_be_asked_is_found(
        states in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 1..8),
        policy in 0_usize..4,
        key in any::<u64>(),
        idempotent in any::<bool>(),
    ) {
        let set = set(&vec![1; states.len()]);
        let mut tried = Vec::new();
        for (instance, (broken, ejected, was_tried)) in set.iter().zip(&states) {
            if *broken { open(instance, 0); }
            if *ejected { instance.eject(0); }
            if *was_tried { tried.push(instance.clone()); }
        }
        let chooser = Chooser::new(policies()[policy].clone());
        let choice = Choice { idempotent, ..chooser.choice(Some(key)) };
        let possible = states.iter().any(|(broken, _, tried)| !broken && !tried);
        match pick(&set, &tried, &choice, MS) {
            Ok(ticket) => {
                let index = set.iter().position(|i| Arc::ptr_eq(i, ticket.instance())).unwrap();
                let (broken, ejected, was_tried) = states[index];
                prop_assert!(!broken && !was_tried);
                let better = states.iter().any(|(b, e, t)| !b && !e && !t);
                prop_assert!(!ejected || !better, "an ejected one although another was fit");
            }
            Err(_) => prop_assert!(!possible),
        }
    }
}
