//! Many at once, and callers that go away in the middle.

use data::DataSettings;
use serde_json::json;
use testkit::{cancel_at_random, eventually, on_each_engine};

use crate::world::{World, id, ids};

on_each_engine!(cancelled_requests_leave_all_or_nothing, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let anna = world.anna();
    let first = id(&world.create(json!({"color_codes": ["#111", "#222"]})).await);
    let path = format!("/palettes/{first}");
    for seed in 0..300 {
        let name = format!("n{seed}");
        match seed % 3 {
            0 => drop(
                cancel_at_random(
                    anna.post(
                        "/palettes",
                        json!({"color_codes": ["#333", "#444", "#555"], "name": name}),
                    ),
                    seed,
                )
                .await,
            ),
            1 => drop(
                cancel_at_random(
                    anna.put(&path, json!({"color_codes": ["#666", "#777"], "category": name})),
                    seed,
                )
                .await,
            ),
            _ => {
                let victim = ids(&anna.get("/palettes?limit=1").await.expect(200).json())[0];
                if victim != first {
                    drop(cancel_at_random(anna.delete(&format!("/palettes/{victim}")), seed).await);
                }
            }
        }
    }
    eventually("all of it has ended", || async {
        world.rows("sagas WHERE finished_at IS NULL").await == 0
    })
    .await;
    assert_eq!(world.rows("palettes WHERE NOT visible").await, 0);
    let (mut next, mut seen, mut colors) = (Some("/palettes?limit=100".to_owned()), Vec::new(), 0);
    while let Some(page) = next {
        let reply = anna.fresh().get(&page).await.expect(200);
        for palette in reply.json().as_array().unwrap() {
            colors += palette["color_codes"].as_array().unwrap().len();
        }
        seen.extend(ids(&reply.json()));
        next = reply.header("link").map(|link| link[1..link.find('>').unwrap()].to_owned());
    }
    seen.reverse();
    assert_eq!(world.rows("palette_colors").await, i64::try_from(colors).unwrap());
    eventually("popularity knows the same", || async { world.popularity.known() == seen }).await;
    // The connections are none the worse for it.
    for _ in 0..20 {
        world.some().await;
    }
});
