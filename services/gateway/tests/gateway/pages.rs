//! What the gateway says of itself.

use gateway::Limits;
use mesh::{Mesh, MeshSettings};
use serde_json::Value;

use crate::house::{Fakes, House, problem};

#[tokio::test]
async fn it_lives_before_it_is_ready() {
    let (mesh, fakes) = (Mesh::new(MeshSettings::default()), Fakes::new());
    fakes.install_others(&mesh);
    let house = House::over("", Limits::default(), mesh, fakes).await;
    assert_eq!(house.get("/healthz").await.status(), 200);
    let early = house.get("/readyz").await;
    assert_eq!(early.status(), 503);
    assert!(early.headers().contains_key("retry-after"));
    let waits: Value = early.json().await.unwrap();
    assert!(waits["waiting_for"].to_string().contains("accounts"), "{waits}");
    assert_eq!(house.get("/palettes/7").await.status(), 200, "what is there serves");
    problem(
        house.request("GET", "/palettes/7").bearer_auth(house.token(7, "s1")).send().await.unwrap(),
        503,
    )
    .await;
    problem(house.post("/login").send().await.unwrap(), 503).await;

    house.mesh.install("accounts", house.fakes.accounts());
    house.until_ready().await;
    let signed_in =
        house.request("GET", "/palettes/7").bearer_auth(house.token(7, "s1")).send().await.unwrap();
    assert_eq!(signed_in.status(), 200);
}

#[tokio::test]
async fn the_status_names_every_service() {
    let house = House::new().await;
    let status: Value = house.get("/status").await.json().await.unwrap();
    assert_eq!((status["status"].as_str(), status["ready"].as_bool()), (Some("ok"), Some(true)));
    for name in ["accounts", "palettes", "popularity", "chat"] {
        let services = status["services"].as_array().unwrap();
        let service = services.iter().find(|s| s["service"] == name).unwrap();
        assert_eq!(service["instances"][0]["health"], "healthy", "{service}");
        assert_eq!(service["instances"][0]["circuit"], "closed");
    }
}

#[tokio::test]
async fn the_document_is_cacheable() {
    let house = House::new().await;
    let document = house.get("/openapi.json").await;
    assert_eq!(document.headers()["content-type"], "application/json");
    let tag = document.headers()["etag"].clone();
    assert_eq!(document.json::<Value>().await.unwrap()["openapi"], "3.1.0");
    let known =
        house.request("GET", "/openapi.json").header("if-none-match", tag).send().await.unwrap();
    assert_eq!(known.status(), 304);
}
