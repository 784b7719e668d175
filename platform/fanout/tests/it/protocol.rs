//! RFC 6455 as clients meet it.

use std::net::SocketAddr;
use std::time::Duration;

use fanout::{Close, Frame, Handler, Hub, Message as Heard, Next, Settings, Socket, one_at_a_time};
use futures::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame as Raw};

use crate::clients::{close_code, connect, eventually, next, text, welcomed, within};
use crate::servers::{WIRES, Wire, serve, welcoming};

async fn echo(wire: Wire, settings: Settings) -> (Hub<&'static str>, SocketAddr) {
    let handler = one_at_a_time(|socket: Socket<&'static str, ()>, message| async move {
        match message {
            Heard::Text(text) => socket.send(text),
            Heard::Binary(bytes) => socket.send(Frame::binary(&bytes)),
        }
    });
    let hub = Hub::with_handler(settings, handler);
    let address = serve(wire, welcoming(&hub, "topic", ())).await;
    (hub, address)
}

#[tokio::test]
async fn messages_whole_and_in_fragments_come_back_in_order() {
    for wire in WIRES {
        let settings =
            Settings { max_message: 1 << 20, frames_per_second: 0, ..Settings::default() };
        let (_hub, address) = echo(wire, settings).await;
        let mut client = welcomed(address).await;
        let long = "long ".repeat(100_000);
        for size in 0..100 {
            client.feed(Message::text(format!("{size}"))).await.unwrap();
        }
        client.feed(Message::text(long.clone())).await.unwrap();
        let fragment = |text: &'static str, code, last| {
            Message::Frame(Raw::message(text, OpCode::Data(code), last))
        };
        client.feed(fragment("in ", Data::Text, false)).await.unwrap();
        client.feed(Message::Ping("between".into())).await.unwrap();
        client.feed(fragment("", Data::Continue, false)).await.unwrap();
        client.feed(fragment("parts", Data::Continue, true)).await.unwrap();
        client.feed(Message::binary(vec![0, 255])).await.unwrap();
        client.flush().await.unwrap();
        for size in 0..100 {
            assert_eq!(text(&mut client).await, format!("{size}"));
        }
        assert_eq!(text(&mut client).await, long);
        // The pong overtakes the text whose fragments surround the ping.
        assert_eq!(next(&mut client).await, Message::Pong("between".into()));
        assert_eq!(text(&mut client).await, "in parts");
        assert_eq!(next(&mut client).await, Message::binary(vec![0, 255]));
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_the_socket_forgotten() {
    for wire in WIRES {
        let (hub, address) = echo(wire, Settings::default()).await;
        let mut client = welcomed(address).await;
        let close = CloseFrame { code: CloseCode::Library(4001), reason: "bye".into() };
        client.send(Message::Close(Some(close))).await.unwrap();
        assert_eq!(close_code(&mut client).await, 4001);
        let mut client = welcomed(address).await;
        client.send(Message::Close(None)).await.unwrap();
        assert_eq!(close_code(&mut client).await, 1005);
        eventually("no socket is left", || hub.sockets() == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_is_forgotten() {
    for wire in WIRES {
        let (hub, address) = echo(wire, Settings::default()).await;
        drop(welcomed(address).await);
        eventually("no socket is left", || hub.sockets() == 0).await;
    }
}

#[tokio::test]
async fn violations_are_closed_with_the_code_the_rfc_names() {
    for wire in WIRES {
        let (hub, address) = echo(wire, Settings { max_message: 100, ..Settings::default() }).await;
        let cases: [(&[u8], u16); 5] = [
            (b"\x81\x05Hello", 1002),
            (b"\xC1\x80\0\0\0\0", 1002),
            (b"\x81\x82\0\0\0\0\xc3\x28", 1007),
            (b"\x82\xFE\0\x7f\0\0\0\0and more than that follows", 1009),
            (b"\x88\x81\0\0\0\0x", 1002),
        ];
        for (sent, code) in cases {
            let mut client = welcomed(address).await;
            client.get_mut().write_all(sent).await.unwrap();
            assert_eq!(close_code(&mut client).await, code, "{sent:?}");
        }
        eventually("no socket is left", || hub.sockets() == 0).await;
    }
}

#[tokio::test]
async fn frames_sent_with_the_handshake_are_not_lost() {
    for wire in WIRES {
        let (_hub, address) = echo(wire, Settings::default()).await;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let mut bytes = request.as_bytes().to_vec();
        bytes.extend_from_slice(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        stream.write_all(&bytes).await.unwrap();
        let mut seen = Vec::new();
        within("the echo", async {
            while !seen.ends_with(b"\x81\x05Hello") {
                tokio::io::AsyncReadExt::read_buf(&mut stream, &mut seen).await.unwrap();
            }
        })
        .await;
        assert!(seen.starts_with(b"HTTP/1.1 101"));
        let head = String::from_utf8_lossy(&seen).to_lowercase();
        assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    }
}

struct Strict;

impl Handler<&'static str, ()> for Strict {
    fn message(&self, socket: &Socket<&'static str, ()>, message: Heard) -> Next {
        match message {
            Heard::Text(text) if text == "panic" => panic!("as asked"),
            Heard::Text(text) => {
                socket.send(text);
                Next::Read
            }
            Heard::Binary(_) => Next::Close(Close::new(1003, "text only")),
        }
    }
}

#[tokio::test]
async fn a_handler_may_close_and_its_panic_costs_only_its_socket() {
    let hub = Hub::with_handler(Settings::default(), Strict);
    let address = serve(Wire::Plain, welcoming(&hub, "topic", ())).await;
    let mut bystander = welcomed(address).await;
    let mut client = welcomed(address).await;
    client.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1003);
    let mut client = welcomed(address).await;
    client.send(Message::text("panic")).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1011);
    bystander.send(Message::text("still there")).await.unwrap();
    assert_eq!(text(&mut bystander).await, "still there");
}

#[tokio::test]
async fn a_panic_of_an_async_handler_closes_its_socket() {
    let handler = one_at_a_time(|_: Socket<&'static str, ()>, _| async { panic!("as asked") });
    let hub = Hub::with_handler(Settings::default(), handler);
    let address = serve(Wire::Plain, welcoming(&hub, "topic", ())).await;
    let mut client = welcomed(address).await;
    client.send(Message::text("x")).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1011);
}

#[tokio::test]
async fn a_flood_is_read_no_faster_than_permitted_and_loses_nothing() {
    let settings = Settings { frames_per_second: 100, burst: 10, ..Settings::default() };
    let (_hub, address) = echo(Wire::Plain, settings).await;
    let mut client = welcomed(address).await;
    let began = std::time::Instant::now();
    for number in 0..40 {
        client.feed(Message::text(format!("{number}"))).await.unwrap();
    }
    client.flush().await.unwrap();
    for number in 0..40 {
        assert_eq!(text(&mut client).await, format!("{number}"));
    }
    // 40 frames, 10 of them at once: the last is read after 29 intervals of 10 ms.
    assert!(began.elapsed() >= Duration::from_millis(280), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_is_not_set_up_is_closed_and_told_why() {
    let hub: Hub<&str> =
        Hub::new(Settings { setup_within: Duration::from_millis(200), ..Settings::default() });
    let router = crate::servers::joining({
        let hub = hub.clone();
        move |upgrade| {
            let origin = upgrade.origin().map(str::to_owned);
            hub.accept(upgrade, (), move |socket| async move {
                match origin.as_deref() {
                    Some("refuse") => Err(Close::POLICY.because("not a member")),
                    Some("panic") => panic!("as asked"),
                    Some("hang") => std::future::pending().await,
                    _ => {
                        socket.send("welcome");
                        Ok(())
                    }
                }
            })
        }
    });
    let address = serve(Wire::Plain, router).await;
    for (origin, code) in [("refuse", 1008), ("panic", 1011), ("hang", 1013)] {
        let mut request = format!("ws://{address}/").into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let (mut client, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let message = within("the close", client.next()).await.unwrap().unwrap();
        let Message::Close(Some(close)) = message else {
            panic!("{message:?}");
        };
        assert_eq!(u16::from(close.code), code, "{origin}");
    }
    let mut client = connect(address).await;
    assert_eq!(text(&mut client).await, "welcome");
}
