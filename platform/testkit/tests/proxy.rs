//! Every fault of the proxy is seen by a client.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io;
use std::time::{Duration, Instant};

use testkit::{Proxy, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(10);

/// A way to a server that sends everything back.
async fn echo() -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
                write.shutdown().await.ok();
            });
        }
    });
    proxy
}

/// Says `word` and hears it back.
async fn said(stream: &mut TcpStream, word: &[u8]) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    let mut answer = vec![0; word.len()];
    let (written, heard) = tokio::join!(write.write_all(word), read.read_exact(&mut answer));
    written?;
    heard?;
    assert_eq!(answer, word);
    Ok(())
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

#[tokio::test]
async fn a_whole_way_changes_nothing() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    let word: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    said(&mut stream, &word).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "an end is passed on");
}

#[tokio::test]
async fn a_cut_way_breaks_connections_and_refuses_new_ones() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    said(&mut stream, b"hello").await.unwrap();
    proxy.cut().await;
    assert!(said(&mut stream, b"hello").await.is_err());
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    proxy.mend().await;
    said(&mut connect(&proxy).await, b"hello").await.unwrap();
}

#[tokio::test]
async fn a_slow_way_takes_its_time_in_each_direction() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.delay(Duration::from_millis(100));
    let began = Instant::now();
    said(&mut stream, &[7; 200_000]).await.unwrap();
    let took = began.elapsed();
    // Latency, and not a narrow pipe: thirteen pieces do not take thirteen times as long.
    assert!(took > Duration::from_millis(200) && took < Duration::from_secs(2), "{took:?}");
    proxy.mend().await;
    let began = Instant::now();
    said(&mut stream, b"hello").await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(200));
}

#[tokio::test]
async fn what_is_lost_is_sent_again() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    proxy.drop_bytes(30);
    let (mut late, mut all) = (0, 0);
    let began = Instant::now();
    while late == 0 || all == late {
        let each = Instant::now();
        said(&mut stream, b"hello").await.unwrap();
        late += u32::from(each.elapsed() > Duration::from_millis(190));
        all += 1;
        assert!(began.elapsed() < Duration::from_secs(60), "{late} of {all}");
    }
    proxy.drop_bytes(100);
    assert!(timeout(SOON, said(&mut stream, b"hello")).await.is_err());
    proxy.mend().await;
    let mut answer = [0; 5];
    timeout(LATE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_way_is_heard_and_hears_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap()).await;
    proxy.one_way();
    let mut stream = connect(&proxy).await;
    let (mut server, _) = listener.accept().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    server.read_exact(&mut heard).await.unwrap();
    server.write_all(&heard).await.unwrap();
    drop(server);
    assert!(timeout(SOON, stream.read(&mut heard)).await.is_err(), "not even the end");
    proxy.mend().await;
    let ended = timeout(LATE, stream.read(&mut heard)).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "what is missing cannot follow: {ended:?}");
}

#[tokio::test]
async fn an_answer_is_reset_in_its_middle() {
    let proxy = echo().await;
    let mut stream = connect(&proxy).await;
    said(&mut stream, b"hello").await.unwrap();
    proxy.reset_after(100_000);
    stream.write_all(&[7; 200_000]).await.unwrap();
    let mut heard = Vec::new();
    let error = timeout(LATE, stream.read_to_end(&mut heard)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(heard.len(), 100_000);
    proxy.mend().await;
    said(&mut connect(&proxy).await, &[7; 200_000]).await.unwrap();
}

#[tokio::test]
async fn a_hanging_way_accepts_and_is_silent() {
    let proxy = echo().await;
    let mut old = connect(&proxy).await;
    said(&mut old, b"hello").await.unwrap();
    proxy.hang();
    let mut new = connect(&proxy).await;
    assert!(timeout(SOON, said(&mut old, b"hello")).await.is_err());
    assert!(timeout(SOON, said(&mut new, b"hello")).await.is_err());
    proxy.mend().await;
    let mut answer = [0; 5];
    // A partition that has ended: what was said in it arrives.
    timeout(LATE, old.read_exact(&mut answer)).await.unwrap().unwrap();
    timeout(LATE, new.read_exact(&mut answer)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_is_gone_behind_it_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Proxy::to(address).await;
    drop(listener);
    assert!(said(&mut connect(&proxy).await, b"hello").await.is_err());
    let listener = TcpListener::bind(address).await.unwrap();
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.ok();
    });
    eventually("it answers", async || said(&mut connect(&proxy).await, b"hello").await.is_ok())
        .await;
    echo.abort();
}
