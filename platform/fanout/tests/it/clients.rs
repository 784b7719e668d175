//! Clients that are not ours: tokio-tungstenite's.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

pub(crate) type Client = WebSocketStream<TcpStream>;

/// Far longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) async fn connect(address: SocketAddr) -> Client {
    let stream = TcpStream::connect(address).await.unwrap();
    let (client, _) =
        within("handshake", client_async(format!("ws://{address}/"), stream)).await.unwrap();
    client
}

/// A client that the hub has let in.
pub(crate) async fn welcomed(address: SocketAddr) -> Client {
    let mut client = connect(address).await;
    assert_eq!(text(&mut client).await, "welcome");
    client
}

/// The next text; pings are passed over.
pub(crate) async fn text(client: &mut Client) -> String {
    loop {
        match next(client).await {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("no text: {other:?}"),
        }
    }
}

pub(crate) async fn next(client: &mut Client) -> Message {
    within("a message", client.next()).await.expect("the stream goes on").expect("a whole frame")
}

/// The code of the close that comes after whatever else does, and then the end.
pub(crate) async fn close_code(client: &mut Client) -> u16 {
    loop {
        if let Message::Close(frame) = next(client).await {
            let code = frame.map_or(1005, |frame| frame.code.into());
            // tungstenite answers the close while it is read further.
            while let Some(Ok(_)) = within("the end", client.next()).await {}
            return code;
        }
    }
}
