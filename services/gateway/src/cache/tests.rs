//! What the cache keeps, and for whom.

use super::*;
use http::HeaderValue;

fn rule() -> CacheRule {
    CacheRule { ms: 1_500, tags: vec!["popular".into()], by_accept: false, anonymous_only: false }
}

fn answer(headers: &[(&'static str, &'static str)]) -> Response<Body> {
    let mut response = Response::new(Body::from("[]"));
    for (name, value) in headers {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    response
}

#[test]
fn only_what_is_public_and_whole_is_kept() {
    let keep = |headers: &[_]| lifetime(&rule(), &answer(headers));
    let all = Some(Duration::from_millis(1_500));
    assert_eq!(keep(&[]), all);
    assert_eq!(
        keep(&[("cache-control", "public, max-age=60"), ("vary", "Accept-Encoding, Origin")]),
        all
    );
    assert_eq!(keep(&[("cache-control", "max-age=1")]), Some(Duration::from_secs(1)));
    for private in [
        ("set-cookie", "a=b"),
        ("cache-control", "private"),
        ("cache-control", "max-age=60, No-Store"),
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("vary", "cookie"),
        ("vary", "*"),
        ("vary", "accept"),
        ("content-encoding", "gzip"),
    ] {
        assert_eq!(keep(&[private]), None, "{private:?}");
    }
    let mut missing = answer(&[]);
    *missing.status_mut() = StatusCode::NOT_FOUND;
    assert_eq!(lifetime(&rule(), &missing), None);
    let large = Response::new(Body::from(vec![0; 1024 * 1024 + 1]));
    assert_eq!(lifetime(&rule(), &large), None);
}

fn lead(cache: &ResponseCache) -> bool {
    matches!(cache.find("/popular"), Found::Miss(Flight::Lead(_)))
}

#[tokio::test(start_paused = true)]
async fn an_entry_lives_as_long_as_its_rule_says() {
    let cache = ResponseCache::new(1 << 20);
    assert!(lead(&cache));
    let stored = cache.store("/popular", &rule(), cache.stamp(["popular"]), answer(&[])).await;
    assert!(stored.is_ok());
    assert!(matches!(cache.find("/popular"), Found::Hit(_)));
    tokio::time::advance(Duration::from_millis(1_501)).await;
    assert!(lead(&cache));
}

#[tokio::test]
async fn an_answer_fetched_before_an_invalidation_is_not_served_after_it() {
    let cache = ResponseCache::new(1 << 20);
    let rules =
        [Invalidation { event: "palette.*".into(), tags: vec!["popular".into(), "{key}".into()] }];
    let stamp = cache.stamp(["popular"]);
    cache.invalidate(&rules, "palette.deleted.v1", "palette:7");
    assert!(
        cache.store("/popular", &rule(), stamp, answer(&[])).await.is_ok(),
        "those who wait get it"
    );
    assert!(lead(&cache), "nobody else does");

    let of = |path, tag| (path, cache.stamp([tag]));
    for (path, stamp) in
        [of("/palettes/7/export/css", "palette:7"), of("/palettes/8/export/css", "palette:8")]
    {
        assert!(cache.store(path, &rule(), stamp, answer(&[])).await.is_ok());
    }
    cache.invalidate(&rules, "account.created.v1", "palette:7");
    assert!(matches!(cache.find("/palettes/7/export/css"), Found::Hit(_)));
    cache.invalidate(&rules, "palette.updated.v1", "palette:7");
    assert!(matches!(cache.find("/palettes/7/export/css"), Found::Miss(_)));
    assert!(matches!(cache.find("/palettes/8/export/css"), Found::Hit(_)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_cannot_be_shared() {
    let cache = ResponseCache::new(1 << 20);
    let stored =
        cache.store("/popular", &rule(), Stamp::default(), answer(&[("set-cookie", "a=b")])).await;
    assert_eq!(stored.map(|_| ()).expect_err("given back").headers()["set-cookie"], "a=b");
    assert!(matches!(cache.find("/popular"), Found::Pass));
    tokio::time::advance(PASS_FOR + Duration::from_millis(1)).await;
    assert!(lead(&cache));
}

#[tokio::test]
async fn memory_is_bounded() {
    let cache = ResponseCache::new(100 * 1024);
    for page in 0..1_000 {
        let response = Response::new(Body::from(vec![b'x'; 2_000]));
        let key = format!("/popular?cursor={page}");
        assert!(cache.store(&key, &rule(), Stamp::default(), response).await.is_ok());
    }
    cache.entries.run_pending_tasks();
    assert!(cache.entries.weighted_size() <= 100 * 1024, "{}", cache.entries.weighted_size());
}
