//! No secret is in a log or, readable, in the database. A test binary of its own: it listens to
//! everything that is logged in its process.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "accounts/house.rs"]
#[allow(dead_code)]
mod house;

use std::io::Write;
use std::sync::{Arc, Mutex};

use house::House;
use http::Method;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

const PASSWORDS: [&str; 3] = ["swordfish-4711", "marlinspike-4711", "a wrong guess-4711"];

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Heard {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[test]
fn secrets_stay_secret() {
    let heard = Heard::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(heard.clone())
        .init();
    testkit::run_on_sqlite(async |settings: data::DataSettings| {
        let house = House::new(&settings).await;
        let secrets = live_a_little(&house).await;
        house.tasks.stop().await;
        let log = String::from_utf8_lossy(&heard.0.lock().unwrap()).into_owned();
        assert!(log.contains("a refresh token was used twice"), "the log is heard");
        let folder = std::path::Path::new(settings.primary.strip_prefix("sqlite:").unwrap())
            .parent()
            .unwrap();
        let mut stored = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            stored.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
        assert!(contains(&stored, b"$argon2id$"), "the database is read");
        for secret in &secrets {
            assert!(!log.contains(secret.as_str()), "{secret} is in the log");
            assert!(!contains(&stored, secret.as_bytes()), "{secret} is in the database");
        }
    });
}

/// Does everything that handles secrets, and returns them.
async fn live_a_little(house: &House) -> Vec<String> {
    let [password, next, wrong] = PASSWORDS;
    let key = [("idempotency-key", "k")];
    let body = json!({"username": "Mario", "password": password, "email": "m@example.com"});
    let browser = house.browser();
    let first =
        browser.send(Method::POST, "/users/register", Some(body.clone()), &key).await.expect(201);
    browser.send(Method::POST, "/users/register", Some(body), &key).await.expect(201);
    let id = first.json()["user_id"].as_str().unwrap().to_owned();
    let mut secrets: Vec<String> = PASSWORDS.map(str::to_owned).into();
    let mut remember = |browser: &house::Browser| {
        secrets.extend(browser.cookie("accessToken"));
        secrets.extend(browser.cookie("refreshToken"));
    };
    remember(&browser);
    browser.post("/login", json!({"name": "Mario", "password": wrong})).await.expect(401);
    browser.post("/login", json!({"name": "Mario", "password": [wrong]})).await.expect(422);
    browser.post("/login", json!({"name": "Mario", "password": password})).await.expect(200);
    remember(&browser);
    let old = browser.cookie("refreshToken").unwrap();
    browser.post_empty("/refresh").await.expect(200);
    remember(&browser);
    let change = json!({"password": next, "current_password": password});
    browser.patch(&format!("/users/{id}"), change).await.expect(200);
    browser.post("/refresh", json!({"refreshToken": old})).await.expect(401);
    browser.post("/login", json!({"name": "Mario", "password": next})).await.expect(200);
    remember(&browser);
    browser.post_empty("/logout").await.expect(204);
    secrets
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
