//! Live streams: every reader sees every event, in order, however slow.

use futures::StreamExt;
use futures::stream::BoxStream;

use super::*;
use crate::From;
use crate::log::Mark;

async fn take(stream: &mut BoxStream<'static, Recorded>, count: usize) -> Vec<i64> {
    let events: Vec<Recorded> = stream.take(count).collect().await;
    events.iter().map(|event| event.decode::<Counted>().unwrap().n).collect()
}

on_each_log!(streams_begin_where_they_are_told, |settings: Engines| async move {
    let house = House::build(settings).await;
    let mut old: Vec<Entry> = (0..5).map(|n| entry(COUNTED, n)).collect();
    for event in &mut old {
        event.at -= 3600 * 1000;
    }
    house.log.append(old).await.unwrap();
    house.append(5..10).await;
    let seventh = house.log.read_after(0, 7).await.unwrap()[6].seq;
    eventually("the reader has seen it", || async {
        house.log.inner.head.borrow().as_ref().is_some_and(|head| head.seq > seventh)
    })
    .await;

    let mut now = house.log.live(From::Now);
    let recent = house.log.live(From::Ago(Duration::from_secs(60)));
    let mut after = house.log.live(From::Seq(seventh));
    let mut all = house.log.live(From::Seq(0));
    let mut future = house.log.live(From::Ago(Duration::ZERO));
    let mut named = house.log.live_of(From::Seq(0), &["test.other.v1"]);
    // Subscribed already: what comes before the first poll is not missed.
    house.log.append(vec![entry("test.other.v1", 10), entry(COUNTED, 11)]).await.unwrap();
    assert_eq!(take(&mut now, 2).await, [10, 11]);
    // A stream's clock is that of the broker, which was told of all of them just now.
    let mut recent = recent
        .skip_while(|event| std::future::ready(event.decode::<Counted>().unwrap().n < 5))
        .boxed();
    assert_eq!(take(&mut recent, 7).await, range(5..12));
    assert_eq!(take(&mut after, 5).await, range(7..12));
    assert_eq!(take(&mut all, 12).await, range(0..12));
    assert_eq!(take(&mut future, 1).await.len(), 1);
    assert_eq!(take(&mut named, 1).await, [10]);
});

on_each_log!(a_reader_that_lags_loses_nothing, |settings: Engines| async move {
    let house = House::build(settings.buffered(8)).await;
    let mut slow = house.log.live(From::Now);
    let mut fast = house.log.live(From::Now);
    house.append(0..1).await;
    assert_eq!(take(&mut slow, 1).await, [0]);
    let reading = tokio::spawn(async move { take(&mut fast, 2000).await });
    for start in (1..2000).step_by(100) {
        house.append(start..(start + 100).min(2000)).await;
    }
    assert_eq!(reading.await.unwrap(), range(0..2000));
    // Two thousand behind, with room for eight.
    assert_eq!(take(&mut slow, 1000).await, range(1..1001));
    house.append(2000..2010).await;
    assert_eq!(take(&mut slow, 1009).await, range(1001..2010));
});

on_each_log!(many_writers_are_seen_in_one_order_without_holes, |settings: Engines| async move {
    let house = House::build(settings).await;
    let mut first = house.log.live(From::Seq(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_i64 {
        let log = house.log.clone();
        writers.spawn(async move {
            for n in 0..25 {
                log.append(vec![entry(COUNTED, writer * 100 + n)]).await.unwrap();
            }
        });
    }
    let seen = take(&mut first, 200).await;
    writers.join_all().await;
    assert_eq!(seen, house.logged().await);
    for writer in 0..8 {
        let of_one: Vec<i64> = seen.iter().copied().filter(|n| n / 100 == writer).collect();
        assert_eq!(of_one, range(writer * 100..writer * 100 + 25));
    }
});

on_each_log!(a_dropped_wait_loses_nothing, |settings: Engines| async move {
    let house = House::build(settings.buffered(4)).await;
    let mut tail = house.log.tail(crate::log::Start::After(Mark::start()));
    let log = house.log.clone();
    let writing = tokio::spawn(async move {
        for n in 0..200 {
            log.append(vec![entry(COUNTED, n)]).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    let mut seed = 0;
    while seen.len() < 200 {
        seed += 1;
        if let Some(event) = testkit::cancel_at_random(tail.next(), seed).await {
            seen.push(event.unwrap().decode::<Counted>().unwrap().n);
        }
        tokio::task::yield_now().await;
    }
    writing.await.unwrap();
    assert_eq!(seen, range(0..200));
});
