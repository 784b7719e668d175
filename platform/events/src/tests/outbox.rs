//! From a transaction into the log: if and only if committed, in order, once.

use super::*;

on_each_log!(a_rolled_back_transaction_tells_nothing, |settings: Engines| async move {
    let house = House::build(settings).await;
    let refused: Result<(), DataError> = house
        .db
        .write(|tx: &Tx| {
            Box::pin(async move {
                crate::emit(tx, COUNTED, "key", &Counted { n: 1 }).await?;
                Err(DataError::other("refused"))
            })
        })
        .await;
    refused.unwrap_err();
    house.emit(2).await;
    house.relay();
    eventually("the outbox is empty", || async { house.waiting().await == 0 }).await;
    assert_eq!(house.logged().await, [2]);
    house.tasks.stop().await;
});

on_each_log!(events_reach_the_log_in_order_and_whole, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.relay();
    for n in 0..50 {
        house.emit(n).await;
    }
    let many: Result<(), DataError> = house
        .db
        .write(|tx: &Tx| {
            Box::pin(async move {
                let events = (50..1250).map(|n| (format!("key{n}"), Counted { n }));
                crate::emit_all(tx, COUNTED, events).await
            })
        })
        .await;
    many.unwrap();
    eventually("all is relayed", || async { house.logged().await.len() == 1250 }).await;
    assert_eq!(house.logged().await, range(0..1250));
    let last = house.log.read_after(0, 2000).await.unwrap().pop().unwrap();
    assert_eq!((last.name.as_str(), last.key.as_str()), (COUNTED, "key1249"));
    assert_eq!(house.log.head().await.unwrap(), last.seq);
    house.tasks.stop().await;
    assert_eq!(house.waiting().await, 0);
});

on_each_log!(a_crash_between_append_and_delete_repeats_nothing, |settings: Engines| async move {
    let house = House::build(settings).await;
    for n in 0..10 {
        house.emit(n).await;
    }
    // What a relay does before it dies.
    let waiting = crate::outbox::waiting(&house.db, 5).await.unwrap();
    let entries: Vec<Entry> = waiting.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(house.log.append(entries.clone()).await.unwrap(), 5);
    assert_eq!(house.log.append(entries).await.unwrap(), 0);
    assert_eq!(house.waiting().await, 10);
    house.relay();
    eventually("the outbox is empty", || async { house.waiting().await == 0 }).await;
    assert_eq!(house.logged().await, range(0..10));
    house.tasks.stop().await;
});

on_each_log!(two_relays_on_one_outbox_repeat_nothing, |settings: Engines| async move {
    let house = House::build(settings).await;
    let other = house.again().await;
    house.relay();
    other.relay();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let db = if writer % 2 == 0 { house.db.clone() } else { other.db.clone() };
        writers.spawn(async move {
            for n in 0..50 {
                emit(&db, writer * 1000 + n).await;
            }
        });
    }
    writers.join_all().await;
    eventually("the outbox is empty", || async { house.waiting().await == 0 }).await;
    house.tasks.stop().await;
    other.tasks.stop().await;
    let logged = house.logged().await;
    assert_eq!(logged.len(), 200);
    for writer in 0..4 {
        let of_one: Vec<i64> = logged.iter().copied().filter(|n| n / 1000 == writer).collect();
        assert_eq!(of_one, range(writer * 1000..writer * 1000 + 50), "order of one writer");
    }
});

on_each_log!(stopping_moves_what_is_left, |settings: Engines| async move {
    let house = House::build(settings).await;
    house.relay();
    for n in 0..20 {
        house.emit(n).await;
    }
    house.tasks.stop().await;
    assert_eq!(house.waiting().await, 0);
    assert_eq!(house.logged().await, range(0..20));
});

testkit::on_each_engine!(
    the_log_forgets_what_is_old_and_goes_on_counting,
    |settings: DataSettings| async move {
        let house = House::build(Engines::table(settings).await).await;
        let mut old: Vec<Entry> = (0..3).map(|n| entry(COUNTED, n)).collect();
        for event in &mut old {
            event.at -= 2 * 3600 * 1000;
        }
        house.log.append(old).await.unwrap();
        house.append(3..5).await;
        let head = house.log.head().await.unwrap();
        house.log.prune(Duration::from_secs(3600)).await.unwrap();
        assert_eq!(house.logged().await, [3, 4]);
        // Emptied, it does not begin at 1 again: positions stay true.
        tokio::time::sleep(Duration::from_millis(2)).await;
        house.log.prune(Duration::ZERO).await.unwrap();
        assert!(house.logged().await.is_empty());
        house.append(5..6).await;
        assert!(house.log.head().await.unwrap() > head);
    }
);
