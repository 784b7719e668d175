//! What sockets are told, whichever instance they reached.

use std::time::{Duration, Instant};

use crate::cells::in_each_cell;
use contracts::Kind;
use contracts::events::{Event, PaletteCreated, PaletteSnapshot};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::house::{House, START};

/// A client of `/ws/popularity…`, which surely has joined.
struct Ears(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ears {
    async fn at(house: &House, path: &str, category: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = axum::serve(listener, house.router.clone());
        tokio::spawn(server.into_future());
        let (socket, response) = connect_async(format!("ws://{address}{path}")).await.unwrap();
        assert_eq!(response.status(), 101);
        let mut ears = Self(socket);
        // The socket hears what is published after it joined, which is soon.
        for id in 90_000.. {
            announce(house, id, category).await;
            let heard = tokio::time::timeout(Duration::from_millis(50), ears.next()).await;
            if heard.is_ok() {
                return ears;
            }
        }
        unreachable!()
    }

    async fn next(&mut self) -> Value {
        let message = self.0.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    /// Everything up to the first message of which `last` is true.
    async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut heard = Vec::new();
        let listen = async {
            while !heard.last().is_some_and(&last) {
                heard.push(self.next().await);
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(10), listen).await;
        assert!(in_time.is_ok(), "{heard:?}");
        heard.retain(|message| palette_of(message) < 90_000);
        heard
    }
}

fn palette_of(message: &Value) -> i64 {
    let id = match message["type"].as_str().unwrap() {
        "palette.created" => &message["palette"]["palette_id"],
        _ => &message["palette_id"],
    };
    id.as_str().unwrap().parse().unwrap()
}

async fn announce(house: &House, id: i64, category: &str) {
    let palette = PaletteSnapshot {
        palette_id: id.into(),
        user_id: 1000.into(),
        color_codes: vec!["#112233".into()],
        category: Some(category.into()),
        name: Some("dusk".into()),
        created_at: START,
        updated_at: START,
    };
    let event = PaletteCreated { palette };
    let entry = events::Entry::new(PaletteCreated::NAME, &event.key(), &event).unwrap();
    house.log.append(vec![entry]).await.unwrap();
}

in_each_cell!(a_new_palette_is_told_whole, |cell: Cell| async move {
    let house = House::open(cell).await;
    let mut ears = Ears::at(&house, "/ws/popularity", "warm").await;
    announce(&house, 5, "warm").await;
    let heard = ears.until(|message| palette_of(message) == 5).await;
    assert_eq!(
        heard,
        [json!({
            "type": "palette.created",
            "palette": {
                "palette_id": "5", "user_id": "1000", "color_codes": ["#112233"],
                "category": "warm", "name": "dusk", "created_at": "2026-10-01T00:00:00Z",
                "updated_at": "2026-10-01T00:00:00Z", "likes": 0, "views": 0,
            },
        })]
    );
});

in_each_cell!(bursts_are_gathered_and_the_last_value_comes, |cell: Cell| async move {
    let house = House::open(cell).await;
    let other = house.another().await;
    house.palettes(2).await;
    house.like(1, 2).await;
    let mut here = Ears::at(&house, "/ws/popularity", "x").await;
    let mut there = Ears::at(&other, "/ws/popularity", "x").await;
    let began = Instant::now();
    for round in 0..5 {
        join_all((1..=40).map(|user| house.like(round * 100 + user, 1))).await;
    }
    for ears in [&mut here, &mut there] {
        let mut heard = ears.until(|message| message["likes"] == 200).await;
        // The like of the other palette, from before, may be told late.
        heard.retain(|message| palette_of(message) == 1);
        let most = began.elapsed().as_millis() / 100 + 2;
        assert!(heard.len() as u128 <= most, "{} in {:?}", heard.len(), began.elapsed());
        assert_eq!(
            heard.last().unwrap(),
            &json!({"type": "popularity", "palette_id": "1", "likes": 200, "views": 0, "rank": 1})
        );
        let likes: Vec<i64> =
            heard.iter().map(|message| message["likes"].as_i64().unwrap()).collect();
        assert!(likes.is_sorted(), "{likes:?}");
    }
    house.view(None, 2).await;
    let heard = there.until(|message| message["views"] == 1).await;
    assert_eq!(
        heard.last().unwrap(),
        &json!({"type": "popularity", "palette_id": "2", "likes": 1, "views": 1, "rank": 2})
    );
});

in_each_cell!(many_palettes_have_their_ranks, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.palettes(30).await;
    for id in 1..=30 {
        house.like(1, id).await;
    }
    let mut ears = Ears::at(&house, "/ws/popularity", "x").await;
    join_all((1..=30).map(|id| house.like(2, id))).await;
    let mut last = std::collections::BTreeMap::new();
    while last.values().filter(|likes| **likes == 2).count() < 30 {
        for message in ears.until(|message| message["type"] == "popularity").await {
            last.insert(palette_of(&message), message["likes"].as_i64().unwrap());
        }
    }
    // All are equal now, so the newest comes first.
    house.like(3, 30).await;
    let heard = ears.until(|message| message["likes"] == 3).await;
    assert_eq!(heard.last().unwrap()["rank"], 1);
    house.unlike(2, 1).await;
    let heard = ears.until(|message| message["likes"] == 1).await;
    assert_eq!(heard.last().unwrap()["rank"], 30);
});

in_each_cell!(a_category_hears_of_its_own, |cell: Cell| async move {
    let house = House::open(cell).await;
    for (id, category) in [(1, "warm"), (2, "cold"), (3, "Warm")] {
        house.try_register(Kind::Palette, id, 1000, Some(category)).await.unwrap();
    }
    house.try_register(Kind::Image, 1, 1000, Some("warm")).await.unwrap();
    let mut ears = Ears::at(&house, "/ws/popularity/warm", "warm").await;
    house.like(1, 2).await;
    house.client().as_user(1).post("/like", json!({"image_id": 1})).await.expect(200);
    announce(&house, 7, "cold").await;
    announce(&house, 8, "warm").await;
    house.like(1, 1).await;
    let mut heard = ears.until(|message| message["palette_id"] == "1").await;
    house.like(1, 3).await;
    heard.extend(ears.until(|message| message["palette_id"] == "3").await);
    let mut palettes: Vec<i64> = heard.iter().map(palette_of).collect();
    palettes.sort_unstable();
    assert_eq!(palettes, [1, 3, 8]);
});

in_each_cell!(a_plain_request_is_told_to_upgrade, |cell: Cell| async move {
    let house = House::open(cell).await;
    house.client().get("/ws/popularity").await.expect(426);
    house.client().get("/ws/popularity/warm").await.expect(426);
    house.client().post("/ws/popularity", json!({})).await.expect(405);
});

in_each_cell!(sockets_are_told_to_come_back_when_the_service_stops, |cell: Cell| async move {
    let house = House::open(cell).await;
    let mut ears = Ears::at(&house, "/ws/popularity", "x").await;
    let stopped = house.tasks.stop();
    let last = async {
        let mut last = None;
        while let Some(Ok(message)) = ears.0.next().await {
            last = Some(message);
        }
        last
    };
    let (last, ()) = tokio::join!(last, stopped);
    let Some(tokio_tungstenite::tungstenite::Message::Close(Some(close))) = last else {
        panic!("{last:?}");
    };
    assert_eq!(u16::from(close.code), 1012);
});
