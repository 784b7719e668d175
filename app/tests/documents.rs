//! The documents in `docs/` say what the code does.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};

use serde_json::Value;

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file)
}

#[test]
fn the_openapi_document_is_the_codes() {
    let document = atelier::openapi::document().to_pretty_json().unwrap() + "\n";
    let file = docs("openapi.json");
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&file, &document).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == document, "docs/openapi.json is old: UPDATE_DOCUMENTS=1 writes it anew");
}

/// Every row of the contract that is built so far.
const BUILT: &[(&str, &str)] = &[
    ("post", "/users/register"),
    ("post", "/users/login"),
    ("get", "/users/{id}"),
    ("patch", "/users/{id}"),
    ("delete", "/users/{id}"),
    ("post", "/register"),
    ("post", "/login"),
    ("post", "/signup"),
    ("post", "/refresh"),
    ("post", "/logout"),
    ("post", "/api/user"),
    ("get", "/.well-known/jwks.json"),
    ("post", "/palettes"),
    ("get", "/palettes"),
    ("get", "/palettes/{id}"),
    ("put", "/palettes/{id}"),
    ("delete", "/palettes/{id}"),
    ("get", "/palettes/{id}/export/{format}"),
    ("post", "/palettes/extract"),
    ("get", "/popular"),
    ("get", "/popular/{category}"),
    ("post", "/like"),
    ("delete", "/like"),
    ("get", "/recommendations"),
    ("get", "/ws/popularity"),
    ("get", "/ws/popularity/{category}"),
    ("post", "/api/chat"),
    ("get", "/api/chat"),
    ("get", "/api/chat/{id}"),
    ("patch", "/api/chat/{id}"),
    ("delete", "/api/chat/{id}"),
    ("post", "/api/chat/{id}/participants"),
    ("delete", "/api/chat/{id}/participants/{user_id}"),
    ("post", "/api/chat/{id}/message"),
    ("get", "/api/chat/{id}/message"),
    ("patch", "/api/chat/{id}/message/{message_id}"),
    ("delete", "/api/chat/{id}/message/{message_id}"),
    ("get", "/ws/chat"),
    ("post", "/lobbies"),
    ("get", "/lobbies"),
    ("post", "/lobbies/{id}/join"),
    ("post", "/lobbies/{id}/leave"),
    ("get", "/lobbies/{id}/messages"),
    ("get", "/lobbies/{id}/members"),
    ("get", "/ws/lobbies/{id}"),
];

#[test]
fn every_row_of_the_contract_is_documented() {
    let document = serde_json::to_value(atelier::openapi::document()).unwrap();
    let missing: Vec<_> = BUILT
        .iter()
        .filter(|(method, path)| !document["paths"][path][method].is_object())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// The requests of a collection, folders and all.
fn requests(items: &Value, found: &mut Vec<(String, String)>) {
    for item in items.as_array().unwrap() {
        if item["item"].is_array() {
            requests(&item["item"], found);
            continue;
        }
        let request = &item["request"];
        let url = request["url"].as_str().unwrap();
        let path = url.strip_prefix("{{url}}").unwrap().split('?').next().unwrap();
        let method = request["method"].as_str().unwrap().to_lowercase();
        found.push((method, path.to_owned()));
    }
}

#[test]
fn the_postman_collection_asks_for_what_there_is() {
    let document = serde_json::to_value(atelier::openapi::document()).unwrap();
    let text = std::fs::read_to_string(docs("atelier.postman_collection.json")).unwrap();
    let collection: Value = serde_json::from_str(&text).unwrap();
    let mut asked = Vec::new();
    requests(&collection["item"], &mut asked);
    assert!(asked.len() > 10);
    for (method, path) in asked {
        let known = document["paths"].as_object().unwrap().iter().any(|(template, operations)| {
            let (mut a, mut b) = (template.split('/'), path.split('/'));
            let same = a.by_ref().zip(b.by_ref()).all(|(t, p)| t == p || t.starts_with('{'));
            same && template.split('/').count() == path.split('/').count()
                && operations[&method].is_object()
        });
        assert!(known, "{method} {path} is in the collection and not in the API");
    }
}
