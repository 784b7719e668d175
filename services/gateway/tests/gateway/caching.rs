//! The response cache.

use std::sync::atomic::Ordering;

use contracts::Kind;
use contracts::events::{PaletteDeleted, PopularityChanged};
use contracts::ids::{ItemId, PaletteId};
use futures::future::join_all;
use ids::UserId;
use reqwest::{Client, Response};
use serde_json::Value;

use crate::house::House;

/// `/popular`, kept for longer than a test runs.
const KEPT: &str = "[[route]]\npath = '/popular'\nservice = 'popularity'\ncache = { ms = 60000, tags = ['popular'] }";

async fn x_cache(response: &Response) -> &str {
    response.headers().get("x-cache").map_or("", |v| v.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_simultaneous_misses_make_one_call() {
    let house = House::with(KEPT).await;
    let client = Client::new();
    let ask = || client.get(house.url("/popular?held")).send();
    let asked = tokio::spawn(join_all((0..1000).map(|_| ask()).collect::<Vec<_>>()));
    house.until("the first call came", async || house.fakes.calls() == 1).await;
    house.fakes.held.add_permits(1000);
    let mut misses = 0;
    for response in asked.await.unwrap() {
        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        misses += usize::from(x_cache(&response).await == "miss");
        assert_eq!(response.json::<Value>().await.unwrap()["call"], 1);
    }
    assert_eq!(house.fakes.calls(), 1, "{misses} missed");
}

#[tokio::test]
async fn an_answer_is_kept_and_says_how_old_it_is() {
    let house = House::with(KEPT).await;
    let first = house.get("/popular?window=day").await;
    assert_eq!((x_cache(&first).await, first.headers()["age"].to_str().unwrap()), ("miss", "0"));
    let second = house.get("/popular?window=day").await;
    assert_eq!(x_cache(&second).await, "hit");
    assert_eq!(second.headers()["content-type"], "application/json");
    assert_ne!(first.headers()["x-request-id"], second.headers()["x-request-id"]);
    let tag = second.headers()["etag"].clone();
    assert_eq!(first.headers()["etag"], tag);
    assert_eq!(second.bytes().await.unwrap(), first.bytes().await.unwrap());

    let known = house
        .request("GET", "/popular?window=day")
        .header("if-none-match", &tag)
        .send()
        .await
        .unwrap();
    assert_eq!((known.status().as_u16(), known.headers()["etag"].clone()), (304, tag.clone()));
    assert_eq!(known.bytes().await.unwrap().len(), 0);
    let head = house.request("HEAD", "/popular?window=day").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.headers()["content-length"].to_str().unwrap().parse::<u32>().unwrap() > 2000);
    let packed = house
        .request("GET", "/popular?window=day")
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (packed.headers()["content-encoding"].to_str().unwrap(), x_cache(&packed).await),
        ("gzip", "hit")
    );
    assert_eq!(packed.headers()["etag"].to_str().unwrap(), format!("W/{}", tag.to_str().unwrap()));
    assert_eq!(house.fakes.calls(), 1);
    house.get("/popular?window=week").await;
    house.get("/popular/warm?window=day").await;
    assert_eq!(house.fakes.calls(), 3, "another query and another path are other answers");
}

#[tokio::test]
async fn events_drop_what_they_name() {
    let house = House::with(KEPT).await;
    let ask =
        async |path: &str| house.get(path).await.headers()["x-cache"].to_str().unwrap().to_owned();
    for path in ["/popular", "/palettes/7/export/css", "/palettes/8/export/css"] {
        assert_eq!((ask(path).await, ask(path).await), ("miss".into(), "hit".into()));
    }
    house.emit(&PaletteDeleted { palette_id: PaletteId::new(7), user_id: UserId::new(1) }).await;
    house
        .until("the export is dropped", async || ask("/palettes/7/export/css").await == "miss")
        .await;
    house.until("the list is dropped", async || ask("/popular").await == "miss").await;
    assert_eq!(ask("/palettes/8/export/css").await, "hit");
    assert_eq!(ask("/popular").await, "hit");
    let changed = PopularityChanged {
        kind: Kind::Palette,
        item_id: ItemId::new(8),
        category: None,
        likes: 1,
        views: 1,
        version: 1,
    };
    house.emit(&changed).await;
    house.until("the list is dropped again", async || ask("/popular").await == "miss").await;
}

#[tokio::test]
async fn what_is_for_all_is_fetched_in_nobodys_name() {
    let house = House::new().await;
    let token = house.token(7, "s1");
    let ask = || {
        house
            .request("GET", "/popular")
            .bearer_auth(&token)
            .header("cookie", "a=b")
            .header("if-none-match", "\"x\"")
            .send()
    };
    assert_eq!(x_cache(&ask().await.unwrap()).await, "miss");
    let seen = house.fakes.last();
    assert_eq!(seen.context.caller, None);
    for name in ["authorization", "cookie", "if-none-match"] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert_eq!(x_cache(&house.get("/popular").await).await, "hit");
    house.request("GET", "/recommendations").bearer_auth(&token).send().await.unwrap();
    assert!(house.fakes.last().context.caller.is_some(), "what is personal is not cached");
}

#[tokio::test]
async fn what_is_private_is_not_kept() {
    let house = House::new().await;
    for call in 1..=3 {
        let response = house.get("/popular?private").await;
        assert_eq!(x_cache(&response).await, "miss");
        assert_eq!(response.json::<Value>().await.unwrap()["call"], call);
    }
}

#[tokio::test]
async fn whoever_has_written_sees_it_at_once() {
    let house = House::with(KEPT).await;
    let (me, you) = (house.token(7, "s1"), house.token(8, "s2"));
    let ask = async |token: &str| {
        let response = house.request("GET", "/popular").bearer_auth(token).send().await.unwrap();
        response.headers()["x-cache"].to_str().unwrap().to_owned()
    };
    ask(&me).await;
    assert_eq!(ask(&me).await, "hit");
    let wrote = house.post("/like").bearer_auth(&me).send().await.unwrap();
    let cookie = wrote.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("fresh=1; Max-Age=2;"), "{cookie}");
    assert_eq!(ask(&me).await, "miss");
    assert!(house.fakes.last().context.fresh, "services are told, too");
    assert_eq!(ask(&you).await, "hit");
    // Another gateway knows only the cookie.
    let elsewhere =
        house.request("GET", "/popular").header("cookie", "fresh=1").send().await.unwrap();
    assert_eq!(x_cache(&elsewhere).await, "miss");
    let failed =
        house.request("POST", "/palettes").bearer_auth(&you).body("x").send().await.unwrap();
    assert!(!failed.headers().contains_key("set-cookie"), "nothing was written");
    assert_eq!(ask(&you).await, "hit");
}

#[tokio::test]
async fn one_who_leaves_does_not_spoil_it_for_the_others() {
    let house = House::new().await;
    let client = Client::new();
    let url = house.url("/popular?held");
    let leader = tokio::spawn(client.get(&url).send());
    house.until("the call came", async || house.fakes.calls() == 1).await;
    let follower = tokio::spawn(client.get(&url).send());
    leader.abort();
    house.fakes.held.add_permits(10);
    let response = follower.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(house.fakes.calls.load(Ordering::SeqCst), 1, "the call went on");
}
