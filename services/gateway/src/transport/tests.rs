//! What a connection does under the hood.

use super::*;
use crate::sockets::Sockets;
use crate::wire::Ticks;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn connection(mode: Mode) -> (Transport<DuplexStream>, DuplexStream, Arc<Wire>) {
    let (near, far) = duplex(1 << 16);
    let wire = Arc::new(Wire::new(Arc::new(Ticks::default()), Arc::new(AtomicUsize::new(0)), mode));
    (Transport::new(near, wire.clone()), far, wire)
}

#[tokio::test]
async fn the_books_are_kept() {
    let (mut near, mut far, wire) = connection(Mode::Http1);
    wire.request_began();
    wire.request_ended();
    assert_eq!(wire.read().head_since, 0);
    far.write_all(b"GET").await.expect("open");
    let mut got = [0; 3];
    near.read_exact(&mut got).await.expect("three bytes");
    near.write_all(b"HTTP/1.1 200").await.expect("open");
    let read = wire.read();
    assert_eq!((read.received, read.sent), (3, 12));
    assert_ne!(read.head_since, 0, "the next head has begun");
}

#[tokio::test]
async fn a_bare_refusal_goes_out_as_a_problem() {
    let (mut near, mut far, _) = connection(Mode::Http1);
    near.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await
        .expect("open");
    drop(near);
    let mut got = String::new();
    far.read_to_string(&mut got).await.expect("text");
    assert!(got.contains("application/problem+json") && got.contains("\"status\":400"), "{got}");
}

#[tokio::test]
async fn a_closed_socket_says_so_and_ends() {
    let (mut near, mut far, wire) = connection(Mode::Http1);
    let sockets = Arc::new(Sockets::default());
    sockets.register(&wire, None);
    let reading = tokio::spawn(async move {
        let mut got = Vec::new();
        let ended = near.read_to_end(&mut got).await;
        (ended.is_ok(), near.write_all(b"more").await.is_err())
    });
    tokio::task::yield_now().await;
    sockets.close_all();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.expect("bytes");
    assert_eq!(got, [0x88, 2, 0x03, 0xf4], "1012");
    assert_eq!(reading.await.expect("no panic"), (true, true));
}

#[tokio::test]
async fn what_was_not_read_is_thrown_away_after_the_answer() {
    let (mut near, mut far, wire) = connection(Mode::Http1);
    wire.leave_unread();
    let closing = tokio::spawn(async move { near.shutdown().await.is_ok() });
    far.write_all(&[0; 100_000]).await.expect("it is still read");
    assert_eq!(wire.mode(), Mode::Linger);
    drop(far);
    assert!(closing.await.expect("no panic"));
}
