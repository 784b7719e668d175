//! The registry's rules, without a clock.

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { services: 3, instances: 5, tickets: 4, ticket_life: 10_000 };

fn registry() -> Registry {
    Registry::new(BOUNDS, 7)
}

fn said(host: &str) -> Registration {
    Registration { host: host.into(), version: "1".into(), weight: 1, zone: String::new() }
}

fn hosts(registry: &Registry, name: &str) -> Vec<String> {
    let mut all = registry.list();
    let found = all.find(|(n, _)| *n == name);
    found.map(|(_, i)| i.map(|i| i.said.host.clone()).collect()).unwrap_or_default()
}

#[test]
fn heartbeats_keep_an_instance_and_change_nothing_else() {
    let mut registry = registry();
    registry.register("a", said("h:1"), 0, 0, Heard::Here).unwrap();
    let index = registry.index();
    for now in (0..10_000).step_by(1_000) {
        registry.register("a", said("h:1"), now, 0, Heard::Here).unwrap();
        registry.expire(now);
    }
    // The end of the warm-up is the only change.
    assert_eq!(registry.index(), index + 1);
    assert_eq!(hosts(&registry, "a"), ["h:1"]);
}

#[test]
fn an_instance_dies_three_seconds_after_its_last_heartbeat() {
    let mut registry = registry();
    registry.register("a", said("h:1"), 1_000, 0, Heard::Here).unwrap();
    registry.expire(3_000);
    assert_eq!(registry.next_expiry(), Some(4_000));
    assert!(!registry.expire(3_999));
    assert_eq!(registry.hand_out("a", 3_999, 0).unwrap().host, "h:1");
    assert!(registry.expire(4_000));
    assert!(hosts(&registry, "a").is_empty());
    assert_eq!(registry.hand_out("a", 4_000, 0).unwrap_err(), NoInstance::NoneHealthy);
    assert_eq!(registry.hand_out("b", 4_000, 0).unwrap_err(), NoInstance::Unknown);
}

#[test]
fn a_new_version_is_a_change() {
    let mut registry = registry();
    registry.register("a", said("h:1"), 0, 0, Heard::Here).unwrap();
    let index = registry.index();
    registry
        .register("a", Registration { version: "2".into(), ..said("h:1") }, 1, 0, Heard::Here)
        .unwrap();
    assert_ne!(registry.index(), index);
}

#[test]
fn warming_ends_with_a_change_after_three_seconds() {
    let mut registry = registry();
    assert!(registry.is_warming());
    assert_eq!(registry.next_expiry(), Some(WARM_UP));
    let index = registry.index();
    assert!(!registry.expire(WARM_UP - 1));
    assert!(registry.expire(WARM_UP));
    assert!(!registry.is_warming());
    assert_ne!(registry.index(), index);
}

#[test]
fn a_leave_is_at_once_and_once() {
    let mut registry = registry();
    registry.register("a", said("h:1"), 0, 0, Heard::Here).unwrap();
    let index = registry.index();
    assert!(registry.leave("a", "h:1", 1));
    assert_ne!(registry.index(), index);
    assert!(!registry.leave("a", "h:1", 1));
    assert!(!registry.leave("b", "h:1", 1));
}

#[test]
fn the_fewest_open_tickets_win_and_ties_take_turns() {
    let mut registry = registry();
    for host in ["h:1", "h:2"] {
        registry.register("a", said(host), 0, 0, Heard::Here).unwrap();
    }
    let first = registry.hand_out("a", 0, 1).unwrap();
    let second = registry.hand_out("a", 0, 2).unwrap();
    assert_ne!(first.host, second.host);
    assert!(registry.close(&second.ticket));
    assert!(!registry.close(&second.ticket), "a ticket is closed once");
    assert_eq!(registry.hand_out("a", 0, 3).unwrap().host, second.host);
    assert!(registry.close(&first.ticket));
    // One each was closed; now the one that waited longer.
    assert_eq!(registry.hand_out("a", 0, 4).unwrap().host, first.host);
}

#[test]
fn tickets_expire_and_are_bounded() {
    let mut registry = registry();
    for host in ["h:1", "h:2"] {
        registry.register("a", said(host), 0, 0, Heard::Here).unwrap();
    }
    let tickets: Vec<_> = (0..6).map(|i| registry.hand_out("a", 0, i).unwrap().ticket).collect();
    assert_eq!(registry.open_tickets(), 4, "the two oldest were closed for the last two");
    assert!(!registry.close(&tickets[0]));
    assert!(registry.close(&tickets[5]));
    registry.expire(BOUNDS.ticket_life);
    assert_eq!(registry.open_tickets(), 0);
    assert!(!registry.close(&tickets[4]));
}

#[test]
fn a_guessed_ticket_is_none() {
    let mut registry = registry();
    registry.register("a", said("h:1"), 0, 0, Heard::Here).unwrap();
    let ticket = registry.hand_out("a", 0, 0x1234).unwrap().ticket;
    let (number, _) = ticket.split_once('-').unwrap();
    for wrong in ["", "-", "x-y", number, &format!("{number}-0"), &format!("{number}-zz")] {
        assert!(!registry.close(wrong), "{wrong}");
    }
    assert!(registry.close(&ticket));
}

#[test]
fn it_takes_so_much_and_no_more_and_forgets_the_longest_empty_name() {
    let mut registry = registry();
    for (name, host) in [("a", "h:1"), ("b", "h:2"), ("c", "h:3")] {
        registry.register(name, said(host), 0, 0, Heard::Here).unwrap();
    }
    assert_eq!(registry.register("d", said("h:4"), 0, 0, Heard::Here), Err(Full), "three names");
    registry.leave("b", "h:2", 1);
    registry.register("d", said("h:4"), 2, 0, Heard::Here).unwrap();
    assert_eq!(registry.hand_out("b", 2, 0).unwrap_err(), NoInstance::Unknown);
    for host in ["h:5", "h:6"] {
        registry.register("d", said(host), 2, 0, Heard::Here).unwrap();
    }
    assert_eq!(registry.register("d", said("h:7"), 2, 0, Heard::Here), Err(Full), "five instances");
    registry.register("d", said("h:6"), 3, 0, Heard::Here).expect("a heartbeat needs no room");
}

#[test]
fn what_another_registry_keeps_alive_stays_while_it_cannot_be_heard() {
    let mut registry = registry();
    registry.register("a", said("here:1"), 1_000, 0, Heard::Here).unwrap();
    registry.register("a", said("there:1"), 1_000, 0, Heard::Elsewhere).unwrap();
    registry.register("a", said("both:1"), 1_000, 0, Heard::Elsewhere).unwrap();
    registry.lose_touch();
    registry.register("a", said("both:1"), 2_000, 0, Heard::Here).unwrap();
    registry.expire(4_000);
    assert_eq!(hosts(&registry, "a"), ["both:1", "there:1"]);
    registry.expire(5_000);
    assert_eq!(hosts(&registry, "a"), ["there:1"]);
    assert_eq!(registry.next_expiry(), None);
    assert_eq!(registry.hand_out("a", 60_000, 0).unwrap().host, "there:1");
    // Back in touch, it has to be told of again.
    registry.regain_touch(60_000);
    registry.expire(62_999);
    assert_eq!(hosts(&registry, "a"), ["there:1"]);
    registry.expire(63_000);
    assert!(hosts(&registry, "a").is_empty());
}

#[test]
fn tickets_of_other_registries_count() {
    let mut registry = registry();
    for host in ["h:1", "h:2"] {
        registry.register("a", said(host), 0, 0, Heard::Here).unwrap();
    }
    registry.opened("7-00000000000000aa", "a", "h:1", 0);
    registry.opened("7-00000000000000aa", "a", "h:1", 0);
    assert_eq!(registry.open_tickets(), 1);
    assert_eq!(registry.hand_out("a", 0, 1).unwrap().host, "h:2");
    assert!(registry.close("7-00000000000000aa"));
    assert!(!registry.close("7-00000000000000aa"));
    assert_eq!(registry.hand_out("a", 0, 2).unwrap().host, "h:1");
}

#[test]
fn another_run_has_another_index() {
    let of = |random| Registry::new(BOUNDS, random).index();
    assert_ne!(of(1), of(2));
    assert!(of(u64::MAX) < 1 << 53);
}

#[derive(Clone, Debug)]
enum Step {
    Register(u8, u8),
    Leave(u8, u8),
    HandOut(u8),
    Close(usize),
    Wait(Millis),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u8..4, 0_u8..4).prop_map(|(s, h)| Step::Register(s, h)),
        (0_u8..4, 0_u8..4).prop_map(|(s, h)| Step::Leave(s, h)),
        (0_u8..4).prop_map(Step::HandOut),
        (0_usize..20).prop_map(Step::Close),
        (0_u64..2_000).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn whatever_happens_the_books_are_right(steps in steps()) {
        let mut registry = registry();
        let mut now = 0;
        let mut given: Vec<String> = Vec::new();
        let mut last = Vec::new();
        let mut index = registry.index();
        for step in steps {
            match step {
                Step::Register(s, h) => drop(registry.register(&s.to_string(), said(&format!("h:{h}")), now, 0, Heard::Here)),
                Step::Leave(s, h) => { registry.leave(&s.to_string(), &format!("h:{h}"), now); }
                Step::HandOut(s) => given.extend(registry.hand_out(&s.to_string(), now, now).map(|h| h.ticket)),
                Step::Close(i) => if let Some(ticket) = given.get(i) { registry.close(ticket); }
                Step::Wait(pause) => { now += pause; registry.expire(now); }
            }
            // A change of the list is a change of the index.
            let list: Vec<_> = registry.list().map(|(n, i)| (n.to_owned(), i.map(|i| i.said.clone()).collect::<Vec<_>>())).collect();
            let hosts = |l: &[(String, Vec<Registration>)]| l.iter().flat_map(|(n, i)| i.iter().map(move |i| (n.clone(), i.clone()))).collect::<Vec<_>>();
            if hosts(&list) != hosts(&last) {
                prop_assert_ne!(registry.index(), index);
            }
            prop_assert!(registry.index() >= index);
            index = registry.index();
            last = list;
            prop_assert!(last.len() <= BOUNDS.services);
            prop_assert!(hosts(&last).len() <= BOUNDS.instances);
            prop_assert!(registry.open_tickets() <= BOUNDS.tickets);
            let counted: u32 = registry.services.values().flat_map(|s| s.instances.values()).map(|i| i.tickets).sum();
            prop_assert!(counted as usize <= registry.open_tickets());
        }
    }
}
