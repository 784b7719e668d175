//! Profiles and passwords.

use data::DataSettings;
use http::Method;
use ids::UserId;
use serde_json::{Value, json};
use testkit::on_each_engine;

use crate::house::{Browser, House};

fn path(id: UserId) -> String {
    format!("/users/{id}")
}

async fn staff(house: &House) -> Browser {
    accounts::create_user(&house.db, "root", "swordfish", true).await.unwrap();
    let browser = house.browser();
    browser.post("/login", json!({"username": "root", "password": "swordfish"})).await.expect(200);
    browser
}

on_each_engine!(a_profile_shows_each_reader_their_part, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (owner, id) = house.signed_up("Mario", "swordfish").await;
    let (other, _) = house.signed_up("Luigi", "swordfish").await;
    let staff = staff(&house).await;

    let mine = owner.get(&path(id)).await.expect(200);
    let mine_json = mine.json();
    assert_eq!(mine_json["email"], "Mario@example.com");
    assert_eq!(mine_json["chats"], json!([]));
    assert_eq!(mine.header("cache-control"), "private, no-cache");
    let public: Value = json!({
        "user_id": id.to_string(), "username": "Mario", "created_at": mine_json["created_at"],
        "display_name": null, "bio": null,
    });
    for reader in [&house.browser(), &other] {
        let seen = reader.get(&path(id)).await.expect(200);
        assert_eq!(seen.json(), public);
        assert_eq!(seen.header("vary"), "Authorization, Cookie");
    }
    let seen = staff.get(&path(id)).await.expect(200).json();
    assert_eq!(seen["email"], "Mario@example.com");
    assert!(seen.get("chats").is_none());

    let tag = mine.header("etag").to_owned();
    let conditional = |tag: String| {
        let owner = owner.clone();
        async move { owner.send(Method::GET, &path(id), None, &[("if-none-match", &tag)]).await }
    };
    conditional(tag.clone()).await.expect(304);
    owner.patch(&path(id), json!({"bio": "It's me"})).await.expect(200);
    conditional(tag).await.expect(200);

    for nobody in [
        "/users/0",
        "/users/999999",
        "/users/-1",
        "/users/9223372036854775808",
        "/users/me",
        "/users/1%00",
        "/users/'--",
    ] {
        house.browser().get(nobody).await.problem(404);
    }
});

on_each_engine!(owners_change_what_they_say, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (owner, id) = house.signed_up("Mario", "swordfish").await;
    let (other, _) = house.signed_up("Luigi", "swordfish").await;
    let change = json!({"email": "m@example.org", "display_name": " Super Mario 🍄 ", "bio": "Plumber.\nHero."});
    let changed = owner.patch(&path(id), change).await.expect(200).json();
    assert_eq!(changed["email"], "m@example.org");
    assert_eq!(changed["display_name"], "Super Mario 🍄");
    assert_eq!(changed["bio"], "Plumber.\nHero.");
    assert_eq!(owner.get(&path(id)).await.json(), changed);
    // What is left out stays, null and an empty field empty.
    assert_eq!(owner.patch(&path(id), json!({})).await.expect(200).json(), changed);
    let emptied = owner
        .patch(&path(id), json!({"email": null, "display_name": "", "bio": ""}))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&emptied["email"], &emptied["display_name"], &emptied["bio"]),
        (&json!(null), &json!(null), &json!(""))
    );

    owner.patch(&path(id), json!({"email": "nowhere"})).await.invalid("email");
    owner.patch(&path(id), json!({"email": 7})).await.invalid("email");
    owner.patch(&path(id), json!({"display_name": "a".repeat(65)})).await.invalid("display_name");
    owner.patch(&path(id), json!({"bio": "\u{202e}"})).await.invalid("bio");
    let both = owner
        .patch(&path(id), json!({"email": "x@", "bio": "a".repeat(1_001)}))
        .await
        .invalid("email");
    assert_eq!(both["errors"].as_array().unwrap().len(), 2);
    assert_eq!(owner.get(&path(id)).await.json(), emptied, "nothing was changed");

    other.patch(&path(id), json!({"bio": "ha"})).await.problem(403);
    staff(&house).await.patch(&path(id), json!({"bio": "ha"})).await.problem(403);
    house.browser().patch(&path(id), json!({"bio": "ha"})).await.problem(401);
    other.patch("/users/999999", json!({"bio": "ha"})).await.problem(404);
    // Neither name nor rights are a matter of the profile.
    owner
        .patch(&path(id), json!({"username": "Wario", "staff": true, "user_id": 1}))
        .await
        .expect(200);
    assert_eq!(owner.get(&path(id)).await.json()["username"], "Mario");
    owner.post("/login", json!({"name": "Mario", "password": "swordfish"})).await.expect(200);
    assert!(!owner.caller().await.unwrap().staff);
});

on_each_engine!(a_password_is_changed_by_who_knows_it, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (owner, id) = house.signed_up("Mario", "swordfish").await;
    let elsewhere = house.browser();
    elsewhere.post("/login", json!({"name": "Mario", "password": "swordfish"})).await.expect(200);
    let ended = elsewhere.caller().await.unwrap().session;

    owner.patch(&path(id), json!({"password": "marlinspike"})).await.invalid("current_password");
    let wrong = json!({"password": "marlinspike", "current_password": "wrong"});
    owner.patch(&path(id), wrong.clone()).await.problem(403);
    let short = json!({"password": "1234", "current_password": "swordfish"});
    owner.patch(&path(id), short).await.invalid("password");
    owner.post("/login", json!({"name": "Mario", "password": "swordfish"})).await.expect(200);

    let good = json!({"password": "marlinspike", "current_password": "swordfish", "bio": "new"});
    assert_eq!(owner.patch(&path(id), good.clone()).await.expect(200).json()["bio"], "new");
    // This session goes on, the others have ended.
    owner.post_empty("/refresh").await.expect(200);
    elsewhere.post_empty("/refresh").await.problem(401);
    let revoked = house.events("session.revoked.v1", 2).await;
    assert!(revoked.iter().any(|event| event.payload["session"] == ended.as_str()));
    house
        .browser()
        .post("/login", json!({"name": "Mario", "password": "swordfish"}))
        .await
        .problem(401);
    house
        .browser()
        .post("/login", json!({"name": "Mario", "password": "marlinspike"}))
        .await
        .expect(200);

    // A borrowed session is no place to guess.
    for _ in 0..10 {
        owner.patch(&path(id), wrong.clone()).await.problem(403);
    }
    owner.patch(&path(id), wrong).await.problem(429);
    owner.patch(&path(id), good).await.problem(429);
});

on_each_engine!(
    of_two_changes_of_a_password_at_once_one_counts,
    |settings: DataSettings| async move {
        let house = House::new(&settings).await;
        let (owner, id) = house.signed_up("Mario", "swordfish").await;
        let changes = (0..6).map(|n| {
            let owner = owner.clone();
            let change =
                json!({"password": format!("password-{n}"), "current_password": "swordfish"});
            async move { owner.patch(&path(id), change).await.status.as_u16() }
        });
        let answers = futures::future::join_all(changes).await;
        assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
        assert!(answers.iter().all(|status| matches!(status, 200 | 403 | 409)), "{answers:?}");
    }
);

on_each_engine!(an_account_may_begin_without_a_password, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let owner = house.browser();
    let body = json!({"username": "dora", "email": "dora@example.com"});
    let id = owner.post("/api/user", body).await.expect(201).json()["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for password in ["", "swordfish", "null"] {
        house
            .browser()
            .post("/login", json!({"name": "dora", "password": password}))
            .await
            .problem(401);
    }
    let set = json!({"password": "swordfish"});
    owner.patch(&format!("/users/{id}"), set).await.expect(200);
    house
        .browser()
        .post("/login", json!({"name": "dora", "password": "swordfish"}))
        .await
        .expect(200);
    // From now on it takes the one that is set.
    owner
        .patch(&format!("/users/{id}"), json!({"password": "marlinspike"}))
        .await
        .invalid("current_password");
});
