//! Pings, and peers that do not answer them.

use std::time::Duration;

use fanout::{Hub, Settings};
use tokio_tungstenite::tungstenite::Message;

use crate::clients::{eventually, next, text, welcomed};
use crate::servers::{WIRES, serve, welcoming};

#[tokio::test]
async fn a_peer_that_answers_stays_and_one_that_does_not_is_dropped() {
    for wire in WIRES {
        let settings = Settings {
            ping_every: Duration::from_millis(200),
            pong_within: Duration::from_millis(400),
            ..Settings::default()
        };
        let hub = Hub::new(settings);
        let address = serve(wire, welcoming(&hub, "topic", ())).await;
        let mute = welcomed(address).await;
        let mut alive = welcomed(address).await;
        // tungstenite answers pings as it reads on.
        for _ in 0..6 {
            assert_eq!(next(&mut alive).await, Message::Ping(Vec::new().into()));
        }
        let reading = tokio::spawn(async move {
            assert_eq!(text(&mut alive).await, "now");
            alive
        });
        eventually("the mute one is gone", || hub.sockets() == 1).await;
        hub.publish(&"topic", "now");
        drop((reading.await.unwrap(), mute));
    }
}
