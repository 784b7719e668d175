//! Who gets what, and in which order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanout::{Close, Handler, Hub, Message as Heard, Next, Settings, Socket};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::clients::{close_code, connect, eventually, text, welcomed, within};
use crate::servers::{WIRES, Wire, joining, serve, welcoming};

#[tokio::test]
async fn every_reader_gets_every_frame_in_order() {
    for wire in WIRES {
        for pace in [Duration::ZERO, Duration::from_millis(20)] {
            let hub = Hub::new(Settings { loops: 2, pace, ..Settings::default() });
            let address = serve(wire, welcoming(&hub, "topic", ())).await;
            let mut clients = Vec::new();
            for _ in 0..20 {
                clients.push(welcomed(address).await);
            }
            for number in 0..500 {
                hub.publish(&"topic", format!("{number}"));
                hub.publish(&"another", "not for these");
                if number % 50 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            for client in &mut clients {
                for number in 0..500 {
                    assert_eq!(text(client).await, format!("{number}"));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_reader_of_several_topics_gets_all_in_order() {
    for wire in WIRES {
        for pace in [Duration::ZERO, Duration::from_millis(20)] {
            let hub: Hub<u64, ()> = Hub::new(Settings { loops: 2, pace, ..Settings::default() });
            let joined = Arc::new(AtomicUsize::new(0));
            let (accepting, counted) = (hub.clone(), joined.clone());
            let router = joining(move |upgrade| {
                let counted = counted.clone();
                accepting.accept(upgrade, (), |socket| async move {
                    (0..3).for_each(|topic| socket.join(topic));
                    counted.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                })
            });
            let address = serve(wire, router).await;
            let mut clients = Vec::new();
            for _ in 0..10 {
                clients.push(connect(address).await);
            }
            eventually("all have joined", || joined.load(Ordering::SeqCst) == 10).await;
            for number in 0..600 {
                hub.publish_seq(&(number * number % 3), number + 1, format!("{number}"));
                if number % 40 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            for client in &mut clients {
                for number in 0..600 {
                    assert_eq!(text(client).await, format!("{number}"));
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_published_together_shares_a_write() {
    let hub = Hub::new(Settings { pace: Duration::from_millis(50), ..Settings::default() });
    let address = serve(Wire::Plain, welcoming(&hub, "topic", ())).await;
    let mut client = welcomed(address).await;
    hub.publish(&"topic", "first");
    assert_eq!(text(&mut client).await, "first");
    for _ in 0..10 {
        hub.publish(&"topic", "x");
    }
    // One read of the connection brings them all.
    let stream = client.get_mut();
    within("bytes", stream.readable()).await.unwrap();
    let mut bytes = [0; 100];
    assert_eq!(stream.try_read(&mut bytes).unwrap(), 10 * 3);
}

#[tokio::test]
async fn one_socket_may_read_several_topics_come_and_go() {
    let hub: Hub<&str, ()> = Hub::new(Settings::default());
    let socket = Arc::new(Mutex::new(None));
    let router = joining({
        let (hub, socket) = (hub.clone(), Arc::clone(&socket));
        move |upgrade| {
            let socket = Arc::clone(&socket);
            hub.accept(upgrade, (), move |its: Socket<_, _>| async move {
                its.join("a");
                its.join("b");
                its.send("welcome");
                *socket.lock().unwrap() = Some(its);
                Ok(())
            })
        }
    });
    let address = serve(Wire::Plain, router).await;
    let mut client = welcomed(address).await;
    eventually("the handle is there", || socket.lock().unwrap().is_some()).await;
    let socket = socket.lock().unwrap().clone().unwrap();
    hub.publish(&"a", "a1");
    hub.publish(&"b", "b1");
    socket.send("between");
    hub.publish(&"a", "a2");
    socket.leave("a");
    hub.publish(&"a", "a3");
    hub.publish(&"b", "b2");
    socket.join("c");
    hub.publish(&"c", "c1");
    assert!(within("flushed", socket.flushed()).await);
    socket.close(Close::DONE);
    hub.publish(&"c", "c2");
    let mut seen = Vec::new();
    while let Some(Ok(Message::Text(text))) = within("a message", client.next()).await {
        seen.push(text.to_string());
    }
    assert_eq!(seen, ["a1", "b1", "between", "a2", "b2", "c1"]);
    assert!(!socket.is_open());
    assert!(!within("not flushed any more", socket.flushed()).await);
}

#[tokio::test]
async fn sockets_of_a_session_are_closed_and_others_not() {
    for wire in WIRES {
        let hub: Hub<&str, &str> = Hub::new(Settings { loops: 2, ..Settings::default() });
        let mine = serve(wire, welcoming(&hub, "topic", "mine")).await;
        let other = serve(wire, welcoming(&hub, "topic", "other")).await;
        let mut first = welcomed(mine).await;
        let mut second = welcomed(mine).await;
        let mut stays = welcomed(other).await;
        hub.publish(&"topic", "before");
        hub.close_where(Close::signed_out(), |session| *session == "mine");
        hub.publish(&"topic", "after");
        for client in [&mut first, &mut second] {
            assert_eq!(text(client).await, "before");
            assert_eq!(close_code(client).await, 4401);
        }
        assert_eq!(text(&mut stays).await, "before");
        assert_eq!(text(&mut stays).await, "after");
    }
}

#[tokio::test]
async fn a_handshake_under_way_is_closed_with_its_session() {
    let hub: Hub<&str, &str> = Hub::new(Settings::default());
    let router = joining({
        let hub = hub.clone();
        move |upgrade| {
            // The session ends between the check at the door and the opening of the socket.
            hub.close_where(Close::signed_out(), |session| *session == "mine");
            hub.join(upgrade, "topic", "mine")
        }
    });
    let address = serve(Wire::Plain, router).await;
    let mut client = connect(address).await;
    assert_eq!(close_code(&mut client).await, 4401);
}

#[derive(Clone, Default)]
struct Room {
    hub: Arc<Mutex<Option<Hub<&'static str>>>>,
    left: Arc<AtomicUsize>,
}

impl Handler<&'static str, ()> for Room {
    fn message(&self, _: &Socket<&'static str, ()>, message: Heard) -> Next {
        if let (Heard::Text(text), Some(hub)) = (message, self.hub.lock().unwrap().as_ref()) {
            hub.publish(&"topic", text);
        }
        Next::Read
    }

    fn closed(&self, _: &Socket<&'static str, ()>) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn all_members_of_a_room_see_the_same_in_the_same_order() {
    let room = Room::default();
    let settings = Settings { frames_per_second: 0, loops: 1, ..Settings::default() };
    let hub = Hub::with_handler(settings, room.clone());
    *room.hub.lock().unwrap() = Some(hub.clone());
    let address = serve(Wire::Plain, welcoming(&hub, "topic", ())).await;
    let mut members = Vec::new();
    for _ in 0..8 {
        members.push(welcomed(address).await);
    }
    let mut tasks = Vec::new();
    for (index, mut member) in members.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            for number in 0..50 {
                member.feed(Message::text(format!("{index}:{number}"))).await.unwrap();
            }
            member.flush().await.unwrap();
            let mut seen = Vec::new();
            for _ in 0..8 * 50 {
                seen.push(text(&mut member).await);
            }
            seen
        }));
    }
    let mut views = Vec::new();
    for task in tasks {
        views.push(task.await.unwrap());
    }
    assert!(views.windows(2).all(|pair| pair[0] == pair[1]));
    for index in 0..8 {
        let of: Vec<_> =
            views[0].iter().filter(|text| text.starts_with(&format!("{index}:"))).collect();
        let expected: Vec<_> = (0..50).map(|number| format!("{index}:{number}")).collect();
        assert!(of.into_iter().eq(expected.iter()));
    }
    eventually("all have left", || room.left.load(Ordering::SeqCst) == 8).await;
    room.hub.lock().unwrap().take();
}
