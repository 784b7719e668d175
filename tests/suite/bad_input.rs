//! Whatever a client sends gets the contract's error: never a 500, and nothing changed.

use reqwest::Method;
use serde_json::{Value, json};
use system_tests::{Answer, Person, System, in_every_shape};

/// The one error shape.
fn is_problem(answer: &Answer, path: &str) {
    let body = &answer.json;
    assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    assert_eq!(body["status"], answer.status, "{path}: {body}");
    assert_eq!(body["message"], "failure", "{path}");
    assert_eq!(body["error"], body["detail"], "{path}");
    assert_eq!(body["request_id"], answer.header("x-request-id"), "{path}");
    let text = body.to_string();
    for inside in ["SELECT", "INSERT", "sqlite", "panicked", ".rs:", "127.0.0.1"] {
        assert!(!text.contains(inside), "{path} tells of the inside: {text}");
    }
}

async fn raw(person: &Person, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    person.send(person.request(method, path).header("content-type", kind).body(body)).await
}

in_every_shape!(malformed_and_invalid_bodies, async |system: &mut System| {
    let ada = system.member("ada").await;
    let before = ada.get("/palettes").await.expect(200).json;
    let deep = format!("{{\"color_codes\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    let long = json!({"color_codes": ["#000"], "name": "x".repeat(100_000)}).to_string();
    let many = json!({"color_codes": vec!["#000"; 65]}).to_string();
    let cases: Vec<(u16, Vec<u8>)> = vec![
        (400, b"".to_vec()),
        (400, b"{".to_vec()),
        (400, b"{\"color_codes\":[\"#000\"]".to_vec()),
        (400, b"{\"color_codes\":[\"\xff\"]}".to_vec()),
        (422, b"[]".to_vec()),
        (422, b"null".to_vec()),
        (422, deep.into_bytes()),
        (422, long.into_bytes()),
        (422, many.into_bytes()),
        (422, json!({}).to_string().into_bytes()),
        (422, json!({"color_codes": []}).to_string().into_bytes()),
        (422, json!({"color_codes": "#000"}).to_string().into_bytes()),
        (422, json!({"color_codes": ["red"]}).to_string().into_bytes()),
        (422, json!({"color_codes": ["#00000"]}).to_string().into_bytes()),
        (422, json!({"color_codes": ["#000"], "name": "a\u{0}b"}).to_string().into_bytes()),
        (
            422,
            json!({"color_codes": ["#000"], "user_id": 99999999999999999999_f64})
                .to_string()
                .into_bytes(),
        ),
        (422, json!({"color_codes": ["#000"], "user_id": -1}).to_string().into_bytes()),
        (403, json!({"color_codes": ["#000"], "user_id": "999999"}).to_string().into_bytes()),
        (413, vec![b' '; 1024 * 1024 + 1]),
    ];
    for (status, body) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = raw(&ada, Method::POST, "/palettes", "application/json", body).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.json);
        is_problem(&answer, &shown);
    }
    let answer =
        raw(&ada, Method::POST, "/palettes", "text/plain", b"{}".to_vec()).await.expect(415);
    is_problem(&answer, "text/plain");
    assert_eq!(ada.get("/palettes").await.expect(200).json, before, "nothing changed");
});

in_every_shape!(scripts_and_sql_are_only_text, async |system: &mut System| {
    let ada = system.member("ada").await;
    for name in
        ["'; DROP TABLE palettes; --", "<script>alert(1)</script>", "%_\\", "\u{202e}x", "🎨"]
    {
        let made = ada.post("/palettes", &json!({"color_codes": ["#000"], "name": name})).await;
        let id = made.expect(201).json["palette_id"].as_str().unwrap().to_owned();
        let read = ada.get(&format!("/palettes/{id}")).await.expect(200);
        assert_eq!(read.json["name"], name);
        let url = reqwest::Url::parse_with_params("http://host/palettes", [("q", name)]).unwrap();
        let found = ada.get(&format!("/palettes?{}", url.query().unwrap())).await.expect(200);
        assert!(
            found.json.as_array().unwrap().iter().any(|p| p["palette_id"] == id.as_str()),
            "{name}"
        );
    }
});

in_every_shape!(paths_methods_and_parameters, async |system: &mut System| {
    let ada = system.member("ada").await;
    let cases = [
        (404, Method::GET, "/palettes/0"),
        (404, Method::GET, "/palettes/999999999"),
        (404, Method::GET, "/palettes/99999999999999999999"),
        (404, Method::GET, "/palettes/1%27%20OR%201=1"),
        (404, Method::GET, "/nowhere"),
        (404, Method::GET, "/palettes/1/export/exe"),
        (405, Method::DELETE, "/popular"),
        (405, Method::PATCH, "/palettes/1"),
        (405, Method::GET, "/like"),
        (422, Method::GET, "/palettes?limit=0"),
        (422, Method::GET, "/palettes?limit=101"),
        (422, Method::GET, "/palettes?limit=x"),
        (422, Method::GET, "/palettes?cursor=forged"),
        (422, Method::GET, "/palettes?color=nocolor"),
        (422, Method::GET, "/popular?window=year"),
        (422, Method::GET, "/popular?by=size"),
        (422, Method::GET, "/popular?kind=cat"),
    ];
    for (status, method, path) in cases {
        let answer = ada.send(ada.request(method, path)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.json);
        is_problem(&answer, path);
        assert_eq!(status == 405, !answer.header("allow").is_empty(), "{path}");
    }
    let unreadable = ada.send(ada.request(Method::GET, "/palettes/%00")).await;
    assert!([400, 404].contains(&unreadable.status));
    is_problem(&unreadable, "/palettes/%00");
});

in_every_shape!(tokens_that_are_none, async |system: &mut System| {
    let ada = system.member("ada").await;
    let parts: Vec<&str> = ada.token.split('.').collect();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let hs256 = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
    let forged = [
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{hs256}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.{}", parts[0], "eyJzdWIiOiIxIn0", parts[2]),
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(20_000),
    ];
    for token in forged {
        let mut thief = ada.clone();
        thief.token.clone_from(&token);
        let answer = thief.post("/palettes", &json!({"color_codes": ["#000"]})).await.expect(401);
        is_problem(&answer, &token[..token.len().min(40)]);
    }
    let visitor = system.visitor();
    for header in ["x-atelier-caller", "X-Atelier-Caller"] {
        let request = visitor.request(Method::POST, "/palettes").header(header, "1;s=a;staff");
        visitor.send(request.json(&json!({"color_codes": ["#000"]}))).await.expect(401);
    }
    visitor.get("/recommendations").await.expect(401);
    visitor.like("1").await.expect(401);
});

in_every_shape!(pictures_that_are_none, async |system: &mut System| {
    let ada = system.member("ada").await;
    let extract = async |bytes: Vec<u8>, colors: &str| -> Answer {
        let part = reqwest::multipart::Part::bytes(bytes).file_name("p");
        let form = reqwest::multipart::Form::new().part("file", part);
        let path = format!("/palettes/extract?colors={colors}");
        ada.send(ada.request(Method::POST, &path).multipart(form)).await
    };
    // A PNG that claims 60,000 by 60,000 pixels.
    let mut huge =
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0\x0f\xb0\xe2\x15"
            .to_vec();
    huge.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    let cases: Vec<(u16, Vec<u8>, &str)> = vec![
        (415, b"no picture".to_vec(), "5"),
        (422, Vec::new(), "5"),
        (413, huge, "5"),
        (413, vec![0xff; 20 * 1024 * 1024 + 1], "5"),
        (422, b"no picture".to_vec(), "1"),
        (422, b"no picture".to_vec(), "17"),
    ];
    for (number, (status, bytes, colors)) in cases.into_iter().enumerate() {
        let answer = extract(bytes, colors).await;
        assert_eq!(answer.status, status, "case {number}: {}", answer.json);
        is_problem(&answer, "/palettes/extract");
    }
    let json = ada.post("/palettes/extract", &Value::Null).await;
    assert!([415, 422].contains(&json.status), "{}", json.status);
});
