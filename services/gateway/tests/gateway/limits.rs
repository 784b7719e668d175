//! Too much of a good thing.

use futures::future::join_all;
use gateway::Limits;

use crate::house::{House, problem};

#[tokio::test]
async fn an_address_asks_only_so_often() {
    let house =
        House::limited("", Limits { requests_per_second_per_address: 10, ..Limits::default() })
            .await;
    let client = reqwest::Client::new();
    let answers = join_all((0..100).map(|_| client.get(house.url("/palettes/7")).send())).await;
    let mut refused = 0;
    for response in
        answers.into_iter().map(Result::unwrap).filter(|response| response.status() == 429)
    {
        assert!(response.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
        problem(response, 429).await;
        refused += 1;
    }
    assert!((1..100).contains(&refused), "{refused}");
}

#[tokio::test]
async fn an_account_asks_only_so_often() {
    let house =
        House::limited("", Limits { requests_per_second_per_account: 5, ..Limits::default() })
            .await;
    let token = house.token(7, "s1");
    let client = reqwest::Client::new();
    let ask = || client.get(house.url("/palettes/7")).bearer_auth(&token).send();
    let answers = join_all((0..100).map(|_| ask())).await;
    let refused =
        answers.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 429).count();
    assert!((1..100).contains(&refused), "{refused}");
    assert_eq!(house.get("/palettes/7").await.status(), 200, "nobody else is held up");
}

#[tokio::test]
async fn an_address_signs_up_only_so_often() {
    let house =
        House::limited("", Limits { sign_ups_per_hour_per_address: 2, ..Limits::default() }).await;
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
    house
        .until("the next one is turned away", async || {
            let answer =
                house.raw("GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            answer.starts_with("HTTP/1.1 503")
                && answer.contains("retry-after: 1")
                && answer.contains("\"message\":\"failure\"")
        })
        .await;
    drop(open);
    house
        .until("there is room again", async || {
            house
                .raw("GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 200")
        })
        .await;
}
