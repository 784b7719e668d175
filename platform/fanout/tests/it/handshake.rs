//! Requests that are no WebSocket handshakes, and those for which there is no room.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use fanout::{Hub, Settings, Upgrade};
use futures::StreamExt;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tower::ServiceExt;

use crate::clients::{close_code, connect, eventually, welcomed};
use crate::servers::{WIRES, Wire, joining, serve, welcoming};

const HANDSHAKE: [(&str, &str); 4] = [
    ("upgrade", "WebSocket"),
    ("connection", "keep-alive, Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

async fn answer(method: &str, change: &[(&str, &str)]) -> (StatusCode, http::HeaderMap, String) {
    let hub: Hub<&str> = Hub::new(Settings::default());
    let router = joining(move |upgrade| hub.join(upgrade, "topic", ()));
    let mut request = Request::builder().method(method).uri("/").header("x-request-id", "r-1");
    for (name, value) in HANDSHAKE {
        let value = change.iter().find(|(its, _)| *its == name).map_or(value, |(_, value)| *value);
        if !value.is_empty() {
            request = request.header(name, value);
        }
    }
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_no_handshake_is_told_what_would_be() {
    for missing in ["upgrade", "connection"] {
        let (status, headers, body) = answer("GET", &[(missing, "")]).await;
        assert_eq!(status, StatusCode::UPGRADE_REQUIRED);
        assert_eq!(headers["upgrade"], "websocket");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert!(
            body.contains(r#""request_id":"r-1""#) && body.contains(r#""message":"failure""#),
            "{body}"
        );
    }
    let (status, headers, _) = answer("GET", &[("sec-websocket-version", "8")]).await;
    assert_eq!(
        (status, &headers["sec-websocket-version"]),
        (StatusCode::UPGRADE_REQUIRED, &"13".parse().unwrap())
    );
    for key in ["", "c2hvcnQ=", "not base64, 24 letters!!"] {
        let (status, ..) = answer("GET", &[("sec-websocket-key", key)]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let (status, headers, _) = answer("POST", &[]).await;
    assert_eq!(
        (status, &headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET".parse().unwrap())
    );
    // All is well but the connection, which here is none.
    let (status, ..) = answer("GET", &[]).await;
    assert_eq!(status, StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn one_too_many_is_refused_and_a_place_given_back_is_taken_again() {
    for wire in WIRES {
        let settings = Settings { max_sockets: 2, ..Settings::default() };
        let hub = Hub::new(settings);
        let address = serve(wire, welcoming(&hub, "topic", ())).await;
        let first = welcomed(address).await;
        let _second = welcomed(address).await;
        let refused = connect_async(format!("ws://{address}/")).await.unwrap_err();
        let Error::Http(response) = refused else {
            panic!("{refused}");
        };
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        drop(first);
        eventually("the place is free", || hub.sockets() == 1).await;
        welcomed(address).await;
    }
}

#[tokio::test]
async fn origin_and_protocol_are_the_callers_to_judge() {
    let hub: Hub<&str> = Hub::new(Settings::default());
    let router = Router::new().route(
        "/",
        any(move |upgrade: Upgrade| async move {
            if !upgrade.same_origin() {
                return axum::response::IntoResponse::into_response(
                    upgrade.refuse(StatusCode::FORBIDDEN, "another page's origin"),
                );
            }
            hub.join(upgrade.protocol(|offered| offered == "v2"), "topic", ())
        }),
    );
    let address = serve(Wire::Plain, router).await;
    let mut request = format!("ws://{address}/").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "v1, v2".parse().unwrap());
    request.headers_mut().insert("origin", format!("http://{address}").parse().unwrap());
    let (_, response) = connect_async(request.clone()).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "v2");
    request.headers_mut().insert("origin", "http://elsewhere.example".parse().unwrap());
    let refused = connect_async(request).await.unwrap_err();
    assert!(matches!(refused, Error::Http(response) if response.status() == 403));
}

#[tokio::test]
async fn draining_tells_all_to_connect_again_and_takes_no_more() {
    for wire in WIRES {
        let hub = Hub::new(Settings { loops: 2, ..Settings::default() });
        let address = serve(wire, welcoming(&hub, "topic", ())).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(welcomed(address).await);
        }
        let drained = tokio::spawn({
            let hub = hub.clone();
            async move { hub.drain().await }
        });
        for client in &mut clients {
            assert_eq!(close_code(client).await, 1012);
        }
        drop(clients);
        drained.await.unwrap();
        assert_eq!(hub.sockets(), 0);
        let refused = connect_async(format!("ws://{address}/")).await.unwrap_err();
        assert!(matches!(refused, Error::Http(response) if response.status() == 503));
    }
}

#[tokio::test]
async fn draining_does_not_wait_for_those_who_never_answer() {
    let settings =
        Settings { close_within: std::time::Duration::from_millis(100), ..Settings::default() };
    let hub = Hub::new(settings);
    let address = serve(Wire::Plain, welcoming(&hub, "topic", ())).await;
    let mute = welcomed(address).await;
    crate::clients::within("the drain", hub.drain()).await;
    assert_eq!(hub.sockets(), 0);
    drop(mute);
}

#[tokio::test]
async fn sockets_go_when_their_hub_does() {
    let hub = Hub::new(Settings::default());
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(Some((hub, sender))));
    let router = joining(move |upgrade| {
        let (hub, sender) = held.lock().unwrap().take().unwrap();
        hub.accept(upgrade, (), |socket| async move {
            socket.join("topic");
            socket.send("last words");
            drop(sender);
            Ok(())
        })
    });
    let address = serve(Wire::Plain, router).await;
    let mut client = connect(address).await;
    let _ = receiver.await;
    // The only handle was dropped with the response; whatever came before it is still read.
    while let Some(Ok(_)) = crate::clients::within("the end", client.next()).await {}
}
