//! First frames and live ones: nothing lost between them, nothing twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanout::{Close, Frame, Hub, Settings, Snapshot};

use crate::clients::{close_code, connect, text, within};
use crate::servers::{WIRES, Wire, joining, serve};

const LAST: u64 = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_frame_is_lost_or_repeated_between_history_and_live() {
    for wire in WIRES {
        let hub: Hub<&str> = Hub::new(Settings { loops: 2, ..Settings::default() });
        // What the service has stored, always ahead of what it has published.
        let history = Arc::new(Mutex::new(Vec::<u64>::new()));
        let router = joining({
            let (hub, history) = (hub.clone(), Arc::clone(&history));
            move |upgrade| {
                let history = Arc::clone(&history);
                hub.join_with(upgrade, "topic", (), move || async move {
                    // A store takes a moment, before it looks and after.
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    let stored = history.lock().unwrap().clone();
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    Ok(Snapshot {
                        upto: Some(stored.last().copied().unwrap_or(0)),
                        frames: stored.iter().map(|seq| Frame::text(&seq.to_string())).collect(),
                    })
                })
            }
        });
        let address = serve(wire, router).await;
        let publisher = tokio::spawn({
            let (hub, history) = (hub.clone(), Arc::clone(&history));
            async move {
                for seq in 1..=LAST {
                    history.lock().unwrap().push(seq);
                    if seq % 7 == 0 {
                        tokio::time::sleep(Duration::from_micros(500)).await;
                    }
                    hub.publish_seq(&"topic", seq, seq.to_string());
                }
            }
        });
        let mut readers = Vec::new();
        for _ in 0..30 {
            readers.push(tokio::spawn(async move {
                let mut client = connect(address).await;
                for seq in 1..=LAST {
                    assert_eq!(text(&mut client).await, seq.to_string());
                }
            }));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        within("publisher", publisher).await.unwrap();
        for reader in readers {
            within("reader", reader).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_happens_while_a_history_is_read_is_bounded() {
    let hub: Hub<&str> = Hub::new(Settings { max_behind_bytes: 10_000, ..Settings::default() });
    let started = Arc::new(tokio::sync::Notify::new());
    let router = joining({
        let (hub, started) = (hub.clone(), Arc::clone(&started));
        move |upgrade| {
            let started = Arc::clone(&started);
            hub.join_with(upgrade, "topic", (), move || async move {
                started.notify_one();
                std::future::pending::<Result<Snapshot, Close>>().await
            })
        }
    });
    let address = serve(Wire::Plain, router).await;
    let mut client = connect(address).await;
    within("the history is being read", started.notified()).await;
    for _ in 0..11 {
        hub.publish(&"topic", "x".repeat(1000));
    }
    assert_eq!(close_code(&mut client).await, 1013);
}
