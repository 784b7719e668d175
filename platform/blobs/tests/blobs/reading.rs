//! What is written is read again: all of it, parts of it, and what is known of it.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use blobs::{BlobError, ByteRange, Key};
use testkit::on_each;

use crate::world::{ENOUGH, World, chunks, content, folder, s3, whole};

on_each!([folder, s3], blobs_of_any_size_are_read_again, async |world: World| {
    let key = world.key("any/size.bin");
    let mut etags = Vec::new();
    for length in [0, 1, 1000, 8 << 20, (30 << 20) + 5] {
        let bytes = content(7, length);
        let written = world.blobs.put(&key, ENOUGH, chunks(&bytes)).await.unwrap();
        assert_eq!(written.size, length as u64);
        assert_eq!(written.sha256, digest(&SHA256, &bytes).as_ref());
        assert_eq!(written.sha256_hex().len(), 64);

        let download = world.blobs.get(&key, None).await.unwrap();
        let info = download.info.clone();
        assert_eq!((info.size, &download.range), (length as u64, &(0..length as u64)));
        assert_eq!(info.etag, written.etag);
        assert!(info.etag.starts_with('"') && info.etag.len() > 2, "{}", info.etag);
        assert!(info.modified.elapsed().unwrap_or_default().as_secs() < 60);
        assert!(info.modified < SystemTime::now() + std::time::Duration::from_secs(5));
        assert!(download.bytes(ENOUGH).await.unwrap() == bytes, "{length} bytes");
        assert_eq!(world.blobs.head(&key).await.unwrap(), info);
        etags.push(info.etag);
    }
    etags.sort();
    etags.dedup();
    assert_eq!(etags.len(), 5, "each write has a tag of its own");
});

on_each!([folder, s3], parts_are_read, async |world: World| {
    let (key, bytes) = (world.key("parts"), content(1, 300_000));
    world.blobs.put_bytes(&key, bytes.clone()).await.unwrap();
    for (range, expected) in [
        (ByteRange::From(0), 0..300_000),
        (ByteRange::From(299_999), 299_999..300_000),
        (ByteRange::Between(5, 5), 5..6),
        (ByteRange::Between(100_000, 250_000), 100_000..250_001),
        (ByteRange::Between(299_000, 400_000), 299_000..300_000),
        (ByteRange::Between(299_000, u64::MAX), 299_000..300_000),
        (ByteRange::Last(7), 299_993..300_000),
        (ByteRange::Last(300_001), 0..300_000),
        (ByteRange::Last(u64::MAX), 0..300_000),
    ] {
        let part = world.blobs.get(&key, Some(range)).await.unwrap();
        assert_eq!((part.info.size, &part.range), (300_000, &expected), "{range:?}");
        let expected = bytes.slice(expected.start as usize..expected.end as usize);
        assert!(part.bytes(ENOUGH).await.unwrap() == expected, "{range:?}");
    }
    let empty = world.key("empty");
    world.blobs.put_bytes(&empty, "").await.unwrap();
    for (key, size, range) in [
        (&key, 300_000, ByteRange::From(300_000)),
        (&key, 300_000, ByteRange::Between(400_000, 500_000)),
        (&key, 300_000, ByteRange::Last(0)),
        (&empty, 0, ByteRange::From(0)),
        (&empty, 0, ByteRange::Last(3)),
    ] {
        let error = world.blobs.get(key, Some(range)).await.unwrap_err();
        assert_eq!(error, BlobError::BadRange { size }, "{range:?}");
    }
});

on_each!([folder, s3], what_is_not_there_is_told_apart, async |world: World| {
    let key = world.key("deep/er/nothing");
    let range = Some(ByteRange::From(0));
    assert_eq!(world.blobs.get(&key, None).await.unwrap_err(), BlobError::NotFound);
    assert_eq!(world.blobs.get(&key, range).await.unwrap_err(), BlobError::NotFound);
    assert_eq!(world.blobs.head(&key).await.unwrap_err(), BlobError::NotFound);
    world.blobs.delete(&key).await.unwrap();
    world.blobs.put_bytes(&key, "x").await.unwrap();
    // A folder of keys is no blob.
    assert_eq!(world.blobs.head(&world.key("deep")).await.unwrap_err(), BlobError::NotFound);
    world.blobs.delete(&key).await.unwrap();
    world.blobs.delete(&key).await.unwrap();
    assert_eq!(world.blobs.get(&key, None).await.unwrap_err(), BlobError::NotFound);
});

on_each!([folder, s3], no_more_is_read_into_memory_than_allowed, async |world: World| {
    let key = world.key("a");
    world.blobs.put_bytes(&key, "hello").await.unwrap();
    let download = world.blobs.get(&key, None).await.unwrap();
    assert_eq!(download.bytes(4).await.unwrap_err(), BlobError::TooLarge { limit: 4 });
    assert_eq!(whole(&world.blobs, &key).await.unwrap(), "hello");
});

on_each!([folder, s3], keys_are_listed_in_order_and_in_pages, async |world: World| {
    // A key beneath another, and signs that sort before and after the slash.
    let names =
        ["b/c", "a", "a/b", "a-b", "a.b", "a0", "b/c/d", "B", "a/b/c", "a_b", "a/a", "c/x/y/z"];
    for name in names {
        world.blobs.put_bytes(&world.key(name), name).await.unwrap();
    }
    let mut expected: Vec<Key> = names.iter().map(|name| world.key(name)).collect();
    expected.sort();
    let prefix = world.prefix();
    for limit in [1, 5, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = world.blobs.list(Some(&prefix), after.as_ref(), limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            found.extend(page);
        }
        let keys: Vec<Key> = found.iter().map(|listed| listed.key.clone()).collect();
        assert_eq!(keys, expected, "{limit} at a time");
        for listed in found {
            let head = world.blobs.head(&listed.key).await.unwrap();
            assert_eq!((listed.info.size, listed.info.etag), (head.size, head.etag));
        }
    }
    let beneath = world.blobs.list(Some(&world.key("a")), None, 100).await.unwrap();
    let beneath: Vec<Key> = beneath.into_iter().map(|listed| listed.key).collect();
    assert_eq!(beneath, ["a/a", "a/b", "a/b/c"].map(|name| world.key(name)));
    let between = world.blobs.list(Some(&world.key("a")), Some(&world.key("a/aa")), 1).await;
    assert_eq!(between.unwrap()[0].key, world.key("a/b"), "after a key that is not there");
    assert_eq!(world.blobs.list(Some(&world.key("nothing")), None, 9).await.unwrap(), []);
});
