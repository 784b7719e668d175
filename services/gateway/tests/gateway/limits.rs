//! Too much of a good thing.

use gateway::Limits;

use crate::house::{House, problem};

#[tokio::test]
async fn an_address_asks_only_so_often() {
    let house = House::limited("", Limits { requests_per_second_per_address: 20, ..Limits::default() }).await;
    let mut refused = 0;
    for _ in 0..60 {
        let response = house.get("/palettes/7").await;
        if response.status() == 429 {
            assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
            problem(response, 429).await;
            refused += 1;
        }
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn an_account_asks_only_so_often() {
    let house = House::limited("", Limits { requests_per_second_per_account: 5, ..Limits::default() }).await;
    let token = house.token(7, "s1");
    let mut refused = 0;
    for _ in 0..30 {
        refused += usize::from(house.request("GET", "/palettes/7").bearer_auth(&token).send().await.unwrap().status() == 429);
    }
    assert!(refused > 5, "{refused}");
    assert_eq!(house.get("/palettes/7").await.status(), 200, "nobody else is held up");
}

#[tokio::test]
async fn an_address_signs_up_only_so_often() {
    let house = House::limited("", Limits { sign_ups_per_hour_per_address: 2, ..Limits::default() }).await;
    for expected in [201, 201] {
        assert_eq!(house.post("/users/register").send().await.unwrap().status(), expected);
    }
    problem(house.post("/users/register").send().await.unwrap(), 429).await;
    assert_eq!(house.post("/login").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn there_are_only_so_many_connections() {
    let house = House::with("max_connections = 3").await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(house.connect().await);
    }
    house.until("the next one is turned away", async || {
        let answer = house.raw("GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1") && answer.contains("\"message\":\"failure\"")
    })
    .await;
    drop(open);
    house.until("there is room again", async || {
        house.raw("GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.starts_with("HTTP/1.1 200")
    })
    .await;
}
