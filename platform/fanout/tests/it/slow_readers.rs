//! Readers that do not keep up.

use std::time::Duration;

use fanout::{Frame, Hub, Settings, Snapshot, Socket};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::clients::{Client, close_code, connect, eventually, next, text, welcomed, within};
use crate::servers::{WIRES, Wire, joining, serve, welcoming};

/// More than the kernel takes for one connection.
const FRAMES: usize = 200;
const SIZE: usize = 100_000;

#[tokio::test]
async fn a_slow_reader_is_cut_off_between_frames_and_holds_up_nobody() {
    for wire in WIRES {
        let settings = Settings { max_behind_bytes: 300_000, ..Settings::default() };
        let hub = Hub::new(settings);
        let address = serve(wire, welcoming(&hub, "topic", ())).await;
        let mut slow = welcomed(address).await;
        let mut quick = welcomed(address).await;
        let sent = "x".repeat(SIZE);
        for number in 0..FRAMES {
            hub.publish(&"topic", format!("{number:05}{sent}"));
            assert_eq!(text(&mut quick).await[..5], format!("{number:05}"));
        }
        // What the slow one got is whole and without a gap, then the word to resume.
        let mut expected = 0;
        let close = loop {
            match next(&mut slow).await {
                Message::Text(text) => {
                    assert_eq!(text[..5], format!("{expected:05}"));
                    assert_eq!(text.len(), 5 + SIZE);
                    expected += 1;
                }
                Message::Close(close) => break close.unwrap(),
                _ => {}
            }
        };
        assert!(expected > 0 && expected < FRAMES, "{expected}");
        assert_eq!(u16::from(close.code), 1013);
        assert!(close.reason.contains("resume"));
        while let Some(Ok(_)) = within("the end", slow.next()).await {}
        eventually("only the quick one is left", || hub.sockets() == 1).await;
        hub.publish(&"topic", "still here");
        assert_eq!(text(&mut quick).await, "still here");
    }
}

#[tokio::test]
async fn one_who_never_reads_is_dropped_in_bounded_time() {
    for wire in WIRES {
        let settings = Settings {
            max_behind_bytes: 100_000,
            close_within: Duration::from_millis(100),
            ..Settings::default()
        };
        let hub = Hub::new(settings);
        let address = serve(wire, welcoming(&hub, "topic", ())).await;
        let stuck = welcomed(address).await;
        let frame = Frame::text(&"x".repeat(SIZE));
        for _ in 0..FRAMES {
            hub.publish(&"topic", frame.clone());
        }
        eventually("it is gone", || hub.sockets() == 0).await;
        drop(stuck);
    }
}

#[tokio::test]
async fn many_small_frames_are_bounded_too() {
    let settings =
        Settings { max_behind_frames: 10, max_behind_bytes: usize::MAX, ..Settings::default() };
    let hub = Hub::new(settings);
    let address = serve(Wire::Plain, welcoming(&hub, "topic", ())).await;
    let mut slow = welcomed(address).await;
    let frame = Frame::text(&"x".repeat(SIZE));
    for _ in 0..FRAMES {
        hub.publish(&"topic", frame.clone());
        // Rounds of their own, so that each is a write.
        tokio::task::yield_now().await;
    }
    assert_eq!(close_code(&mut slow).await, 1013);
}

#[tokio::test]
async fn who_catches_up_in_time_loses_nothing() {
    for wire in WIRES {
        let settings = Settings {
            max_behind_bytes: usize::MAX,
            max_behind_frames: usize::MAX,
            ..Settings::default()
        };
        let hub = Hub::new(settings);
        let address = serve(wire, welcoming(&hub, "topic", ())).await;
        let mut late = welcomed(address).await;
        let sent = "x".repeat(SIZE);
        for number in 0..FRAMES {
            hub.publish(&"topic", format!("{number:05}{sent}"));
        }
        for number in 0..FRAMES {
            assert_eq!(text(&mut late).await[..5], format!("{number:05}"));
        }
    }
}

#[tokio::test]
async fn first_frames_are_not_held_against_a_reader() {
    let hub = Hub::new(Settings { max_behind_bytes: 1000, ..Settings::default() });
    let router = joining({
        let hub = hub.clone();
        move |upgrade| {
            hub.join_with(upgrade, "topic", (), || async {
                let history = Frame::text(&"h".repeat(SIZE));
                Ok(Snapshot::from(vec![history; FRAMES]))
            })
        }
    });
    let address = serve(Wire::Plain, router).await;
    let mut client = connect(address).await;
    // The first part has come, the rest waits; the live frame queues behind it.
    assert_eq!(text(&mut client).await.len(), SIZE);
    hub.publish(&"topic", "live");
    for _ in 1..FRAMES {
        assert_eq!(text(&mut client).await.len(), SIZE);
    }
    assert_eq!(text(&mut client).await, "live");
}

/// A hub that keeps little back, and one who reads `topic` there: the socket and its client.
async fn small_backlog() -> (Hub<&'static str>, Socket<&'static str, ()>, Client) {
    let hub: Hub<&str> =
        Hub::new(Settings { max_backlog: 10_000, loops: 1, ..Settings::default() });
    let (sender, mut sockets) = mpsc::channel(1);
    let router = joining({
        let hub = hub.clone();
        move |upgrade| {
            let sender = sender.clone();
            hub.accept(upgrade, (), |socket| async move {
                socket.join("topic");
                let _ = sender.send(socket).await;
                Ok(())
            })
        }
    });
    let address = serve(Wire::Plain, router).await;
    let reader = connect(address).await;
    (hub, within("the socket", sockets.recv()).await.unwrap(), reader)
}

#[tokio::test]
async fn who_leaves_a_topic_in_the_breath_in_which_it_loses_a_frame_is_cut_off() {
    let (hub, socket, mut reader) = small_backlog().await;
    // No other task runs meanwhile, so all of it is one backlog.
    for _ in 0..11 {
        hub.publish(&"topic", "x".repeat(1000));
    }
    socket.leave("topic");
    assert_eq!(close_code(&mut reader).await, 1013);
}

#[tokio::test]
async fn a_backlog_that_does_not_fit_cuts_its_readers_off_instead_of_losing_frames() {
    let (hub, socket, mut reader) = small_backlog().await;
    let quiet = serve(Wire::Plain, welcoming(&hub, "quiet", ())).await;
    let mut other = welcomed(quiet).await;
    // No other task runs meanwhile, so all of it is one backlog.
    hub.publish(&"quiet", "small");
    for _ in 0..11 {
        hub.publish(&"topic", "x".repeat(1000));
    }
    hub.publish(&"topic", "small enough to fit, but after a gap");
    // Brings what was published before it ahead of the cut.
    socket.send("direct");
    assert_eq!(text(&mut other).await, "small");
    for _ in 0..9 {
        assert_eq!(text(&mut reader).await.len(), 1000);
    }
    assert_eq!(text(&mut reader).await, "direct");
    assert_eq!(close_code(&mut reader).await, 1013);
}
