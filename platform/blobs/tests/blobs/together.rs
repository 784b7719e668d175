//! Readers and writers of one key at the same time.

use blobs::{BlobError, Blobs, Key};
use bytes::Bytes;
use testkit::on_each;
use tokio::task::JoinSet;

use crate::world::{ENOUGH, World, chunks, content, folder, s3, whole};

/// What a reader gets who asks again, at most so often.
async fn whole_within(tries: usize, blobs: &Blobs, key: &Key) -> Bytes {
    for _ in 0..tries {
        match whole(blobs, key).await {
            Ok(found) => return found,
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
    panic!("every read breaks off")
}

on_each!([folder, s3], readers_see_the_old_or_the_new, async |world: World| {
    let key = world.key("a");
    let versions = [content(1, 3 << 20), content(2, 9 << 20), content(3, 1000)];
    world.blobs.put_bytes(&key, versions[0].clone()).await.unwrap();
    let mut readers = JoinSet::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let tries = world.tries();
    for _ in 0..3 {
        let (blobs, key) = (world.blobs.clone(), key.clone());
        let (versions, stopped) = (versions.clone(), stopped.clone());
        readers.spawn(async move {
            let mut seen = [0; 3];
            while !*stopped.borrow() {
                let found = whole_within(tries, &blobs, &key).await;
                let which = versions.iter().position(|version| *version == found);
                seen[which.expect("one of them, whole")] += 1;
            }
            seen
        });
    }
    for round in 0..12 {
        let version = &versions[(round + 1) % 3];
        world.blobs.put(&key, ENOUGH, chunks(version)).await.unwrap();
        assert!(whole(&world.blobs, &key).await.unwrap() == *version, "one's own writes are seen");
    }
    stop.send_replace(true);
    let seen = readers.join_all().await;
    assert!(seen.iter().flatten().sum::<i32>() > 0, "{seen:?}");
});

on_each!([folder, s3], of_writers_at_once_one_is_last, async |world: World| {
    let key = world.key("deep/a");
    let mut writers = JoinSet::new();
    for seed in 0..6 {
        let (blobs, key) = (world.blobs.clone(), key.clone());
        writers.spawn(async move {
            let length = if seed % 2 == 0 { 50_000 } else { 9 << 20 };
            blobs.put(&key, ENOUGH, chunks(&content(seed, length))).await
        });
    }
    let (written, other): (Vec<_>, Vec<_>) =
        writers.join_all().await.into_iter().partition(Result::is_ok);
    let written: Vec<_> = written.into_iter().map(Result::unwrap).collect();
    for error in other.into_iter().map(Result::unwrap_err) {
        // An upload in parts that a later one has overtaken.
        assert!(matches!(error, BlobError::Superseded | BlobError::Unavailable(_)), "{error:?}");
    }
    let download = world.blobs.get(&key, None).await.unwrap();
    let last = written.iter().find(|one| one.etag == download.info.etag).unwrap();
    let found = download.bytes(ENOUGH).await.unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &found);
    assert_eq!(last.sha256, hash.as_ref());
});

on_each!([folder, s3], writing_and_deleting_at_once_is_one_or_the_other, async |world: World| {
    let mut all = JoinSet::new();
    for n in 0..20 {
        let (blobs, key) = (world.blobs.clone(), world.key(&format!("x/{}", n % 4)));
        all.spawn(async move {
            blobs.put_bytes(&key, content(n, 1000)).await.unwrap();
            match whole(&blobs, &key).await {
                Ok(bytes) => assert_eq!(bytes.len(), 1000),
                Err(error) => assert_eq!(error, BlobError::NotFound),
            }
            blobs.delete(&key).await.unwrap();
        });
    }
    all.join_all().await;
    assert_eq!(world.blobs.list(Some(&world.key("x")), None, 9).await.unwrap(), []);
});
