//! The store is killed, hangs, or is behind a bad network: every answer comes in time and says
//! whether to try again, and once it is back all goes on.

use std::time::{Duration, Instant};

use blobs::{BlobError, BlobSettings, Blobs, Key};
use futures::StreamExt;
use testkit::{Proxy, S3, engine_or_skip, eventually};

use crate::world::{ENOUGH, chunks, content, settings, whole};

/// The bound of a request in these tests, in seconds.
const BOUND: u64 = 6;

/// The same store, without haste.
async fn patient(server: &S3) -> Blobs {
    Blobs::open(&settings(server, &server.url())).await.unwrap()
}

/// A store on S3 at `endpoint` that is impatient.
async fn impatient(server: &S3, endpoint: &str) -> Blobs {
    let settings = BlobSettings { timeout_seconds: BOUND, ..settings(server, endpoint) };
    Blobs::open(&settings).await.unwrap()
}

async fn behind(server: &S3, proxy: &Proxy) -> Blobs {
    impatient(server, &format!("http://{}", proxy.address())).await
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

/// Everything that can be asked for says that it is unavailable, and in time.
async fn all_is_unavailable(blobs: &Blobs) {
    let key = key("there");
    let began = Instant::now();
    let (get, head, list, put, delete) = tokio::join!(
        whole(blobs, &key),
        blobs.head(&key),
        blobs.list(None, None, 9),
        blobs.put_bytes(&key, "new"),
        blobs.delete(&key),
    );
    let errors =
        [get.err(), head.err(), list.err(), put.err(), delete.err()].map(|error| error.unwrap());
    for error in errors {
        assert!(matches!(error, BlobError::Unavailable(_)), "{error:?}");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(BOUND) * 2, "{took:?}");
}

async fn all_is_well(blobs: &Blobs) {
    let (key, bytes) = (key("well"), content(9, 300_000));
    eventually("it is written to again", async || {
        blobs.put(&key, ENOUGH, chunks(&bytes)).await.is_ok()
    })
    .await;
    assert!(whole(blobs, &key).await.unwrap() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_during_uploads_and_downloads() {
    let server = engine_or_skip!(S3::start().await);
    let blobs = impatient(&server, &server.url()).await;
    let large = content(5, 24 << 20);
    let direct = patient(&server).await;
    direct.put(&key("there"), ENOUGH, chunks(&large)).await.unwrap();

    let mut upload = direct.upload(&key("there"), ENOUGH).await.unwrap();
    upload.write(content(6, 10 << 20)).await.unwrap();
    let mut download = blobs.get(&key("there"), None).await.unwrap();
    download.next().await.unwrap().unwrap();
    server.kill().await;

    let began = Instant::now();
    let error = async {
        upload.write(content(6, 20 << 20)).await?;
        upload.finish().await
    };
    let error = error.await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable(_)), "{error:?}");
    let error = loop {
        match download.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("it ended as if it were whole"),
        }
    };
    assert!(matches!(error, BlobError::Unavailable(_)), "{error:?}");
    assert!(download.next().await.is_none(), "nothing after an error");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(BOUND) * 4, "{took:?}");
    all_is_unavailable(&blobs).await;

    server.restart().await;
    let found = whole(&direct, &key("there")).await.unwrap();
    assert!(found == large || found == "new", "{} bytes of nothing", found.len());
    all_is_well(&blobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs() {
    let server = engine_or_skip!(S3::start().await);
    let blobs = impatient(&server, &server.url()).await;
    blobs.put_bytes(&key("there"), "old").await.unwrap();
    server.pause();
    all_is_unavailable(&blobs).await;
    server.resume();
    all_is_well(&blobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_or_silent() {
    let server = engine_or_skip!(S3::start().await);
    let proxy = Proxy::to(server.address()).await;
    let blobs = behind(&server, &proxy).await;
    blobs.put_bytes(&key("there"), "old").await.unwrap();
    proxy.cut().await;
    all_is_unavailable(&blobs).await;
    proxy.mend().await;
    all_is_well(&blobs).await;
    proxy.hang();
    all_is_unavailable(&blobs).await;
    proxy.mend().await;
    all_is_well(&blobs).await;
    proxy.one_way();
    all_is_unavailable(&blobs).await;
    proxy.mend().await;
    all_is_well(&blobs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_slow_or_loses_much() {
    let server = engine_or_skip!(S3::start().await);
    let proxy = Proxy::to(server.address()).await;
    let endpoint = format!("http://{}", proxy.address());
    let blobs = Blobs::open(&settings(&server, &endpoint)).await.unwrap();
    proxy.delay(Duration::from_millis(250));
    all_is_well(&blobs).await;
    proxy.mend().await;
    proxy.drop_bytes(30);
    let small = content(3, 20_000);
    blobs.put_bytes(&key("small"), small.clone()).await.unwrap();
    assert_eq!(whole(&blobs, &key("small")).await.unwrap(), small);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_reset_is_taken_up_where_it_broke_off() {
    let server = engine_or_skip!(S3::start().await);
    let proxy = Proxy::to(server.address()).await;
    let (direct, blobs) = (patient(&server).await, behind(&server, &proxy).await);
    let large = content(4, 12 << 20);
    direct.put(&key("there"), ENOUGH, chunks(&large)).await.unwrap();
    proxy.reset_after(5 << 20);
    assert!(whole(&blobs, &key("there")).await.unwrap() == large);

    // Not when it is another one by then.
    let mut download = blobs.get(&key("there"), None).await.unwrap();
    let first = download.next().await.unwrap().unwrap();
    direct.put(&key("there"), ENOUGH, chunks(&content(5, 12 << 20))).await.unwrap();
    let mut all = first.to_vec();
    let ended = loop {
        match download.next().await {
            Some(Ok(chunk)) => all.extend_from_slice(&chunk),
            ended => break ended,
        }
    };
    assert!(matches!(ended, Some(Err(BlobError::Unavailable(_)))), "{ended:?}");
    assert!(large.starts_with(&all), "nothing of the new one");
}

#[tokio::test]
async fn a_store_that_refuses_us_is_no_store_that_is_down() {
    let server = engine_or_skip!(S3::shared().await);
    let mut wrong = settings(server, &server.url());
    if let Some(s3) = &mut wrong.s3 {
        s3.secret_key = "not-the-secret".into();
    }
    let mut elsewhere = settings(server, &server.url());
    if let Some(s3) = &mut elsewhere.s3 {
        s3.bucket = "elsewhere".into();
    }
    for settings in [wrong, elsewhere] {
        let blobs = Blobs::open(&settings).await.unwrap();
        let error = blobs.put_bytes(&key("a"), "x").await.unwrap_err();
        assert!(matches!(&error, BlobError::Other(_)), "{error:?}");
        assert!(!error.to_string().contains("not-the-secret"), "{error}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_stops_nobody_from_starting() {
    let server = engine_or_skip!(S3::start().await);
    server.kill().await;
    let blobs = impatient(&server, &server.url()).await;
    all_is_unavailable(&blobs).await;
    server.restart().await;
    all_is_well(&blobs).await;
}
