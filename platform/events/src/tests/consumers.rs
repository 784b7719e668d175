//! Consumers: each effect exactly once, in order, whatever fails.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::log::Mark;

on_each_log!(a_new_consumer_starts_at_the_beginning_and_follows, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.append(0..100).await;
    house.summing("sum").spawn(&house.tasks);
    house.until_sums(100).await;
    house.append(100..130).await;
    house.until_sums(130).await;
    assert_eq!(house.sums().await, range(0..130));
    house.tasks.stop().await;
});

on_each_log!(a_restarted_consumer_goes_on_where_it_was, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.append(0..40).await;
    house.summing("sum").spawn(&house.tasks);
    house.until_sums(10).await;
    house.tasks.stop().await;
    let again = house.again().await;
    again.summing("sum").spawn(&again.tasks);
    again.append(40..50).await;
    again.until_sums(50).await;
    assert_eq!(again.sums().await, range(0..50));
    again.tasks.stop().await;
});

on_each_log!(two_instances_handle_an_event_once_between_them, |settings: Engines| async move {
    let house = House::build(settings).await;
    let other = house.again().await;
    house.summing("sum").spawn(&house.tasks);
    other.summing("sum").spawn(&other.tasks);
    for start in (0..300).step_by(10) {
        house.append(start..start + 10).await;
    }
    house.until_sums(300).await;
    house.tasks.stop().await;
    other.tasks.stop().await;
    assert_eq!(house.sums().await, range(0..300));
});

on_each_log!(two_consumers_each_handle_everything, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.summing("one").spawn(&house.tasks);
    house.summing("two").spawn(&house.tasks);
    house.append(0..20).await;
    house.until_sums(40).await;
    let mut times = HashMap::new();
    for n in house.sums().await {
        *times.entry(n).or_insert(0) += 1;
    }
    assert!(times.len() == 20 && times.values().all(|t| *t == 2), "{times:?}");
    house.tasks.stop().await;
});

on_each_log!(a_position_set_back_repeats_nothing, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.append(0..20).await;
    house.summing("sum").spawn(&house.tasks);
    house.until_sums(20).await;
    house.tasks.stop().await;
    let again = house.again().await;
    let back: Result<u64, DataError> = again
        .db
        .write(|tx: &Tx| {
            Box::pin(async move { tx.run("UPDATE events_positions SET position = 0", []).await })
        })
        .await;
    assert_eq!(back.unwrap(), 1);
    again.summing("sum").spawn(&again.tasks);
    again.append(20..21).await;
    again.until_sums(21).await;
    assert_eq!(again.sums().await, range(0..21));
    again.tasks.stop().await;
});

on_each_log!(what_fails_for_a_while_is_handled_once_and_in_order, |settings: Engines| async move {
    let house = House::build(settings).await;
    let failures: Shared<HashMap<i64, u32>> = Shared::default();
    let seen = failures.clone();
    Consumer::new("sum", house.db.clone(), house.log.clone())
        .with(ConsumerSettings { attempts: 5, ..impatient() })
        .on(COUNTED, move |tx, event| {
            let seen = seen.clone();
            Box::pin(async move {
                add(tx, event).await?;
                let Counted { n } = event.decode()?;
                let mut seen = seen.lock().unwrap();
                let failed = seen.entry(n).or_insert(0);
                if n % 7 == 3 && *failed < 3 {
                    *failed += 1;
                    if n == 10 {
                        drop(seen);
                        panic!("a panic is a failure too");
                    }
                    return Err(HandlerError::retry("not yet"));
                }
                Ok(())
            })
        })
        .spawn(&house.tasks);
    house.append(0..40).await;
    house.until_sums(40).await;
    assert_eq!(house.sums().await, range(0..40));
    assert_eq!(failures.lock().unwrap()[&17], 3);
    assert_eq!(crate::dead_letters(&house.db).await.unwrap(), []);
    house.tasks.stop().await;
});

on_each_log!(what_keeps_failing_is_a_dead_letter_until_replayed, |settings: Engines| async move {
    let house = House::build(settings).await;
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    Consumer::new("sum", house.db.clone(), house.log.clone())
        .with(impatient())
        .on(COUNTED, move |tx, event| {
            let broken = is_broken.clone();
            Box::pin(async move {
                add(tx, event).await?;
                let Counted { n } = event.decode()?;
                match n {
                    3 if broken.load(Ordering::SeqCst) => Err(HandlerError::retry("no three")),
                    _ => Ok(()),
                }
            })
        })
        .spawn(&house.tasks);
    house.append(0..6).await;
    house.until_sums(5).await;
    assert_eq!(house.sums().await, [0, 1, 2, 4, 5]);
    let letters = crate::dead_letters(&house.db).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.consumer, "sum");
    assert_eq!(letter.error, "no three");
    assert_eq!(letter.attempts, 3);
    assert_eq!(letter.event.decode::<Counted>().unwrap(), Counted { n: 3 });

    // Still broken: it stays, with one more attempt.
    assert!(crate::replay(&house.db, letter.id).await.unwrap());
    eventually("it was tried again", || async {
        let letters = crate::dead_letters(&house.db).await.unwrap();
        letters[0].attempts == 4 && !letters[0].replaying
    })
    .await;
    assert_eq!(house.sums().await.len(), 5);

    broken.store(false, Ordering::SeqCst);
    assert!(crate::replay(&house.db, letter.id).await.unwrap());
    house.until_sums(6).await;
    assert_eq!(house.sums().await, [0, 1, 2, 4, 5, 3]);
    eventually("the letter is gone", || async {
        crate::dead_letters(&house.db).await.unwrap().is_empty()
    })
    .await;
    assert!(!crate::replay(&house.db, letter.id).await.unwrap());
    house.tasks.stop().await;
});

on_each_log!(what_cannot_be_read_is_a_dead_letter_at_once, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.summing("sum").spawn(&house.tasks);
    let odd = Entry::new(COUNTED, "key", &"not a count").unwrap();
    house.log.append(vec![odd, entry("test.unknown.v1", 8), entry(COUNTED, 9)]).await.unwrap();
    house.until_sums(1).await;
    let letters = crate::dead_letters(&house.db).await.unwrap();
    assert_eq!((letters.len(), letters[0].attempts), (1, 1));
    assert!(crate::discard(&house.db, letters[0].id).await.unwrap());
    assert_eq!(crate::dead_letters(&house.db).await.unwrap(), []);
    assert_eq!(house.sums().await, [9]);
    house.tasks.stop().await;
});

on_each_log!(a_log_that_was_replaced_is_read_anew, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.append(0..30).await;
    house.summing("sum").spawn(&house.tasks);
    house.until_sums(30).await;
    house.tasks.stop().await;
    let other_log = house.engines.another_log().await;
    let again = House { log: Log::open(&other_log).await.unwrap(), tasks: Tasks::new(), ..house };
    again.append(30..35).await;
    again.summing("sum").spawn(&again.tasks);
    again.until_sums(35).await;
    assert_eq!(again.sums().await, range(0..35));
    again.tasks.stop().await;
});

on_each_log!(what_another_instance_has_handled_is_not_touched, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.append(0..4).await;
    let events: Vec<_> = house.log.read_after(0, 10).await.unwrap();
    let events: Vec<_> = events.into_iter().map(Arc::new).collect();
    let work = house.summing("sum").work;
    assert_eq!(work.position().await.unwrap(), Mark::start());
    assert_eq!(work.apply(&Mark::start(), events[..2].to_vec()).await, Ok(true));
    // An instance that has not noticed.
    assert_eq!(work.apply(&Mark::start(), events.clone()).await, Ok(false));
    assert_eq!(house.sums().await, [0, 1]);
    assert_eq!(work.position().await.unwrap(), Mark::of(&events[1]));
});
