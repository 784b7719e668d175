//! What a broker can do to the log: go away, lose its store, be slow, take something twice, forget.

use std::time::Instant;

use broker::{Link, Servers, StreamSettings};
use futures::StreamExt;
use testkit::Proxy;

use super::*;
use crate::From;
use crate::log::{Gap, Mark, Start};

/// A house with a stream as its log.
async fn house(data: DataSettings, broker: &str) -> House {
    House::build(Engines::stream(data, broker)).await
}

fn through(proxy: &Proxy) -> String {
    format!("nats://{}", proxy.address())
}

/// What a live stream brings, as it comes.
fn watch(log: &Log) -> Shared<Vec<i64>> {
    let (seen, mut live) = (Shared::<Vec<i64>>::default(), log.live(From::Seq(0)));
    let push = seen.clone();
    tokio::spawn(async move {
        while let Some(event) = live.next().await {
            push.lock().unwrap().push(event.decode::<Counted>().unwrap().n);
        }
    });
    seen
}

#[test]
fn what_is_written_while_the_broker_is_away_arrives_once_and_in_order() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let house = house(data, &nats.url()).await;
        let other = house.again().await;
        house.relay();
        // Two instances of one service, and what a socket elsewhere sees.
        house.summing("sum").spawn(&house.tasks);
        other.summing("sum").spawn(&other.tasks);
        let seen = watch(&other.log);
        let db = house.db.clone();
        let writing = tokio::spawn(async move {
            for n in 0..600 {
                emit(&db, n).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        for _ in 0..2 {
            house.until_sums(house.sums().await.len() + 50).await;
            nats.kill().await;
            eventually("events wait", || async { house.waiting().await > 40 }).await;
            assert!(!house.log.is_ready());
            nats.restart().await;
        }
        writing.await.unwrap();
        house.until_sums(600).await;
        eventually("the outbox is empty", || async { house.waiting().await == 0 }).await;
        assert_eq!(house.sums().await, range(0..600));
        eventually("the socket has seen all", || async { seen.lock().unwrap().len() >= 600 }).await;
        assert_eq!(*seen.lock().unwrap(), range(0..600));
        house.tasks.stop().await;
        other.tasks.stop().await;
    });
}

#[test]
fn a_broker_that_lost_its_store_is_read_from_its_new_beginning() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let house = house(data, &nats.url()).await;
        let seen = watch(&house.log);
        house.summing("runs").spawn(&house.tasks);
        let stopped = house.again().await;
        stopped.summing("stopped").spawn(&stopped.tasks);
        house.append(0..20).await;
        house.until_sums(40).await;
        stopped.tasks.stop().await;

        nats.kill().await;
        std::fs::remove_dir_all(nats.folder().join("store")).unwrap();
        nats.restart().await;
        // More than there were: every number that was read is there again, as another event.
        house.append(20..60).await;
        house.until_sums(80).await;
        let again = house.again().await;
        again.summing("stopped").spawn(&again.tasks);
        house.until_sums(120).await;
        for consumer in 0..2 {
            let mut sums = house.sums().await;
            sums.sort_unstable();
            let of_one: Vec<i64> = sums.into_iter().skip(consumer).step_by(2).collect();
            assert_eq!(of_one, range(0..60));
        }
        assert_eq!(*seen.lock().unwrap(), range(0..60));
        house.tasks.stop().await;
        again.tasks.stop().await;
    });
}

#[test]
fn who_was_away_longer_than_events_are_kept_is_told_and_goes_on() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let mut engines = Engines::stream(data, &nats.url());
        engines.log.keep_seconds = 1;
        let house = House::build(engines).await;
        house.summing("sum").spawn(&house.tasks);
        house.append(0..3).await;
        house.until_sums(3).await;
        house.tasks.stop().await;
        let place = house.summing("sum").work.position().await.unwrap();
        assert_eq!(place.seq, 3);

        house.append(3..6).await;
        eventually("all is forgotten", || async { house.logged().await.is_empty() }).await;
        assert_eq!(house.log.head().await.unwrap(), 6);
        let again = house.again().await;
        again.summing("sum").spawn(&again.tasks);
        let mut tail = again.log.tail(Start::After(place));
        again.append(6..8).await;
        assert_eq!(tail.next().await.unwrap_err(), Gap::Missed { after: 3, first: 7 });
        assert_eq!(tail.next().await.unwrap().seq, 7);
        again.until_sums(5).await;
        assert_eq!(again.sums().await, [0, 1, 2, 6, 7]);
        again.tasks.stop().await;
    });
}

#[test]
fn nothing_waits_for_a_broker_that_is_not_there() {
    testkit::run_on_sqlite(|data| async move {
        let began = Instant::now();
        let address = testkit::free_address();
        let house = house(data, &format!("nats://{address}")).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(!house.log.is_ready());
        let refused = house.log.append(vec![entry(COUNTED, 1)]).await.unwrap_err();
        assert!(matches!(refused, DataError::Unavailable(_)), "{refused}");
        // Services write all the same, and end in time.
        house.relay();
        house.summing("sum").spawn(&house.tasks);
        house.emit(1).await;
        let began = Instant::now();
        house.tasks.stop().await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(house.waiting().await, 1);
    });
}

#[test]
fn a_stream_that_begins_now_misses_nothing_though_the_broker_is_away() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let writer = house(data, &nats.url()).await;
        writer.append(0..3).await;
        // By their times, which the broker writes down.
        tokio::time::sleep(Duration::from_millis(5)).await;
        nats.kill().await;
        let reader = writer.again().await;
        let mut live = reader.log.live(From::Now);
        nats.restart().await;
        writer.append(3..5).await;
        for n in 3..5 {
            assert_eq!(live.next().await.unwrap().decode::<Counted>().unwrap(), Counted { n });
        }
    });
}

#[test]
fn a_stream_begins_in_time_though_the_way_is_slow() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let proxy = Proxy::to(nats.address()).await;
        let mut engines = Engines::stream(data, &nats.url());
        let writer = House::build(engines.clone()).await;
        writer.append(0..1).await;
        engines.log.primary = through(&proxy);
        let reader = House::build(engines).await;
        eventually("it is reached", || async { reader.log.is_ready() }).await;
        proxy.delay(Duration::from_millis(300));
        let mut live = reader.log.live(From::Ago(Duration::ZERO));
        writer.append(1..2).await;
        // The broker says what time it is when all this is over.
        let first = tokio::time::timeout(Duration::from_secs(20), live.next()).await.unwrap();
        assert!(first.unwrap().decode::<Counted>().unwrap().n <= 1);
    });
}

#[test]
fn a_bad_way_to_the_broker_costs_time_and_nothing_else() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let proxy = Proxy::to(nats.address()).await;
        let mut engines = Engines::stream(data, &nats.url());
        let reader = House::build(engines.clone()).await;
        engines.log.primary = through(&proxy);
        let house = House::build(engines).await;
        house.relay();
        house.summing("sum").spawn(&house.tasks);
        let seen = watch(&reader.log);
        let mut next = 0;
        for fault in 0..6 {
            match fault {
                0 => proxy.delay(Duration::from_millis(100)),
                1 => proxy.drop_bytes(30),
                2 => proxy.reset_after(2_000),
                3 => proxy.one_way(),
                4 => proxy.hang(),
                _ => proxy.cut().await,
            }
            for _ in 0..60 {
                house.emit(next).await;
                next += 1;
            }
            // What the bad way lets through; then a good one again.
            tokio::time::sleep(Duration::from_millis(700)).await;
            proxy.mend().await;
            house.until_sums(usize::try_from(next).unwrap()).await;
        }
        assert_eq!(house.sums().await, range(0..next));
        let all = usize::try_from(next).unwrap();
        eventually("seen elsewhere", || async { seen.lock().unwrap().len() >= all }).await;
        assert_eq!(*seen.lock().unwrap(), range(0..next));
        house.tasks.stop().await;
    });
}

#[test]
fn what_stands_there_twice_is_handled_once() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let engines = Engines::stream(data, &nats.url());
        // A relay that repeats itself after longer than the broker remembers.
        let (hour, moment) = (Duration::from_secs(3600), Duration::from_millis(100));
        let name = engines.log.stream.clone();
        let link = Link::connect(&Servers::parse(&nats.url()).unwrap(), "test").await.unwrap();
        link.stream(&StreamSettings::log(&name, hour, moment, 1)).await.unwrap();
        let events: Vec<Entry> = (0..3).map(|n| entry(COUNTED, n)).collect();
        let messages = || events.iter().map(|e| crate::log::encode(&name, e).unwrap()).collect();
        assert_eq!(link.publish(&name, messages()).await.unwrap(), 3);
        assert_eq!(link.publish(&name, messages()).await.unwrap(), 0);
        tokio::time::sleep(moment * 3).await;
        assert_eq!(link.publish(&name, messages()).await.unwrap(), 3);

        let house = House::build(engines).await;
        house.summing("sum").spawn(&house.tasks);
        house.append(3..4).await;
        house.until_sums(4).await;
        assert_eq!(house.logged().await, [0, 1, 2, 0, 1, 2, 3]);
        assert_eq!(house.sums().await, range(0..4));
        house.tasks.stop().await;
    });
}

#[test]
fn what_the_log_will_not_take_holds_nobody_up_and_is_seen() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let house = house(data.clone(), &nats.url()).await;
        // More than NATS takes unless it is told otherwise.
        let large = "x".repeat(1 << 20);
        let told: Result<(), DataError> = house
            .db
            .write(move |tx: &Tx| {
                Box::pin(async move {
                    crate::emit(tx, COUNTED, "a", &Counted { n: 0 }).await?;
                    crate::emit(tx, "test.large.v1", "a", &large).await?;
                    crate::emit(tx, COUNTED, "a", &Counted { n: 1 }).await?;
                    crate::emit(tx, COUNTED, "b", &Counted { n: 2 }).await
                })
            })
            .await;
        told.unwrap();
        house.relay();
        eventually("the outbox is empty", || async { house.waiting().await == 0 }).await;
        // Its key waited behind it, the other did not.
        assert_eq!(house.logged().await, [0, 2, 1]);
        let letters = || async { crate::dead_letters(&house.db).await.unwrap() };
        let [letter] = letters().await.try_into().unwrap();
        assert_eq!((&*letter.consumer, &*letter.event.name), ("relay", "test.large.v1"));
        assert!(letter.error.contains("max_payload"), "{}", letter.error);

        assert!(crate::replay(&house.db, letter.id).await.unwrap());
        eventually("it is refused again", || async {
            letters().await.iter().any(|now| now.attempts > letter.attempts && !now.replaying)
        })
        .await;
        house.tasks.stop().await;

        // A log that takes it.
        let house = House::build(Engines::table(data).await).await;
        house.relay();
        assert!(crate::replay(&house.db, letter.id).await.unwrap());
        eventually("it is in the log", || async { house.log.head().await.unwrap() == 1 }).await;
        let event = house.log.read_after(0, 9).await.unwrap().remove(0);
        assert_eq!((event.id, event.payload), (letter.event.id, letter.event.payload));
        eventually("it is no dead letter", || async {
            crate::dead_letters(&house.db).await.unwrap().is_empty()
        })
        .await;
        house.tasks.stop().await;
    });
}

#[test]
fn a_place_from_another_log_is_no_place_in_this_one() {
    testkit::run_on_sqlite(|data| async move {
        let nats = engine_or_skip!(Nats::start().await);
        let house = house(data, &nats.url()).await;
        house.append(0..9).await;
        for foreign in [5, 900] {
            let place = Mark { seq: foreign, id: "another".into() };
            let mut tail = house.log.tail(Start::After(place));
            assert_eq!(tail.next().await.unwrap_err(), Gap::Replaced { after: foreign });
            assert_eq!(tail.next().await.unwrap().seq, 1);
        }
    });
}
