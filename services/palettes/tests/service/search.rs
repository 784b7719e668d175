//! Lists: order, pages, filters.

use data::DataSettings;
use palettes::model::{Color, NEAR, Oklab};
use serde_json::json;
use testkit::on_each_engine;

use crate::world::{World, id, ids};

on_each_engine!(
    newest_first_in_pages_that_miss_and_repeat_nothing,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let mut made = Vec::new();
        for _ in 0..25 {
            made.push(world.some().await);
        }
        made.reverse();
        assert_eq!(ids(&world.client.get("/palettes").await.json()), made[..20]);
        assert_eq!(ids(&world.client.get("/palettes?limit=100").await.json()), made);
        let (mut next, mut seen) = (Some("/palettes?limit=7&q=".to_owned()), Vec::new());
        while let Some(path) = next {
            let reply = world.client.get(&path).await.expect(200);
            seen.extend(ids(&reply.json()));
            next = reply.header("link").map(|link| {
                assert!(link.ends_with("; rel=\"next\""));
                link[1..link.find('>').unwrap()].to_owned()
            });
            if seen.len() == 14 {
                // What comes and goes in between moves nothing.
                world.some().await;
                world.anna().delete(&format!("/palettes/{}", made[3])).await.expect(204);
            }
        }
        assert_eq!(seen, made);
        assert!(world.client.get("/palettes?limit=25").await.header("link").is_none());
    }
);

on_each_engine!(whose_and_of_which_category, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let warm = id(&world.create(json!({"color_codes": ["#F80"], "category": "Warm  Été"})).await);
    let cold = world
        .ben()
        .post("/palettes", json!({"color_codes": ["#08F"], "category": "cold"}))
        .await
        .expect(201)
        .json();
    let found = |query: &str| {
        let (client, path) = (world.client.clone(), format!("/palettes?{query}"));
        async move { ids(&client.get(&path).await.expect(200).json()) }
    };
    assert_eq!(found("user_id=1").await, [warm]);
    assert_eq!(found("user_id=2").await, [id(&cold)]);
    assert!(found("user_id=3").await.is_empty());
    assert_eq!(found("category=warm%20%C3%89T%C3%89").await, [warm]);
    assert!(found("category=warm").await.is_empty());
    assert_eq!(found("category=COLD&user_id=2").await, [id(&cold)]);
    assert!(found("category=cold&user_id=1").await.is_empty());
    assert_eq!(found("category=").await.len(), 2);
    assert_eq!(found("unknown=1").await.len(), 2);
});

on_each_engine!(
    text_is_found_whatever_its_case_and_characters,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let named = |name: &'static str, category: &'static str| {
            let body = json!({"color_codes": ["#123"], "name": name, "category": category});
            let world = &world;
            async move { id(&world.create(body).await) }
        };
        let sale = named("50% Off_Season", "shop").await;
        let summer = named("ÉTÉ Nights", "Summer").await;
        let back = named(r"C:\colors", "files").await;
        let plain = named("5000 offers", "shop").await;
        let found = |text: &'static str| {
            let query = form(text);
            let client = world.client.clone();
            async move { ids(&client.get(&format!("/palettes?q={query}")).await.expect(200).json()) }
        };
        assert_eq!(found("50%").await, [sale]);
        assert_eq!(found("f_s").await, [sale]);
        assert_eq!(found("%").await, [sale]);
        assert_eq!(found("\\").await, [back]);
        assert_eq!(found("été  NIGHTS").await, [summer]);
        assert_eq!(found("SUMMER").await, [summer]);
        assert_eq!(found("shop").await, [plain, sale]);
        assert_eq!(found("off").await, [plain, sale]);
        assert!(found("' OR '1'='1").await.is_empty());
        assert!(found("nights summer").await.is_empty(), "name and category are two texts");
    }
);

/// A query value, every byte escaped.
fn form(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

on_each_engine!(near_a_colour_is_what_looks_like_it, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let mut made = Vec::new();
    for code in [
        "#FF0000",
        "#FE0505",
        "#EE1010",
        "#00FF00",
        "#0000FF",
        "#FFFFFF",
        "#000000",
        "#FF8000",
        "#FF000080",
        "#800000",
    ] {
        made.push((id(&world.create(json!({"color_codes": ["#808080", code]})).await), code));
    }
    for probe in [
        "#F00",
        "#00FF00",
        "#0000FF",
        "#808080",
        "#FFF",
        "#000",
        "#FE0000",
        "#7F7F81",
        "#123456",
        "#FF000001",
    ] {
        let near = |code: &str| {
            let [x, y] = [probe, code].map(|code| Oklab::from(code.parse::<Color>().unwrap()));
            x.distance(y) <= NEAR
        };
        let mut expected: Vec<i64> = made
            .iter()
            .filter(|(_, code)| near(code) || near("#808080"))
            .map(|(made, _)| *made)
            .collect();
        expected.reverse();
        for written in [probe.replace('#', "%23"), probe.replace('#', "")] {
            let reply = world.client.get(&format!("/palettes?color={written}")).await.expect(200);
            assert_eq!(ids(&reply.json()), expected, "near {probe}");
        }
    }
});

on_each_engine!(
    near_a_colour_goes_with_pages_and_the_other_filters,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let mut expected = Vec::new();
        for n in 0..40u8 {
            // Every other one has two colours near it, in different cells of the grid.
            let near = format!("#{:02X}{:02X}{:02X}", 200 + n % 40, 30 + n / 2, 40 + n / 4);
            let codes = if n % 2 == 0 {
                json!([near, "#C81E28", "#D22828"])
            } else {
                json!(["#0000FF", near])
            };
            let made = world
                .create(
                    json!({"color_codes": codes, "category": if n % 4 == 0 { "a" } else { "b" }}),
                )
                .await;
            expected.push((id(&made), n));
        }
        expected.reverse();
        let (mut next, mut seen) = (Some("/palettes?color=D22828&limit=9".to_owned()), Vec::new());
        while let Some(path) = next {
            let reply = world.client.get(&path).await.expect(200);
            seen.extend(ids(&reply.json()));
            next = reply.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
        }
        let all: Vec<i64> = expected.iter().map(|(made, _)| *made).collect();
        assert_eq!(seen, all);
        let some = ids(&world
            .client
            .get("/palettes?color=D22828&category=a&user_id=1&limit=100")
            .await
            .json());
        assert_eq!(
            some,
            expected.iter().filter(|(_, n)| n % 4 == 0).map(|(made, _)| *made).collect::<Vec<_>>()
        );
        let some = ids(&world.client.get("/palettes?color=D22828&category=A&limit=3").await.json());
        assert_eq!(
            some,
            expected
                .iter()
                .filter(|(_, n)| n % 4 == 0)
                .map(|(made, _)| *made)
                .take(3)
                .collect::<Vec<_>>()
        );
        // After its colours change, a palette is found by the new ones alone.
        world
            .anna()
            .put(&format!("/palettes/{}", all[0]), json!({"color_codes": ["#00FF00"]}))
            .await
            .expect(200);
        assert!(
            !ids(&world.client.get("/palettes?color=D22828&limit=100").await.json())
                .contains(&all[0])
        );
        assert_eq!(ids(&world.client.get("/palettes?color=00FF00").await.json()), all[..1]);
    }
);
