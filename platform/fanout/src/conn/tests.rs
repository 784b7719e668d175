//! One socket over a pipe of a few bytes, where a test decides what the peer takes.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::*;
use crate::Settings;
use crate::count::Count;
use crate::handler::Ignore;
use crate::mailbox::Mailbox;

fn conn(pipe: usize, settings: Settings) -> (Conn<(), ()>, Host<(), ()>, DuplexStream) {
    let (near, far) = duplex(pipe);
    let socket = Socket::new(0, Arc::new(Mailbox::new(1000)), ());
    let transport = (Transport::Other(Box::new(near)), Bytes::new());
    let permit = Count::new("test").admit(1).unwrap();
    let conn = Conn::new(socket, Instant::now(), transport, 100, permit);
    (conn, Host::new(settings, Arc::new(Ignore)), far)
}

fn batch(text: &str) -> Batch {
    Batch::new(vec![Published { seq: 0, order: 0, frame: Frame::text(text) }])
}

#[tokio::test]
async fn who_is_cut_off_gets_the_end_of_its_frame_and_the_close_and_nothing_between() {
    let settings = Settings { max_behind_bytes: 20, ..Settings::default() };
    let (mut conn, host, mut far) = conn(4, settings);
    for text in ["half out", "waits", "one more", "too much"] {
        conn.offer(&batch(text), 0, &host).unwrap();
    }
    assert!(!conn.is_open() && !conn.socket.is_open());
    conn.offer(&batch("after the close"), 0, &host).unwrap();
    let mut seen = Vec::new();
    let close = Frame::close(&Close::TOO_SLOW);
    let expected = [Frame::text("half out").bytes().as_ref(), close.bytes()].concat();
    while seen.len() < expected.len() {
        far.read_buf(&mut seen).await.unwrap();
        conn.drive(&mut [0; 100], &host).unwrap();
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_the_pipe_does_not_take_follows_in_order() {
    let (mut conn, host, mut far) = conn(3, Settings::default());
    let mut expected = Vec::new();
    for number in 0..40 {
        let text = number.to_string();
        expected.extend_from_slice(Frame::text(&text).bytes());
        conn.offer(&batch(&text), 0, &host).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        far.read_buf(&mut seen).await.unwrap();
        conn.drive(&mut [0; 100], &host).unwrap();
    }
    assert_eq!(seen, expected);
}
