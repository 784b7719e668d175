//! The register, with real sockets.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use contracts::ids::{RoomId, UserId};
use fanout::{Hub, Settings, Upgrade};
use futures::StreamExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{Here, Meta, Socket, View};

const ADA: UserId = UserId::new(1);
const ROOM: RoomId = RoomId::new(7);
const OTHER: RoomId = RoomId::new(8);

/// A socket of Ada's that reads nothing yet, and its client.
async fn socket_for(
    view: View,
) -> (Hub<RoomId, Meta>, Socket, WebSocketStream<MaybeTlsStream<TcpStream>>) {
    let hub: Hub<RoomId, Meta> = Hub::new(Settings::default());
    let (sender, mut sockets) = mpsc::channel(1);
    let accepting = hub.clone();
    let open = move |upgrade: Upgrade| async move {
        let meta = Meta::new(ADA, "ada", view);
        accepting.accept(upgrade, meta, |socket| async move {
            sender.send(socket).await.unwrap();
            Ok(())
        })
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let router = Router::new().route("/", get(open));
    tokio::spawn(axum::serve(listener, router).into_future());
    let (client, _) = connect_async(url).await.unwrap();
    (hub, sockets.recv().await.unwrap(), client)
}

#[tokio::test]
async fn who_has_come_back_to_a_lobby_is_not_sent_away_for_having_left() {
    let (_hub, socket, _client) = socket_for(View::Lobby(ROOM)).await;
    let here = Here::default();
    assert!(here.add(&socket, 1));
    socket.meta().as_of.store(20, Relaxed);
    here.removed(ADA, ROOM, 12);
    here.removed(ADA, OTHER, 30);
    socket.flushed().await;
    assert!(socket.is_open(), "that was before they came back");
    here.removed(ADA, ROOM, 21);
    socket.flushed().await;
    assert!(!socket.is_open());
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_joined() {
    let (hub, socket, mut client) = socket_for(View::Chats).await;
    let here = Arc::new(Here::default());
    assert!(here.add(&socket, 1));
    let before = here.changes(ADA);
    // Meanwhile Ada is removed from one room and added to another.
    here.removed(ADA, ROOM, 1);
    here.added(ADA, OTHER);
    assert!(!here.join(&socket, &[ROOM], before), "it is to be read again");
    assert!(here.join(&socket, &[OTHER], here.changes(ADA)));
    hub.publish(&ROOM, "not for her");
    hub.publish(&OTHER, "for her");
    let heard = tokio::time::timeout(Duration::from_secs(10), client.next()).await.unwrap();
    assert_eq!(heard.unwrap().unwrap().to_text().unwrap(), "for her");
}

#[tokio::test]
async fn sockets_are_counted_and_taken_out_once() {
    let (_hub, socket, _client) = socket_for(View::Chats).await;
    let here = Here::default();
    assert!(here.add(&socket, 2) && here.add(&socket, 2));
    assert!(!here.add(&socket, 2), "one more than is allowed");
    here.remove(&socket);
    assert_eq!(here.count(ADA), 1);
    here.remove(&socket);
    here.remove(&socket);
    assert_eq!(here.count(ADA), 0);
}
