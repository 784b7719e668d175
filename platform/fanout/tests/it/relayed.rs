//! A gateway in front of a hub in another process.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use fanout::{Hub, Message as Heard, RelaySettings, Settings, Socket, one_at_a_time, relay};
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::clients::{close_code, eventually, text, welcomed, within};
use crate::servers::{WIRES, Wire, serve, welcoming};

/// Passes everything on to `upstream`, as a gateway would.
fn gateway(upstream: SocketAddr, settings: RelaySettings, ends: mpsc::Sender<String>) -> Router {
    let pass = move |mut request: Request| async move {
        let stream = TcpStream::connect(upstream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let client = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        let mut response =
            sender.send_request(Request::from_parts(parts, Body::empty())).await.unwrap();
        let upstream = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let relayed = relay(client.await.unwrap(), upstream.await.unwrap(), settings).await;
            let _ = ends.send(format!("{:?}", relayed.end)).await;
        });
        let (parts, _) = response.into_parts();
        Response::from_parts(parts, Body::empty())
    };
    Router::new().route("/", any(pass))
}

struct Chain {
    hub: Hub<&'static str>,
    address: SocketAddr,
    ends: mpsc::Receiver<String>,
}

async fn chain(wire: Wire, settings: RelaySettings) -> Chain {
    let handler = one_at_a_time(|socket: Socket<&'static str, ()>, message| async move {
        if let Heard::Text(text) = message {
            socket.send(text);
        }
    });
    let own = Settings { max_message: 8 << 20, max_behind_bytes: 64 << 20, ..Settings::default() };
    let hub = Hub::with_handler(own, handler);
    let upstream = serve(wire, welcoming(&hub, "topic", ())).await;
    let (sender, ends) = mpsc::channel(10);
    let address = serve(wire, gateway(upstream, settings, sender)).await;
    Chain { hub, address, ends }
}

#[tokio::test]
async fn messages_of_any_size_pass_both_ways_and_so_does_the_close() {
    for wire in WIRES {
        let mut chain = chain(wire, RelaySettings::default()).await;
        let mut client = welcomed(chain.address).await;
        for size in [0, 1, 125, 126, 20_000, 70_000, 3_000_000] {
            let sent = "x".repeat(size);
            client.send(Message::text(sent.clone())).await.unwrap();
            assert_eq!(text(&mut client).await, sent);
        }
        for number in 0..200 {
            chain.hub.publish(&"topic", format!("{number}"));
        }
        for number in 0..200 {
            assert_eq!(text(&mut client).await, format!("{number}"));
        }
        client.close(None).await.unwrap();
        assert_eq!(close_code(&mut client).await, 1005);
        drop(client);
        assert_eq!(within("its end", chain.ends.recv()).await.unwrap(), "Closed");
        eventually("the hub knows", || chain.hub.sockets() == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back_and_loses_nothing() {
    let chain = chain(Wire::Plain, RelaySettings::default()).await;
    let mut client = welcomed(chain.address).await;
    let sent = "x".repeat(200_000);
    for number in 0..150 {
        chain.hub.publish(&"topic", format!("{number:05}{sent}"));
    }
    for number in 0..150 {
        assert_eq!(text(&mut client).await[..5], format!("{number:05}"));
    }
}

#[tokio::test]
async fn stopping_tells_the_client_to_connect_again_between_two_frames() {
    for wire in WIRES {
        let stop = CancellationToken::new();
        let settings = RelaySettings { stop: stop.clone(), ..RelaySettings::default() };
        let mut chain = chain(wire, settings).await;
        let mut client = welcomed(chain.address).await;
        // A frame that is certainly half-way when the stop comes: nobody has read it yet.
        let large = "x".repeat(15_000_000);
        chain.hub.publish(&"topic", large.clone());
        let mut first = [0; 1];
        within("its first byte", client.get_mut().peek(&mut first)).await.unwrap();
        stop.cancel();
        assert_eq!(text(&mut client).await.len(), large.len());
        assert_eq!(close_code(&mut client).await, 1012);
        drop(client);
        assert_eq!(within("its end", chain.ends.recv()).await.unwrap(), "Stopped");
        eventually("the hub knows", || chain.hub.sockets() == 0).await;
    }
}

/// A gateway before a service that says `sent` after the handshake and then dies.
async fn dying(sent: &'static [u8]) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(stream).await.unwrap();
        socket.get_mut().write_all(sent).await.unwrap();
    });
    let (sender, ends) = mpsc::channel(10);
    let router = gateway(upstream, RelaySettings::default(), sender);
    (serve(Wire::Plain, router).await, ends)
}

#[tokio::test]
async fn an_upstream_that_dies_without_a_word_is_excused() {
    let (address, mut ends) = dying(b"\x81\x07welcome").await;
    let mut client = welcomed(address).await;
    assert_eq!(close_code(&mut client).await, 1012);
    drop(client);
    assert_eq!(within("its end", ends.recv()).await.unwrap(), "Closed");
}

#[tokio::test]
async fn an_upstream_that_dies_in_a_frame_is_not() {
    let (address, _ends) = dying(b"\x81\x07welcome\x81\x05Hel").await;
    let mut client = welcomed(address).await;
    let end = within("the end", client.next()).await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
}

#[tokio::test]
async fn an_upstream_that_closes_has_the_last_word() {
    let said = b"\x81\x07welcome\x88\x02\x03\xe8";
    let (address, _ends) = dying(said).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    within("all that is said", client.read_to_end(&mut seen)).await.unwrap();
    assert!(seen.ends_with(said), "{seen:?}");
}

#[tokio::test]
async fn silence_ends_a_pair() {
    let settings = RelaySettings { idle: Duration::from_millis(100), ..RelaySettings::default() };
    let mut chain = chain(Wire::Plain, settings).await;
    let mut client = welcomed(chain.address).await;
    assert_eq!(close_code(&mut client).await, 1001);
    drop(client);
    assert_eq!(within("its end", chain.ends.recv()).await.unwrap(), "Idle");
}

#[tokio::test]
async fn a_client_that_vanishes_ends_the_pair() {
    for wire in WIRES {
        let mut chain = chain(wire, RelaySettings::default()).await;
        let mut client = welcomed(chain.address).await;
        client.get_mut().set_zero_linger().unwrap();
        drop(client);
        assert!(within("its end", chain.ends.recv()).await.is_some());
        eventually("the hub knows", || chain.hub.sockets() == 0).await;
    }
}

#[tokio::test]
async fn the_stream_stays_usable_after_pings_of_the_hub() {
    let chain = chain(Wire::Plain, RelaySettings::default()).await;
    let mut client = welcomed(chain.address).await;
    client.send(Message::Ping("p".into())).await.unwrap();
    assert_eq!(within("pong", client.next()).await.unwrap().unwrap(), Message::Pong("p".into()));
}
