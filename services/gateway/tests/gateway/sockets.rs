//! WebSockets through the gateway, to a service of this process. `remote.rs` has those elsewhere.

use contracts::events::SessionRevoked;
use futures::{SinkExt, StreamExt};
use ids::UserId;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::house::{House, problem};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) async fn connect(
    house: &House,
    headers: &[(&'static str, String)],
) -> Result<Socket, u16> {
    let mut request =
        format!("ws://{}/ws/popularity", house.address).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, response)) => {
            assert!(response.headers().contains_key("x-request-id"));
            Ok(socket)
        }
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// The next text, published until it comes: the socket may join a moment after its handshake.
pub(crate) async fn hears(house: &House, socket: &mut Socket, text: &'static str) {
    let publishing = async {
        loop {
            house.fakes.hub.publish(&"news", text);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let hearing = async {
        loop {
            if let Some(Ok(Message::Text(heard))) = socket.next().await {
                assert_eq!(heard.as_str(), text);
                return;
            }
        }
    };
    tokio::select! {
        () = publishing => {}
        () = hearing => {}
        () = tokio::time::sleep(std::time::Duration::from_secs(5)) => panic!("heard nothing"),
    }
}

/// The code of the close frame with which a socket ends.
pub(crate) async fn closed_with(socket: &mut Socket) -> u16 {
    let ending = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), ending).await.unwrap()
}

#[tokio::test]
async fn a_socket_goes_through() {
    let house = House::new().await;
    let mut socket = connect(&house, &[]).await.unwrap();
    hears(&house, &mut socket, "hello").await;
    socket.send(Message::Ping("a".into())).await.unwrap();
    let pong = async { while !matches!(socket.next().await, Some(Ok(Message::Pong(_)))) {} };
    tokio::time::timeout(std::time::Duration::from_secs(5), pong).await.unwrap();
}

#[tokio::test]
async fn a_path_that_speaks_only_websocket_says_so() {
    let house = House::new().await;
    let plain = house.get("/ws/popularity").await;
    assert_eq!(plain.headers()["upgrade"], "websocket");
    problem(plain, 426).await;
    problem(house.post("/ws/popularity").send().await.unwrap(), 405).await;
}

#[tokio::test]
async fn a_socket_ends_with_its_session_and_others_go_on() {
    let house = House::new().await;
    let bearer =
        |user, session: &str| ("authorization", format!("Bearer {}", house.token(user, session)));
    let mut one = connect(&house, &[bearer(7, "s1")]).await.unwrap();
    let mut two = connect(&house, &[bearer(7, "s2")]).await.unwrap();
    let mut nobody = connect(&house, &[]).await.unwrap();
    for socket in [&mut one, &mut two, &mut nobody] {
        hears(&house, socket, "hello").await;
    }
    house
        .emit(&SessionRevoked { user_id: UserId::new(7), session: "s1".into(), until: i64::MAX })
        .await;
    assert_eq!(closed_with(&mut one).await, 4401);
    hears(&house, &mut two, "hello").await;
    hears(&house, &mut nobody, "hello").await;
    assert_eq!(connect(&house, &[bearer(7, "s1")]).await.map(|_| ()).unwrap_err(), 401);
}

#[tokio::test]
async fn foreign_pages_open_no_sockets_with_cookies() {
    let house = House::new().await;
    let cookie = ("cookie", format!("accessToken={}", house.token(7, "s1")));
    let evil = ("origin", "https://evil.example".to_owned());
    assert_eq!(
        connect(&house, &[cookie.clone(), evil.clone()]).await.map(|_| ()).unwrap_err(),
        403
    );
    assert!(connect(&house, &[evil]).await.is_ok(), "in nobody's name everybody may listen");
    assert!(
        connect(&house, &[cookie, ("origin", format!("http://{}", house.address))]).await.is_ok()
    );
}

#[tokio::test]
async fn sockets_are_told_to_connect_again_when_the_process_stops() {
    let house = House::new().await;
    let mut socket = connect(&house, &[]).await.unwrap();
    hears(&house, &mut socket, "hello").await;
    house.stop.cancel();
    assert_eq!(closed_with(&mut socket).await, 1012);
    tokio::time::timeout(std::time::Duration::from_secs(5), house.served).await.unwrap().unwrap();
}
