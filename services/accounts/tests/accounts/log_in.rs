//! Logging in, and guessing.

use data::DataSettings;
use serde_json::json;
use testkit::on_each_engine;

use crate::house::{Browser, House, Reply, quick};

const WRONG: &str = "Your login or password is not correct";

on_each_engine!(every_dialect_logs_in, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (_, id) = house.signed_up("Mario", "swordfish").await;
    let id = id.to_string();

    let browser = house.browser();
    let answer = browser
        .post("/users/login", json!({"username": "mARIO", "password": "swordfish"}))
        .await
        .expect(200);
    assert_eq!(answer.json()["user_id"], id);
    assert_eq!(answer.json()["token"], browser.cookie("accessToken").unwrap());
    assert_eq!(answer.json().as_object().unwrap().len(), 2);
    assert_eq!(answer.header("cache-control"), "no-store");

    for name in ["username", "name"] {
        let browser = house.browser();
        let body = json!({name: "Mario", "password": "swordfish"});
        let answer = browser.post("/login", body).await.expect(200).json();
        let (access, refresh) =
            (browser.cookie("accessToken").unwrap(), browser.cookie("refreshToken").unwrap());
        assert_eq!(
            answer,
            json!({
                "user_id": id, "access_token": access, "refresh_token": refresh,
                "accessToken": access, "refreshToken": refresh, "error": "",
            })
        );
        assert_eq!(browser.caller().await.unwrap().user.to_string(), id);
    }

    let browser = house.browser();
    let answer = browser
        .post("/api/user", json!({"username": "Mario", "password": "swordfish"}))
        .await
        .expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "message": "Login successful",
            "user": {"id": id, "username": "Mario", "email": "Mario@example.com"},
        })
    );
    assert!(browser.caller().await.is_some());
    // An address that is null is none.
    let body = json!({"username": "Mario", "password": "swordfish", "email": null});
    house.browser().post("/api/user", body).await.expect(200);
});

on_each_engine!(wrong_credentials_are_told_alike, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    house.signed_up("Mario", "swordfish").await;
    let no_password = json!({"username": "Luigi", "email": "l@example.com"});
    house.browser().post("/api/user", no_password).await.expect(201);
    let browser = house.browser();
    for name in ["Mario", "Luigi", "nobody", "", "a", "\u{202e}", &"x".repeat(5_000)] {
        for password in ["wrong", "", "Swordfish", &"x".repeat(5_000)] {
            let by = |path: &'static str| {
                // An address each, so that no limit is in the way.
                let mut browser = house.browser();
                browser.address = format!("2001:db8:{:x}::1", fresh()).parse().unwrap();
                async move { browser.post(path, json!({"username": name, "password": password})).await }
            };
            for path in ["/users/login", "/login", "/api/user"] {
                let reply = by(path).await;
                if reply.status == 429 {
                    continue;
                }
                let problem = reply.problem(401);
                assert_eq!(problem["error"], WRONG);
                if path == "/login" {
                    assert_eq!(
                        (&problem["accessToken"], &problem["refreshToken"]),
                        (&json!(""), &json!(""))
                    );
                }
            }
        }
    }
    assert_eq!(browser.cookie("accessToken"), None);
    for path in ["/users/login", "/login", "/api/user"] {
        browser.post(path, json!({"username": "Mario"})).await.invalid("password");
        browser.post(path, json!({"password": "swordfish"})).await.invalid("username");
        let typed = browser
            .post(path, json!({"username": "Mario", "password": 1234567}))
            .await
            .invalid("password");
        assert!(!typed.to_string().contains("1234567"), "a password is not repeated");
    }
});

fn fresh() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::SeqCst)
}

async fn guess(browser: &Browser, name: &str, password: &str) -> Reply {
    browser.post("/login", json!({"username": name, "password": password})).await
}

on_each_engine!(guessing_is_slowed_and_tells_nothing, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    house.signed_up("Mario", "swordfish").await;
    let browser = house.browser();
    let mut told = Vec::new();
    for name in ["Mario", "Nobody"] {
        let mut answers = Vec::new();
        for n in 0..12 {
            // In every case and spelling it is the same account.
            let name = if n % 2 == 0 { name.to_lowercase() } else { name.to_uppercase() };
            let reply = guess(&browser, &name, "wrong").await;
            let (status, wait) = (reply.status.as_u16(), reply.header("retry-after").to_owned());
            let body = reply.problem(status);
            if status == 429 {
                let wait: u64 = wait.parse().unwrap();
                assert!((280..=300).contains(&wait), "{wait}");
            }
            answers.push((status, body["detail"].clone(), body["accessToken"].clone()));
        }
        told.push(answers);
    }
    assert_eq!(told[0], told[1], "an account that exists and one that does not");
    assert_eq!(told[0].iter().filter(|(status, ..)| *status == 401).count(), 10);
    assert!(told[0][10..].iter().all(|(status, ..)| *status == 429));
    guess(&browser, "Mario", "swordfish").await.problem(429);
    // From elsewhere too: it is the account that is guarded.
    let mut elsewhere = house.browser();
    elsewhere.address = "198.51.100.7".parse().unwrap();
    guess(&elsewhere, "Mario", "swordfish").await.problem(429);
    assert_eq!(
        house.count("attempts WHERE subject LIKE '%ario%'").await,
        0,
        "what was typed is not stored"
    );
});

on_each_engine!(
    instances_count_together_and_success_forgives,
    |settings: DataSettings| async move {
        let mut some = quick();
        some.failed_log_ins_per_account = 4;
        let one = House::with(&settings, some.clone()).await;
        let two = House::on(one.db.clone(), one.log.clone(), some).await;
        one.signed_up("Mario", "swordfish").await;
        for _ in 0..3 {
            for house in [&one, &two].into_iter().take(1) {
                guess(&house.browser(), "Mario", "wrong").await.problem(401);
            }
        }
        guess(&two.browser(), "Mario", "swordfish").await.expect(200);
        for house in [&one, &two, &one, &two] {
            guess(&house.browser(), "Mario", "wrong").await.problem(401);
        }
        guess(&one.browser(), "Mario", "wrong").await.problem(429);
        guess(&two.browser(), "Mario", "swordfish").await.problem(429);
    }
);

on_each_engine!(an_address_that_tries_many_names_is_slowed, |settings: DataSettings| async move {
    let mut some = quick();
    some.failed_log_ins_per_address = 5;
    let house = House::with(&settings, some).await;
    house.signed_up("Mario", "swordfish").await;
    let browser = house.browser();
    for n in 0..4 {
        guess(&browser, &format!("name-{n}"), "wrong").await.problem(401);
    }
    // One's own account does not wipe the slate.
    guess(&browser, "Mario", "swordfish").await.expect(200);
    guess(&browser, "name-5", "wrong").await.problem(401);
    guess(&browser, "name-6", "wrong").await.problem(429);
    let mut elsewhere = house.browser();
    elsewhere.address = "198.51.100.7".parse().unwrap();
    guess(&elsewhere, "name-6", "wrong").await.problem(401);
});

on_each_engine!(limits_can_be_switched_off, |settings: DataSettings| async move {
    let mut some = quick();
    some.failed_log_ins_per_account = 0;
    some.failed_log_ins_per_address = 0;
    let house = House::with(&settings, some).await;
    for _ in 0..20 {
        guess(&house.browser(), "Mario", "wrong").await.problem(401);
    }
    assert_eq!(house.count("attempts").await, 0);
});
