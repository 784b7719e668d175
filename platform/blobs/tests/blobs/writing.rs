//! A blob is whole or absent, however its upload ends.

use std::fs::File;
use std::time::{Duration, SystemTime};

use blobs::{BlobError, BlobSettings, Blobs};
use bytes::Bytes;
use futures::{StreamExt, stream};
use testkit::{cancel_at_random, eventually, on_each};

use crate::world::{ENOUGH, World, chunks, content, folder, own_s3, s3, whole};

/// What a test gives up or overwrites: more than two parts of any store.
const LARGE: usize = (20 << 20) + 1;

on_each!([folder, own_s3], an_upload_that_is_given_up_leaves_nothing, async |world: World| {
    let (key, old) = (world.key("kept"), content(1, 1000));
    world.blobs.put_bytes(&key, old.clone()).await.unwrap();
    for key in [key.clone(), world.key("new")] {
        let mut upload = world.blobs.upload(&key, ENOUGH).await.unwrap();
        upload.write(content(2, LARGE)).await.unwrap();
        assert!(world.leftovers().await > 0, "it has begun");
        drop(upload);
        eventually("nothing is left", async || world.leftovers().await == 0).await;
    }
    assert_eq!(whole(&world.blobs, &key).await.unwrap(), old);
    let listed = world.blobs.list(Some(&world.prefix()), None, 9).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
});

on_each!([folder, own_s3], what_is_too_large_or_breaks_off_is_not_stored, async |world: World| {
    let (key, large) = (world.key("a"), content(1, LARGE));
    for limit in [0, 10, (LARGE - 1) as u64] {
        let error = world.blobs.put(&key, limit, chunks(&large)).await.unwrap_err();
        assert_eq!(error, BlobError::TooLarge { limit });
    }
    let broken = chunks(&large)
        .map(|chunk| chunk.map_err(|never| match never {}))
        .chain(stream::iter([Err("the client left")]));
    let error = world.blobs.put(&key, ENOUGH, broken).await.unwrap_err();
    assert_eq!(error, BlobError::Source("the client left".into()));
    eventually("nothing is left", async || world.leftovers().await == 0).await;
    assert_eq!(world.blobs.head(&key).await.unwrap_err(), BlobError::NotFound);
    world.blobs.put(&key, LARGE as u64, chunks(&large)).await.unwrap();
});

on_each!([folder, own_s3], whoever_goes_away_leaves_the_old_or_the_new, async |world: World| {
    let key = world.key("a");
    let length = |seed: u64| seed as usize + if seed.is_multiple_of(2) { 40_000 } else { 8 << 20 };
    let (mut finished, mut given_up) = (0, 0);
    for seed in 0..=16 {
        let new = content(seed, length(seed));
        let put = world.blobs.put(&key, ENOUGH, chunks(&new));
        let put = if seed == 0 { Some(put.await) } else { cancel_at_random(put, seed).await };
        match put {
            Some(written) => finished += u32::from(written.is_ok()),
            None => given_up += 1,
        }
        // One that had begun to finish does so, perhaps only now.
        let found = whole(&world.blobs, &key).await.unwrap();
        let which = (0..=seed).find(|seed| length(*seed) == found.len());
        assert!(which.is_some_and(|which| content(which, length(which)) == found), "{which:?}");
    }
    assert!(given_up > 0, "{finished} {given_up}");
    eventually("nothing is left", async || world.leftovers().await == 0).await;
});

on_each!([folder, s3], uploads_have_seats, async |world: World| {
    // One seat, and a second to wait for it.
    let folder = tempfile::tempdir().unwrap();
    let settings = BlobSettings {
        uploads: 1,
        timeout_seconds: 1,
        max_bytes: 10,
        ..BlobSettings::folder(folder.path())
    };
    let narrow = Blobs::open(&settings).await.unwrap();
    let upload = narrow.upload(&world.key("a"), ENOUGH).await.unwrap();
    let second = narrow.upload(&world.key("b"), ENOUGH).await;
    assert!(matches!(second.err(), Some(BlobError::Unavailable(_))));
    drop(upload);
    let large = narrow.put_bytes(&world.key("b"), "twelve bytes").await;
    assert_eq!(large.unwrap_err(), BlobError::TooLarge { limit: 10 });
    narrow.put_bytes(&world.key("b"), "ten bytes.").await.unwrap();
});

#[tokio::test]
async fn a_folder_is_swept_of_what_killed_processes_left() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&BlobSettings::folder(folder.path())).await.unwrap();
    let uploads = folder.path().join(".uploads");
    let left = |name: &str, age: Duration| {
        let file = File::create_new(uploads.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        file
    };
    let hour = Duration::from_secs(3600);
    let slow = left("slow", hour);
    slow.lock().unwrap();
    drop(left("young", Duration::ZERO));
    drop(left("dead", hour));
    Blobs::open(&BlobSettings::folder(folder.path())).await.unwrap();
    let mut names: Vec<_> =
        std::fs::read_dir(&uploads).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["slow", "young"]);
    assert_eq!(blobs.list(None, None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_told_at_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = BlobSettings::folder(file.path().join("in-a-file"));
    let error = Blobs::open(&settings).await.err().unwrap();
    assert!(matches!(&error, BlobError::Startup(why) if why.contains("in-a-file")), "{error:?}");
}

#[tokio::test]
async fn a_full_disk_is_unavailable() {
    // `/dev/full` is a disk on which there is no room.
    let error = tokio::fs::write("/dev/full", Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(BlobError::from(error), BlobError::Unavailable(_)));
}
