//! Creating, changing, deleting.

use contracts::events::{PaletteCreated, PaletteDeleted, PaletteUpdated};
use data::DataSettings;
use http::{Method, Request};
use serde_json::json;
use testkit::{eventually, on_each_engine};

use crate::popularity::Answer;
use crate::world::{ANNA, BEN, World, id};

on_each_engine!(a_palette_is_created_as_the_contract_says, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let body = json!({"user_id": ANNA, "color_codes": ["#abc", "#A1b2C3", "#01020304"], "category": " Warm ", "name": "Été 🌅"});
    let reply = world.anna().post("/palettes", body).await.expect(201);
    let palette = reply.json();
    let members: Vec<&str> = palette.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "palette_id",
        "user_id",
        "color_codes",
        "category",
        "name",
        "created_at",
        "updated_at",
        "likes",
        "views",
    ];
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(palette["color_codes"], json!(["#AABBCC", "#A1B2C3", "#01020304"]));
    assert_eq!(palette["user_id"], "1");
    assert_eq!(palette["category"], "Warm");
    assert_eq!(palette["name"], "Été 🌅");
    assert_eq!((&palette["likes"], &palette["views"]), (&json!(0), &json!(0)));
    assert_eq!(palette["created_at"], palette["updated_at"]);
    let at: rest::Timestamp = serde_json::from_value(palette["created_at"].clone()).unwrap();
    assert!((rest::Timestamp::now().0 - at.0).abs() < 60_000);
    let path = format!("/palettes/{}", id(&palette));
    assert_eq!(reply.header("location"), Some(path.as_str()));
    assert_eq!(world.anna().get(&path).await.expect(200).json(), palette);
    let item = world.popularity.item(id(&palette)).unwrap();
    assert_eq!((item.owner, item.category.as_deref(), item.created_at), (ANNA, Some("Warm"), at.0));
    eventually("the others are told", || async { world.told::<PaletteCreated>().await.len() == 1 })
        .await;
    let told = world.told::<PaletteCreated>().await.remove(0).palette;
    assert_eq!(told.color_codes, ["#AABBCC", "#A1B2C3", "#01020304"]);
    assert_eq!((told.palette_id.get(), told.user_id.get()), (id(&palette), ANNA));
});

on_each_engine!(
    what_is_not_given_is_null_and_what_is_given_is_kept_to_the_letter,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let bare =
            world.create(json!({"color_codes": ["#FFF"], "category": "", "user_id": "1"})).await;
        assert_eq!((&bare["category"], &bare["name"]), (&json!(null), &json!(null)));
        for text in [
            "'; DROP TABLE palettes; --",
            "<script>alert(1)</script>",
            "%_\\ \" ' ` $1 {{id}} ?",
            "a\nb\tc\u{1}\u{7f}\u{2028}d",
            "\\u0000",
            &"é🌅".repeat(25),
        ] {
            let made = world
                .create(json!({"color_codes": ["#FFF"], "category": text, "name": text}))
                .await;
            let read = world.anna().get(&format!("/palettes/{}", id(&made))).await.json();
            assert_eq!((&read["category"], &read["name"]), (&json!(text), &json!(text)));
        }
        assert_eq!(world.rows("palettes").await, 7);
    }
);

on_each_engine!(one_to_sixty_four_colours, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let codes: Vec<String> = (0..64).map(|n| format!("#{:06X}", n * 1000)).collect();
    let made = world.create(json!({"color_codes": codes})).await;
    assert_eq!(made["color_codes"], json!(codes));
    assert_eq!(world.rows("palette_colors").await, 64);
});

on_each_engine!(a_change_leaves_what_is_left_out, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let made =
        world.create(json!({"color_codes": ["#111", "#222"], "category": "a", "name": "n"})).await;
    let path = format!("/palettes/{}", id(&made));
    world.popularity.get().items.get_mut(&id(&made)).unwrap().likes = 3;

    let changed = world
        .anna()
        .put(&path, json!({"color_codes": ["#333", "#222", "#444"]}))
        .await
        .expect(200)
        .json();
    assert_eq!(changed["color_codes"], json!(["#333333", "#222222", "#444444"]));
    assert_eq!(
        (&changed["category"], &changed["name"], &changed["likes"]),
        (&json!("a"), &json!("n"), &json!(3))
    );
    assert_eq!(changed["created_at"], made["created_at"]);
    assert_eq!(world.rows("palette_colors").await, 3);

    let changed =
        world.anna().put(&path, json!({"name": "m", "user_id": "1"})).await.expect(200).json();
    assert_eq!((&changed["category"], &changed["name"]), (&json!("a"), &json!("m")));
    let changed =
        world.anna().put(&path, json!({"name": null, "category": "b"})).await.expect(200).json();
    assert_eq!((&changed["category"], &changed["name"]), (&json!("b"), &json!(null)));
    let changed = world.anna().put(&path, json!({"category": null})).await.expect(200).json();
    assert_eq!(
        (&changed["category"], &changed["color_codes"][0]),
        (&json!(null), &json!("#333333"))
    );
    assert_eq!(
        world.anna().put(&path, json!({})).await.expect(200).json()["color_codes"],
        changed["color_codes"]
    );
    assert_eq!(world.ben().get(&path).await.json()["color_codes"], changed["color_codes"]);

    eventually("the others are told", || async { world.told::<PaletteUpdated>().await.len() == 5 })
        .await;
    let told = world.told::<PaletteUpdated>().await;
    assert_eq!(told[2].palette.category.as_deref(), Some("b"));
});

on_each_engine!(only_its_owner_may_change_or_delete_it, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let made = world.create(json!({"color_codes": ["#111"], "name": "mine"})).await;
    let path = format!("/palettes/{}", id(&made));
    let change = json!({"name": "theirs"});
    world.client.post("/palettes", json!({"color_codes": ["#111"]})).await.expect(401);
    world.client.put(&path, &change).await.expect(401);
    world.client.delete(&path).await.expect(401);
    world.ben().put(&path, &change).await.expect(403);
    world.ben().put(&path, json!({"category": "theirs"})).await.expect(403);
    world.ben().delete(&path).await.expect(403);
    world.client.as_staff(BEN).delete(&path).await.expect(403);
    world
        .anna()
        .post("/palettes", json!({"color_codes": ["#111"], "user_id": BEN}))
        .await
        .expect(403);
    world.anna().put(&path, json!({"name": "x", "user_id": "2"})).await.expect(403);
    let read = world.anna().get(&path).await.json();
    assert_eq!(read, made);
    // Refused changes do not count as versions: the tag is what it was.
    assert_eq!(world.anna().get(&path).await.header("etag"), Some("\"1.0.0\""));
    assert_eq!(world.rows("palettes").await, 1);
});

on_each_engine!(a_deleted_palette_is_gone, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let (first, second) = (world.some().await, world.some().await);
    let path = format!("/palettes/{first}");
    assert!(world.anna().delete(&path).await.expect(204).bytes.is_empty());
    world.anna().get(&path).await.expect(404);
    world.anna().delete(&path).await.expect(404);
    world.anna().put(&path, json!({"name": "x"})).await.expect(404);
    world.anna().get(&format!("{path}/export/css")).await.expect(404);
    assert_eq!(world.popularity.known(), [second]);
    assert_eq!(world.rows("palette_colors").await, 1);
    eventually("the others are told", || async { world.told::<PaletteDeleted>().await.len() == 1 })
        .await;
    // Ids are not given again.
    assert!(world.some().await > second);
});

on_each_engine!(
    a_deletion_sent_again_under_one_request_id_is_the_same_deletion,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let path = format!("/palettes/{}", world.some().await);
        let context = telemetry::Context::background();
        let router = world.another().await;
        for user in [1, 1, 2] {
            let mut context = context.clone();
            context.caller = Some(
                auth::Principal { user: user.into(), session: "s".into(), staff: false }
                    .to_header(),
            );
            let request = Request::delete(&path).body(axum::body::Body::empty()).unwrap();
            let answer =
                context.scope(tower::ServiceExt::oneshot(router.clone(), request)).await.unwrap();
            assert_eq!(answer.status(), if user == 1 { 204 } else { 404 });
        }
    }
);

on_each_engine!(if_match_binds_a_change_to_what_was_seen, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let made = world.some().await;
    let path = format!("/palettes/{made}");
    let seen = world.anna().get(&path).await.header("etag").unwrap().to_owned();
    // A like in between is no reason to refuse.
    world.popularity.get().items.get_mut(&made).unwrap().likes = 1;
    let put = |tag: String| {
        let request =
            Request::builder().method(Method::PUT).uri(path.clone()).header("if-match", tag);
        request.header("content-type", "application/json").body(r#"{"name":"x"}"#.into()).unwrap()
    };
    let reply = world.anna().request(put(seen.clone())).await.expect(200);
    assert_eq!(world.anna().get(&path).await.header("etag"), reply.header("etag"));
    world.anna().request(put(seen)).await.expect(412);
    world.anna().request(put("\"forged\"".into())).await.expect(412);
    world.anna().request(put("*".into())).await.expect(200);
});

on_each_engine!(two_changes_at_once_both_count, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let path = format!("/palettes/{}", world.some().await);
    for round in 0..20 {
        let (name, category) = (format!("n{round}"), format!("c{round}"));
        let anna = world.anna();
        let (x, y) = tokio::join!(
            anna.put(&path, json!({"name": name})),
            anna.put(&path, json!({"category": category})),
        );
        assert_eq!((x.status.as_u16(), y.status.as_u16()), (200, 200));
        let read = world.ben().get(&path).await.json();
        assert_eq!((&read["name"], &read["category"]), (&json!(name), &json!(category)));
    }
});

on_each_engine!(without_popularity_nothing_is_created, |settings: DataSettings| async move {
    let how = palettes::Settings { create_within_seconds: 1, ..palettes::Settings::default() };
    let world = World::with(settings, how).await;
    for answer in [Answer::Down, Answer::Lost] {
        world.popularity.get().changes = answer;
        let reply =
            world.anna().post("/palettes", json!({"color_codes": ["#FFF"]})).await.expect(503);
        assert!(reply.header("retry-after").is_some());
        assert_eq!(reply.json()["message"], "failure");
        assert_eq!(world.anna().get("/palettes").await.json(), json!([]));
        world.popularity.get().changes = Answer::Well;
        eventually("nothing is left", || async {
            world.rows("palettes").await == 0
                && world.rows("palette_colors").await == 0
                && world.popularity.known().is_empty()
        })
        .await;
    }
    world.popularity.get().script.push_back(Answer::Refused);
    let refused = world.anna().post("/palettes", json!({"color_codes": ["#FFF"]})).await;
    assert!(refused.status.is_client_error(), "{}", refused.status);
    assert_eq!(world.rows("palettes").await, 0);
    assert!(world.told::<PaletteCreated>().await.is_empty());
});

on_each_engine!(
    a_lost_answer_or_a_short_absence_is_no_failure,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        world.popularity.get().script.extend([Answer::Lost, Answer::Down]);
        let made = world.some().await;
        assert_eq!(world.popularity.known(), [made]);
        assert_eq!(world.rows("palettes").await, 1);
    }
);

on_each_engine!(
    changes_and_deletions_do_not_wait_for_popularity,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let (first, second) = (world.some().await, world.some().await);
        world.popularity.get().changes = Answer::Down;
        let began = std::time::Instant::now();
        let changed = world
            .anna()
            .put(&format!("/palettes/{first}"), json!({"category": "new"}))
            .await
            .expect(200)
            .json();
        assert_eq!(changed["category"], "new");
        world.anna().delete(&format!("/palettes/{second}")).await.expect(204);
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
        world.client.get(&format!("/palettes/{second}")).await.expect(404);
        assert_eq!(world.popularity.known(), [first, second]);
        world.popularity.get().changes = Answer::Well;
        eventually("popularity hears of it", || async {
            world.popularity.known() == [first]
                && world.popularity.item(first).unwrap().category.as_deref() == Some("new")
        })
        .await;
    }
);

on_each_engine!(popularity_ends_with_the_last_category, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let made = world.some().await;
    let path = format!("/palettes/{made}");
    let changes = (0..24).map(|n| {
        let (anna, path) = (world.anna(), path.clone());
        async move { anna.put(&path, json!({"category": format!("c{n}")})).await.expect(200) }
    });
    futures::future::join_all(changes).await;
    let last = world.anna().get(&path).await.json()["category"].as_str().map(str::to_owned);
    eventually("popularity has the last category", || async {
        world.popularity.item(made).unwrap().category == last
    })
    .await;
    let open = || async { world.rows("sagas WHERE finished_at IS NULL").await };
    eventually("all of it has ended", || async { open().await == 0 }).await;
    assert_eq!(world.popularity.item(made).unwrap().category, last);
});
