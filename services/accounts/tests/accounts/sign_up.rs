//! Signing up, in every dialect.

use data::DataSettings;
use http::Method;
use serde_json::json;
use testkit::on_each_engine;

use crate::house::{House, quick};

on_each_engine!(every_dialect_answers_as_the_contract_says, |settings: DataSettings| async move {
    let house = House::new(&settings).await;

    let browser = house.browser();
    let body = json!({"username": "anna", "password": "swordfish", "email": "anna@example.com"});
    let reply = browser.post("/users/register", body).await.expect(201);
    let answer = reply.json();
    assert_eq!(answer["username"], "anna");
    assert_eq!(answer["email"], "anna@example.com");
    assert!(answer["user_id"].is_string());
    assert!(answer["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(answer.as_object().unwrap().len(), 4);
    assert_eq!(reply.header("cache-control"), "no-store");
    let caller = browser.caller().await.unwrap();
    assert_eq!(
        (caller.user.to_string(), caller.staff),
        (answer["user_id"].as_str().unwrap().into(), false)
    );

    let browser = house.browser();
    let bare =
        browser.post("/users/register", json!({"username": "ben", "password": "swordfish"})).await;
    assert_eq!(bare.expect(201).json()["email"], json!(null));

    let browser = house.browser();
    let body = json!({"username": "cleo", "password": "swordfish", "email": "cleo@example.com"});
    let answer = browser.post("/register", body).await.expect(201).json();
    assert_eq!(answer, json!({"message": "Registration successful."}));
    assert!(browser.caller().await.is_some());

    let browser = house.browser();
    let answer = browser
        .post("/signup", json!({"name": "Mario", "password": "Mario"}))
        .await
        .expect(201)
        .json();
    assert_eq!(answer, json!({"message": "success", "error": ""}));
    assert!(browser.caller().await.is_some());

    let browser = house.browser();
    let body = json!({"username": "dora", "email": "dora@example.com", "password": "swordfish"});
    let answer = browser.post("/api/user", body).await.expect(201).json();
    assert_eq!(answer["message"], "User registered successfully");
    assert_eq!(answer["user"]["username"], "dora");
    assert_eq!(answer["user"]["email"], "dora@example.com");
    assert!(answer["user"]["id"].is_string());
    assert!(browser.caller().await.is_some());

    let created = house.events("account.created.v1", 5).await;
    assert_eq!(created.len(), 5);
    assert_eq!(created[0].payload["username"], "anna");
    assert_eq!(created[0].key, format!("user:{}", created[0].payload["user_id"].as_str().unwrap()));
});

on_each_engine!(what_is_not_acceptable_is_named, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let browser = house.browser();
    let long = "a".repeat(257);
    for path in ["/users/register", "/register", "/api/user"] {
        let post = |body| browser.post(path, body);
        let email = "x@example.com";
        post(json!({"password": "swordfish", "email": email})).await.invalid("username");
        post(json!({"username": null, "password": "swordfish", "email": email}))
            .await
            .invalid("username");
        post(json!({"username": 7, "password": "swordfish", "email": email}))
            .await
            .invalid("username");
        post(json!({"username": "ab", "password": "swordfish", "email": email}))
            .await
            .invalid("username");
        post(json!({"username": "a".repeat(33), "password": "swordfish", "email": email}))
            .await
            .invalid("username");
        post(json!({"username": " anna", "password": "swordfish", "email": email}))
            .await
            .invalid("username");
        post(json!({"username": "<script>", "password": "swordfish", "email": email}))
            .await
            .invalid("username");
        post(json!({"username": "'; DROP TABLE users;--", "password": "x", "email": email}))
            .await
            .invalid("username");
        post(json!({"username": "anna", "password": "1234", "email": email}))
            .await
            .invalid("password");
        post(json!({"username": "anna", "password": 12345, "email": email}))
            .await
            .invalid("password");
        post(json!({"username": "anna", "password": long, "email": email}))
            .await
            .invalid("password");
        post(json!({"username": "anna", "password": "swordfish", "email": "nowhere"}))
            .await
            .invalid("email");
        post(json!({"username": "anna", "password": "swordfish", "email": ""}))
            .await
            .invalid("email");
        let both = post(json!({"username": "a", "password": "b", "email": email}))
            .await
            .invalid("username");
        assert_eq!(both["errors"].as_array().unwrap().len(), 2);
        assert!(!both.to_string().contains("swordfish"));
    }
    browser.post("/users/register", json!({"username": "anna"})).await.invalid("password");
    browser
        .post("/register", json!({"username": "anna", "password": "swordfish"}))
        .await
        .invalid("email");
    assert_eq!(house.count("users").await, 0);
    assert_eq!(browser.cookie("accessToken"), None);
});

on_each_engine!(signup_speaks_its_clients_words, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let browser = house.browser();
    for body in [
        json!({}),
        json!({"name": "", "password": ""}),
        json!({"name": "Mario"}),
        json!({"name": "Mario", "password": "Mari"}),
        json!({"name": "   ", "password": "Mario"}),
        json!({"name": 7, "password": "Mario"}),
        json!({"name": "a\0b", "password": "Mario"}),
    ] {
        let problem = browser.post("/signup", body).await.problem(422);
        assert_eq!(problem["error"], "empty/invalid name and/or password");
    }
    browser.post("/signup", json!({"name": "Mario", "password": "Mario"})).await.expect(201);
    let problem =
        browser.post("/signup", json!({"name": "mario", "password": "Mario2"})).await.problem(409);
    assert_eq!(problem["error"], "existing username");
});

on_each_engine!(names_that_look_alike_are_taken, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    house.signed_up("Mario", "swordfish").await;
    for name in ["Mario", "mario", "MARIO", "Mаrio", "МАRIO", "Ｍａｒｉｏ", "rnario", "Mari0"]
    {
        let body = json!({"username": name, "password": "swordfish", "email": "x@example.com"});
        for path in ["/users/register", "/register", "/api/user"] {
            house.browser().post(path, body.clone()).await.problem(409);
        }
    }
    assert_eq!(house.count("users").await, 1);
    assert_eq!(house.count("sessions").await, 1);
});

on_each_engine!(of_many_who_want_a_name_one_gets_it, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let names = ["Bobby", "bobby", "BOBBY", "Воbby", "bоbby", "Bоbbу"];
    let posts = names.iter().cycle().take(24).map(|name| {
        let browser = house.browser();
        async move {
            browser
                .post("/signup", json!({"name": name, "password": "swordfish"}))
                .await
                .status
                .as_u16()
        }
    });
    let answers = futures::future::join_all(posts).await;
    assert_eq!(answers.iter().filter(|status| **status == 201).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 201 | 409)), "{answers:?}");
    assert_eq!(house.count("users").await, 1);
    assert_eq!(house.events("account.created.v1", 1).await.len(), 1);
});

on_each_engine!(a_repeated_sign_up_is_the_first_one, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    for (n, path) in
        ["/users/register", "/register", "/signup", "/api/user"].into_iter().enumerate()
    {
        let name = format!("repeat{n}x");
        let mut body = json!({"username": name, "password": "swordfish", "email": "a@example.com"});
        if path == "/signup" {
            body = json!({"name": name, "password": "swordfish"});
        }
        let key = [("idempotency-key", "k-1")];
        let first =
            house.browser().send(Method::POST, path, Some(body.clone()), &key).await.expect(201);
        let again = house.browser();
        let second = again.send(Method::POST, path, Some(body.clone()), &key).await.expect(201);
        assert_eq!(first.json(), second.json(), "{path}");
        assert!(again.caller().await.is_some(), "{path}: the repeat is signed in too");
        // Before sign-in a key belongs to one body: another one is a sign-up of its own.
        body["password"] = json!("another one");
        house.browser().send(Method::POST, path, Some(body.clone()), &key).await.problem(409);
        house.browser().post(path, body).await.problem(409);
    }
    assert_eq!(house.count("users").await, 4);
    // A log-in is not a repeat: after a change of password its old answer is not given again.
    let key = [("idempotency-key", "k-2")];
    let body = json!({"username": "repeat0x", "password": "swordfish"});
    house.browser().send(Method::POST, "/api/user", Some(body.clone()), &key).await.expect(200);
    let (owner, id) = {
        let browser = house.browser();
        let reply = browser.post("/users/login", body.clone()).await.expect(200);
        (browser, reply.json()["user_id"].as_str().unwrap().to_owned())
    };
    let change = json!({"password": "marlinspike", "current_password": "swordfish"});
    owner.patch(&format!("/users/{id}"), change).await.expect(200);
    house.browser().send(Method::POST, "/api/user", Some(body), &key).await.problem(401);
});

on_each_engine!(sign_ups_from_one_address_are_slowed, |settings: DataSettings| async move {
    let mut some = quick();
    some.sign_ups_per_hour_per_address = 3;
    let house = House::with(&settings, some).await;
    for n in 0..3 {
        house.signed_up(&format!("user-{n}"), "swordfish").await;
    }
    // Neither a refused nor a throttled one counts.
    let mut browser = house.browser();
    let reply = browser.post("/signup", json!({"name": "user-9", "password": "swordfish"})).await;
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    reply.problem(429);
    browser.address = "192.0.2.2".parse().unwrap();
    browser.post("/signup", json!({"name": "user-9", "password": "swordfish"})).await.expect(201);
    assert_eq!(house.count("users").await, 4);
});

on_each_engine!(
    a_sign_up_that_is_cut_off_is_whole_or_absent,
    |settings: DataSettings| async move {
        let house = House::new(&settings).await;
        for n in 0..150_u64 {
            let body = json!({"name": format!("cut-{n}"), "password": "swordfish"});
            testkit::cancel_at_random(house.browser().post("/signup", body), n).await;
        }
        let mut whole = 0;
        for n in 0..150 {
            let body = json!({"name": format!("cut-{n}"), "password": "swordfish"});
            let known = house.browser().post("/login", body.clone()).await.status == 200;
            let expected = if known { 409 } else { 201 };
            whole += u32::from(known);
            house.browser().post("/signup", body).await.expect(expected);
        }
        assert!(whole > 0 && whole < 150, "{whole} of 150 came through");
        assert_eq!(house.count("users").await, 150);
        assert_eq!(house.events("account.created.v1", 150).await.len(), 150);
        assert_eq!(house.count("users WHERE id NOT IN (SELECT user_id FROM names)").await, 0);
    }
);

on_each_engine!(
    an_operator_makes_accounts_beside_a_running_system,
    |settings: DataSettings| async move {
        let house = House::new(&settings).await;
        let beside = data::Database::open(&settings, accounts::MIGRATIONS).await.unwrap();
        // With the settings of production, so that it is slow enough to be done once.
        let id = accounts::create_user(&beside, "root", "swordfish", true).await.unwrap();
        let browser = house.browser();
        let answer = browser
            .post("/login", json!({"username": "root", "password": "swordfish"}))
            .await
            .expect(200);
        assert_eq!(answer.json()["user_id"], id.to_string());
        assert!(browser.caller().await.unwrap().staff);
        assert_eq!(house.events("account.created.v1", 1).await.len(), 1);
        let taken = accounts::create_user(&beside, "Root", "swordfish", true).await.unwrap_err();
        assert_eq!(taken.to_string(), "this name is taken");
        let short = accounts::create_user(&beside, "other", "1234", false).await.unwrap_err();
        assert_eq!(short.to_string(), "password: the password is too short");
    }
);
