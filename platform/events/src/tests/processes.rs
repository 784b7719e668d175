//! Several processes on one log: two handles on one database know nothing of each other.

use futures::StreamExt;

use super::*;
use crate::From;

on_each_log!(what_one_process_appends_another_sees, |settings: Engines| async move {
    let house = House::build(settings).await;
    let other = house.again().await;
    let mut live = other.log.live(From::Seq(0));
    for n in 0..40 {
        house.append(n..n + 1).await;
        assert_eq!(live.next().await.unwrap().decode::<Counted>().unwrap(), Counted { n });
        // Also when the file has been quiet for longer than its clock ticks.
        if n % 10 == 9 {
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
    }
});

on_each_log!(two_processes_append_at_once, |settings: Engines| async move {
    let house = House::build(settings).await;
    let other = house.again().await;
    let (mut here, mut there) = (house.log.live(From::Seq(0)), other.log.live(From::Seq(0)));
    let writes = [(house.log.clone(), 0), (other.log.clone(), 1000)].map(|(log, base)| {
        tokio::spawn(async move {
            for n in 0..100 {
                log.append(vec![entry(COUNTED, base + n)]).await.unwrap();
            }
        })
    });
    let mut seen = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        seen[0].push(here.next().await.unwrap().seq);
        seen[1].push(there.next().await.unwrap().seq);
    }
    for write in writes {
        write.await.unwrap();
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].is_sorted_by(|a, b| a < b));
});

on_each_log!(an_emit_travels_from_service_to_service, |settings: Engines| async move {
    let house = House::build(settings).await;
    let other = house.again().await;
    house.relay();
    other.summing("sum").spawn(&other.tasks);
    for n in 0..30 {
        house.emit(n).await;
    }
    other.until_sums(30).await;
    assert_eq!(other.sums().await, range(0..30));
    house.tasks.stop().await;
    other.tasks.stop().await;
});
