//! The end of the process.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::House;

#[tokio::test]
async fn what_runs_is_finished_and_nothing_new_begins() {
    let house = House::new().await;
    let running = tokio::spawn(reqwest::get(house.url("/palettes/held")));
    house.until("the request runs", async || house.fakes.calls() == 1).await;
    let mut idle = house.connect().await;
    idle.write_all(b"GET /palettes/7 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut some = [0; 4096];
    assert!(idle.read(&mut some).await.unwrap() > 0);

    house.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), idle.read(&mut some)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "an idle connection ends at once");
    house
        .until("no connection is taken", async || TcpStream::connect(house.address).await.is_err())
        .await;
    assert!(!house.served.is_finished());

    house.fakes.held.add_permits(1);
    assert_eq!(running.await.unwrap().unwrap().status(), 200);
    tokio::time::timeout(Duration::from_secs(5), house.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_does_not_end_is_given_up() {
    let house = House::with("drain_timeout_ms = 200").await;
    let running = tokio::spawn(reqwest::get(house.url("/palettes/held")));
    house.until("the request runs", async || house.fakes.calls() == 1).await;
    house.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), house.served).await.unwrap().unwrap();
    running.abort();
}
