//! What the README promises a newcomer, in every shape.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use system_tests::{Person, System, eventually, in_every_shape};

/// A picture painted from three colours.
fn painted() -> Vec<u8> {
    let colors = [Rgb([17, 34, 51]), Rgb([200, 30, 40]), Rgb([240, 240, 220])];
    let picture = RgbImage::from_fn(120, 90, |x, y| colors[((x / 40 + y / 30) % 3) as usize]);
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

async fn extract(person: &Person, picture: Vec<u8>) -> Vec<String> {
    let form = Form::new().part("file", Part::bytes(picture).file_name("a.png"));
    let request = person.request(Method::POST, "/palettes/extract?colors=3").multipart(form);
    let answer = person.send(request).await.expect(200);
    serde_json::from_value(answer.json["color_codes"].clone()).unwrap()
}

in_every_shape!(the_quick_start_works, async |system: &mut System| {
    let (ada, ben) = (system.member("ada").await, system.member("ben").await);
    let mut watching = system.visitor().listen("/ws/popularity").await;

    let mut colors = extract(&ada, painted()).await;
    let made = ada.post("/palettes", &json!({"color_codes": colors, "category": "posters"})).await;
    let made = made.expect(201);
    let id = made.json["palette_id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/palettes/{id}"));
    colors.sort();
    assert_eq!(colors, ["#112233", "#C81E28", "#F0F0DC"]);

    assert_eq!(ada.like(&id).await.expect(200).json["likes"], 1);
    let second = ben.like(&id).await.expect(200);
    assert_eq!(second.json, json!({"palette_id": id, "likes": 2, "liked": true}));

    watching
        .until(|m| m["type"] == "palette.created" && m["palette"]["palette_id"] == id.as_str())
        .await;
    let seen = watching
        .until(|m| m["type"] == "popularity" && m["palette_id"] == id.as_str() && m["likes"] == 2)
        .await;
    assert_eq!(seen["rank"], 1);

    // Whoever liked sees it at once; everybody else soon.
    let popular = ben.get("/popular").await.expect(200);
    assert_eq!(popular.json[0]["palette_id"], id.as_str());
    assert_eq!((&popular.json[0]["likes"], &popular.json[0]["rank"]), (&json!(2), &json!(1)));
    let visitor = system.visitor();
    eventually("the like in /popular", async || {
        let list = visitor.get("/popular/posters").await.expect(200);
        (list.json[0]["likes"] == 2).then_some(())
    })
    .await;
});

in_every_shape!(a_view_is_counted_and_shown, async |system: &mut System| {
    let ada = system.member("ada").await;
    let id = ada.palette("#123456", "views").await;
    let visitor = system.visitor();
    ada.get(&format!("/palettes/{id}")).await.expect(200);
    for _ in 0..3 {
        visitor.get(&format!("/palettes/{id}")).await.expect(200);
    }
    eventually("three views, the owner's not among them", async || {
        let palette = ada.get(&format!("/palettes/{id}")).await.expect(200);
        assert!(palette.json["views"].as_i64().unwrap() <= 3, "{}", palette.json);
        (palette.json["views"] == 3).then_some(())
    })
    .await;
});

in_every_shape!(a_palette_lives_and_dies, async |system: &mut System| {
    let (ada, ben) = (system.member("ada").await, system.member("ben").await);
    let id = ada.palette("#abc", "old").await;
    let path = format!("/palettes/{id}");

    let changed = ada.put(&path, &json!({"color_codes": ["#01020304"], "name": "new"})).await;
    let changed = changed.expect(200).json;
    assert_eq!(changed["color_codes"], json!(["#01020304"]));
    assert_eq!(changed["category"], "old");
    let refused = ben.put(&path, &json!({"color_codes": ["#000"]})).await.expect(403);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let _ = ben.delete(&path, &json!({})).await.expect(403);

    let near = ben.get("/palettes?color=%23010203&limit=1").await.expect(200);
    assert_eq!(near.json[0]["palette_id"], id.as_str());
    for format in ["css", "scss", "tailwind", "json", "svg", "png", "gpl", "ase", "aco"] {
        let file = ben.get(&format!("{path}/export/{format}")).await.expect(200);
        assert!(!file.bytes.is_empty(), "{format}");
    }

    ada.delete(&path, &json!({})).await.expect(204);
    ada.get(&path).await.expect(404);
    ada.like(&id).await.expect(404);
    ada.delete(&path, &json!({})).await.expect(404);
});

in_every_shape!(a_repeat_creates_nothing_twice, async |system: &mut System| {
    let ada = system.member("ada").await;
    let create = |body: serde_json::Value| {
        let request = ada.request(Method::POST, "/palettes").header("Idempotency-Key", "k1");
        ada.send(request.json(&body))
    };
    let body = json!({"color_codes": ["#111111"], "category": "once"});
    let (first, second) = tokio::join!(create(body.clone()), create(body.clone()));
    let third = create(body).await.expect(201);
    assert_eq!(first.expect(201).json, third.json);
    assert_eq!(second.expect(201).json, third.json);
    create(json!({"color_codes": ["#222222"]})).await.expect(422);
    let all = ada.get("/palettes?category=once").await.expect(200);
    assert_eq!(all.json.as_array().unwrap().len(), 1);
});

in_every_shape!(the_system_tells_of_itself, async |system: &mut System| {
    let visitor = system.visitor();
    visitor.get("/healthz").await.expect(200);
    visitor.get("/readyz").await.expect(200);
    let document = visitor.get("/openapi.json").await.expect(200);
    assert!(document.json["paths"]["/palettes/{id}"]["get"].is_object());
    let services = ["accounts", "palettes", "popularity"];
    eventually("every service in /status, healthy", async || {
        let status = visitor.get("/status").await.expect(200).json;
        let healthy = |name: &str| {
            let all = status["services"].as_array().unwrap();
            let one = all.iter().find(|s| s["service"] == name)?;
            one["instances"].as_array()?.iter().find(|i| i["health"] == "healthy").map(|_| ())
        };
        services.iter().all(|name| healthy(name).is_some()).then_some(())
    })
    .await;
    for hidden in ["/service", "/services", "/ticket", "/metrics"] {
        visitor.get(hidden).await.expect(404);
    }
});
