//! Clients that take their time.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::house::House;

const QUICK: &str = "header_timeout_ms = 500\nidle_timeout_ms = 500\nstall_timeout_ms = 500\nmin_bytes_per_second = 1000";

/// Waits until the gateway ends the connection.
async fn is_cut_off(mut stream: TcpStream) {
    let began = Instant::now();
    let mut some = [0; 1024];
    let ending = async { while !matches!(stream.read(&mut some).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(Duration::from_secs(10), ending).await.expect("it was cut off");
    assert!(began.elapsed() > Duration::from_millis(200), "not before its time");
}

#[tokio::test]
async fn who_sends_nothing_is_cut_off() {
    let house = House::with(QUICK).await;
    is_cut_off(house.connect().await).await;
}

#[tokio::test]
async fn who_sends_a_head_byte_by_byte_is_cut_off() {
    let house = House::with(QUICK).await;
    let (reader, mut writer) = house.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"GET /palettes/7 HTTP/1.1\r\nhost: a\r\n".iter().cycle() {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut reader = reader;
    let mut some = [0; 1024];
    let ending = async { while !matches!(reader.read(&mut some).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(Duration::from_secs(10), ending).await.expect("it was cut off");
    dripping.abort();
}

#[tokio::test]
async fn who_sends_a_body_too_slowly_is_cut_off() {
    let house = House::with(QUICK).await;
    let mut stream = house.connect().await;
    stream.write_all(b"POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{").await.unwrap();
    is_cut_off(stream).await;
}

#[tokio::test]
async fn who_does_not_take_the_answer_is_cut_off() {
    let house = House::with(QUICK).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(house.address).await.unwrap();
    stream.write_all(b"GET /palettes/endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // The answer is larger than every buffer between: it stays until the gateway gives up.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut all))
        .await
        .expect("it ends");
    assert!(read.is_err() || all.len() < 64 << 20, "{} bytes", all.len());
}

#[tokio::test]
async fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let house = House::with(QUICK).await;
    let mut stream = house.connect().await;
    stream.write_all(b"GET /palettes/held HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    house.fakes.held.add_permits(1);
    let mut some = [0; 1024];
    let got = stream.read(&mut some).await.unwrap();
    assert!(some[..got].starts_with(b"HTTP/1.1 200"), "a service may take its time");
    is_cut_off(stream).await;
}
