//! Who asks.

use std::time::{Duration, Instant};

use auth::Principal;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use contracts::events::{AccountDeleted, SessionRevoked};
use ids::UserId;
use serde_json::json;

use crate::house::{House, problem, signer};

fn caller(house: &House) -> Option<Principal> {
    house.fakes.last().context.caller.as_ref().and_then(Principal::from_header)
}

#[tokio::test]
async fn a_token_speaks_for_its_user() {
    let house = House::new().await;
    let token = house.token(7, "s1");
    house.request("GET", "/palettes/1").bearer_auth(&token).send().await.unwrap();
    assert_eq!(caller(&house), Some(House::principal(7, "s1")));
    house
        .request("GET", "/palettes/1")
        .header("cookie", format!("a=b; accessToken={token}"))
        .send()
        .await
        .unwrap();
    assert_eq!(caller(&house), Some(House::principal(7, "s1")));
    let both = house.request("GET", "/palettes/1").bearer_auth(house.token(8, "s2"));
    both.header("cookie", format!("accessToken={token}")).send().await.unwrap();
    assert_eq!(caller(&house).unwrap().user, UserId::new(8), "the header counts before the cookie");
    house.get("/palettes/1").await;
    assert_eq!(caller(&house), None);
}

fn forged(house: &House) -> Vec<(&'static str, String)> {
    let good = house.token(7, "s1");
    let parts: Vec<&str> = good.split('.').collect();
    let encode = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = parts[1];
    let none = encode(json!({"alg": "none", "typ": "JWT"}));
    let hs256 = encode(json!({"alg": "HS256", "typ": "JWT", "kid": "first"}));
    vec![
        ("alg none", format!("{none}.{claims}.")),
        ("alg none with a signature", format!("{none}.{claims}.{}", parts[2])),
        ("another algorithm", format!("{hs256}.{claims}.{}", parts[2])),
        (
            "a foreign key of the same name",
            signer("first").sign_access(&House::principal(7, "s1"), Duration::from_secs(60)),
        ),
        (
            "an unknown key",
            signer("other").sign_access(&House::principal(7, "s1"), Duration::from_secs(60)),
        ),
        ("expired", house.signer.sign_access(&House::principal(7, "s1"), Duration::ZERO)),
        (
            "other claims",
            format!("{}.{}.{}", parts[0], encode(json!({"sub": "1", "sid": "x"})), parts[2]),
        ),
        ("cut off", good[..good.len() - 4].to_owned()),
        ("no token", "x".to_owned()),
    ]
}

#[tokio::test]
async fn a_forged_token_opens_nothing() {
    let house = House::new().await;
    for (what, token) in forged(&house) {
        for (method, path) in [("GET", "/palettes/1"), ("POST", "/palettes"), ("GET", "/popular")] {
            let sent = house.request(method, path).bearer_auth(&token).send().await.unwrap();
            assert_eq!(sent.headers()["www-authenticate"], "Bearer", "{what}");
            problem(sent, 401).await;
        }
        let cookie = format!("accessToken={token}");
        problem(
            house.request("POST", "/palettes").header("cookie", &cookie).send().await.unwrap(),
            401,
        )
        .await;
        assert_eq!(house.fakes.calls(), 0, "{what}");
        // A cookie stays in a browser: what is public is still shown, in nobody's name.
        assert_eq!(
            house
                .request("GET", "/palettes/1")
                .header("cookie", &cookie)
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
        assert_eq!(caller(&house), None, "{what}");
        house.fakes.calls.store(0, std::sync::atomic::Ordering::SeqCst);
    }
    problem(
        house.request("GET", "/palettes/1").basic_auth("a", Some("b")).send().await.unwrap(),
        401,
    )
    .await;
}

#[tokio::test]
async fn whoever_comes_to_sign_in_may_carry_an_old_token() {
    let house = House::new().await;
    let old = house.signer.sign_access(&House::principal(7, "s1"), Duration::ZERO);
    for path in ["/login", "/refresh"] {
        assert_eq!(
            house
                .post(path)
                .header("cookie", format!("accessToken={old}; refreshToken=r"))
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
        assert!(house.fakes.last().headers["cookie"].to_str().unwrap().contains("refreshToken=r"));
        assert_eq!(house.post(path).bearer_auth(&old).send().await.unwrap().status(), 200);
        assert_eq!(caller(&house), None);
    }
}

#[tokio::test]
async fn a_session_that_ends_ends_here_within_a_second() {
    let house = House::new().await;
    let (one, two) = (house.token(7, "s1"), house.token(7, "s2"));
    let status = async |token: &str| {
        house.request("GET", "/recommendations").bearer_auth(token).send().await.unwrap().status()
    };
    assert_eq!(status(&one).await, 200);
    let ended = Instant::now();
    house
        .emit(&SessionRevoked { user_id: UserId::new(7), session: "s1".into(), until: i64::MAX })
        .await;
    house.until("the session is refused", async || status(&one).await == 401).await;
    assert!(ended.elapsed() < Duration::from_secs(1));
    assert_eq!(status(&two).await, 200, "another session of the same user goes on");
    house.emit(&AccountDeleted { user_id: UserId::new(7) }).await;
    house.until("the account is refused", async || status(&two).await == 401).await;
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let house = House::new().await;
    let next = signer("second");
    house.fakes.keys.lock().unwrap().push(next.jwk());
    let token = next.sign_access(&House::principal(9, "s9"), Duration::from_secs(60));
    assert_eq!(
        house.request("GET", "/palettes/1").bearer_auth(&token).send().await.unwrap().status(),
        200
    );
    assert_eq!(caller(&house), Some(House::principal(9, "s9")));
}

#[tokio::test]
async fn foreign_pages_cannot_write_with_cookies() {
    let house = House::new().await;
    let cookie = format!("accessToken={}", house.token(7, "s1"));
    let write = |origin: String| {
        house.post("/palettes").header("cookie", &cookie).header("origin", origin).send()
    };
    problem(write("https://evil.example".into()).await.unwrap(), 403).await;
    problem(write("null".into()).await.unwrap(), 403).await;
    assert_eq!(house.fakes.calls(), 0);
    assert_eq!(write(format!("http://{}", house.address)).await.unwrap().status(), 201);
    let bearer = house
        .post("/palettes")
        .bearer_auth(house.token(7, "s1"))
        .header("origin", "https://evil.example");
    assert_eq!(bearer.send().await.unwrap().status(), 201);
}
