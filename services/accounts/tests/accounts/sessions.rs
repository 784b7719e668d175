//! Refresh tokens and the end of sessions.

use auth::Verifier;
use data::DataSettings;
use serde_json::{Value, json};
use testkit::on_each_engine;

use crate::house::{House, quick};

on_each_engine!(a_refresh_token_works_once, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (browser, id) = house.signed_up("Mario", "swordfish").await;
    let session = browser.caller().await.unwrap().session;
    let mut seen = vec![browser.cookie("refreshToken").unwrap()];

    // By cookie, then by body in both spellings.
    for field in ["", "refreshToken", "refresh_token"] {
        let reply = if field.is_empty() {
            browser.post_empty("/refresh").await
        } else {
            let token = browser.cookie("refreshToken").unwrap();
            browser.forget("refreshToken");
            browser.post("/refresh", json!({field: token})).await
        };
        let answer = reply.expect(200).json();
        let refresh = browser.cookie("refreshToken").unwrap();
        let access = browser.cookie("accessToken").unwrap();
        assert_eq!(
            answer,
            json!({
                "user_id": id.to_string(), "access_token": access, "refresh_token": refresh,
                "accessToken": access, "refreshToken": refresh, "error": "",
            })
        );
        assert!(!seen.contains(&refresh));
        assert_eq!(browser.caller().await.unwrap().session, session, "it is the same session");
        seen.push(refresh);
    }

    // The thief shows an old one: the owner's present one ends with it.
    let thief = house.browser();
    let problem = thief.post("/refresh", json!({"refreshToken": seen[1]})).await.problem(401);
    assert_eq!((&problem["accessToken"], &problem["refreshToken"]), (&json!(""), &json!("")));
    browser.post_empty("/refresh").await.problem(401);
    assert_eq!(browser.cookie("refreshToken"), None, "the cookies are cleared");
    let revoked = house.events("session.revoked.v1", 1).await;
    assert_eq!(revoked.len(), 1);
    check_revoked(&revoked[0].payload, &session, &id.to_string());
    // Other sessions of the account go on.
    let other = house.browser();
    other.post("/login", json!({"username": "Mario", "password": "swordfish"})).await.expect(200);
    other.post_empty("/refresh").await.expect(200);
});

fn check_revoked(payload: &Value, session: &str, user: &str) {
    assert_eq!(
        (payload["session"].as_str(), payload["user_id"].as_str()),
        (Some(session), Some(user))
    );
    let left = payload["until"].as_i64().unwrap() - rest::Timestamp::now().0;
    assert!((900_000..=970_000).contains(&left), "{left}");
}

on_each_engine!(
    of_two_who_show_one_token_at_once_one_is_a_thief,
    |settings: DataSettings| async move {
        let house = House::new(&settings).await;
        let (browser, _) = house.signed_up("Mario", "swordfish").await;
        let token = json!({"refreshToken": browser.cookie("refreshToken").unwrap()});
        let posts = (0..8).map(|_| {
            let (browser, token) = (house.browser(), token.clone());
            async move { (browser.post("/refresh", token).await.status.as_u16(), browser) }
        });
        let answers = futures::future::join_all(posts).await;
        let lucky: Vec<_> = answers.iter().filter(|(status, _)| *status == 200).collect();
        assert_eq!(lucky.len(), 1);
        lucky[0].1.post_empty("/refresh").await.problem(401);
        assert_eq!(house.events("session.revoked.v1", 1).await.len(), 1);
    }
);

on_each_engine!(what_is_no_refresh_token_renews_nothing, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (browser, _) = house.signed_up("Mario", "swordfish").await;
    let access = browser.cookie("accessToken").unwrap();
    let forged = auth::RefreshToken::generate().unwrap().expose().to_owned();
    for token in ["", "a", "null", "' OR 1=1", &access, &forged, &"A".repeat(100_000)] {
        house.browser().post("/refresh", json!({"refreshToken": token})).await.problem(401);
    }
    house.browser().post("/refresh", json!({})).await.problem(401);
    house.browser().post_empty("/refresh").await.problem(401);
    let typed = house.browser().post("/refresh", json!({"refreshToken": 12345})).await.problem(422);
    assert!(!typed.to_string().contains("12345"));
    browser.post_empty("/refresh").await.expect(200);
    let body =
        json!({"refreshToken": null, "refresh_token": browser.cookie("refreshToken").unwrap()});
    browser.post("/refresh", body).await.expect(200);
});

on_each_engine!(logging_out_ends_the_session, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (browser, id) = house.signed_up("Mario", "swordfish").await;
    let session = browser.caller().await.unwrap().session;
    let (access, refresh) =
        (browser.cookie("accessToken").unwrap(), browser.cookie("refreshToken").unwrap());
    let reply = browser.post_empty("/logout").await.expect(204);
    assert!(reply.bytes.is_empty());
    assert!(browser.jar.lock().unwrap().is_empty(), "the cookies are cleared");
    browser.post("/refresh", json!({"refreshToken": refresh})).await.problem(401);
    let revoked = house.events("session.revoked.v1", 1).await;
    check_revoked(&revoked[0].payload, &session, &id.to_string());

    // What the gateway makes of it.
    let verifier = Verifier::new();
    verifier.set_keys(&browser.get("/.well-known/jwks.json").await.json());
    assert!(verifier.verify(&access).is_ok());
    verifier.revoke_session(&session, revoked[0].payload["until"].as_i64().unwrap());
    assert_eq!(verifier.verify(&access), Err(auth::AuthError::Revoked));

    // Twice is as good as once for who is still believed to be signed in; nobody at all is 401.
    let mut stale = house.browser();
    stale.bearer = Some(access);
    stale.post_empty("/logout").await.expect(204);
    assert_eq!(house.events("session.revoked.v1", 1).await.len(), 1);
    house.browser().post_empty("/logout").await.problem(401);
});

on_each_engine!(
    an_expired_access_token_does_not_keep_one_signed_in,
    |settings: DataSettings| async move {
        let mut some = quick();
        some.access_token_seconds = 0;
        let house = House::with(&settings, some).await;
        for by_cookie in [true, false] {
            let (browser, _) =
                house.signed_up(if by_cookie { "Mario" } else { "Luigi" }, "swordfish").await;
            let refresh = browser.cookie("refreshToken").unwrap();
            assert_eq!(browser.caller().await, None, "it has expired");
            if by_cookie {
                browser.post_empty("/logout").await.expect(204);
            } else {
                browser.forget("refreshToken");
                browser.post("/logout", json!({"refresh_token": refresh})).await.expect(204);
            }
            browser.post("/refresh", json!({"refreshToken": refresh})).await.problem(401);
        }
    }
);

on_each_engine!(an_account_has_so_many_sessions_and_no_more, |settings: DataSettings| async move {
    let mut some = quick();
    some.sessions_per_account = 3;
    let house = House::with(&settings, some).await;
    let (first, _) = house.signed_up("Mario", "swordfish").await;
    let mut browsers = vec![first];
    for _ in 0..3 {
        // The order of sessions is told by their times, in milliseconds.
        let begun = rest::Timestamp::now();
        testkit::eventually("a millisecond has passed", || async {
            rest::Timestamp::now() > begun
        })
        .await;
        let browser = house.browser();
        browser.post("/login", json!({"name": "Mario", "password": "swordfish"})).await.expect(200);
        browsers.push(browser);
    }
    let oldest = browsers[0].caller().await.unwrap().session;
    browsers[0].post_empty("/refresh").await.problem(401);
    assert_eq!(house.events("session.revoked.v1", 1).await[0].payload["session"], oldest);
    for browser in &browsers[1..] {
        browser.post_empty("/refresh").await.expect(200);
    }
});

on_each_engine!(a_session_that_is_not_used_ends, |settings: DataSettings| async move {
    let mut some = quick();
    some.session_days = 0;
    let house = House::with(&settings, some).await;
    let (browser, _) = house.signed_up("Mario", "swordfish").await;
    let answer =
        browser.post("/login", json!({"name": "Mario", "password": "swordfish"})).await.expect(200);
    let token = json!({"refreshToken": answer.json()["refreshToken"]});
    browser.post("/refresh", token).await.problem(401);
});
