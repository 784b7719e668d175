//! What is not HTTP, or could be understood in two ways.

use tokio::io::AsyncWriteExt;

use crate::house::{House, read_all};

fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0)
}

fn is_problem(answer: &str, expected: u16) {
    assert_eq!(status(answer), expected, "{answer}");
    for part in [
        "application/problem+json",
        "\"message\":\"failure\"",
        "x-request-id: ",
        "\"request_id\":\"",
    ] {
        assert!(answer.contains(part), "{part} is missing: {answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_parsed_gets_the_contracts_400() {
    let house = House::new().await;
    for request in [
        "\x16\x03\x01 this is TLS\r\n\r\n",
        "GET /palettes/7 HTTP/1.1\r\nhost: a\r\nbad header: \x00\r\n\r\n",
        "GET /palettes/7 HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
        "GET /palettes/7 HTTP/1.1\r\nhost: a\r\n folded: 1\r\n\r\n",
        "GET /palettes/7 HTTP/9.9\r\nhost: a\r\n\r\n",
        "GET /palettes/\x007 HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        "POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        "POST /palettes HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
        "POST /palettes HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        is_problem(&house.raw(request).await, 400);
    }
    assert_eq!(house.fakes.calls(), 0);
}

#[tokio::test]
async fn a_body_has_one_length() {
    let house = House::new().await;
    let smuggled = "GET /palettes/smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let differing = format!(
        "POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 0\r\ncontent-length: {}\r\n\r\n{smuggled}",
        smuggled.len()
    );
    is_problem(&house.raw(&differing).await, 400);
    for both in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 5",
    ] {
        // RFC 9112, 6.1: the length is left aside and the connection ends, so that nothing that
        // follows is taken for a request.
        let request = format!(
            "POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{both}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"
        );
        let mut stream = house.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let (answer, ended) = read_all(&mut stream).await;
        assert!(ended && answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
    }
    for seen in house.fakes.seen.lock().unwrap().iter() {
        assert!(!seen.target.contains("smuggled"));
        assert!(
            !(seen.headers.contains_key("content-length")
                && seen.headers.contains_key("transfer-encoding"))
        );
    }
}

#[tokio::test]
async fn paths_that_climb_or_hide_bytes_are_refused() {
    let house = House::new().await;
    for path in [
        "/palettes/%00",
        "/palettes/%",
        "/palettes/%zz",
        "/palettes/%ff",
        "/palettes/../users/1",
        "/palettes/%2e%2e/users/1",
        "/palettes/..%2f7",
        "/palettes\\7",
    ] {
        is_problem(
            &house
                .raw(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
                .await,
            400,
        );
    }
    assert_eq!(house.fakes.calls(), 0);
}

#[tokio::test]
async fn a_request_names_one_host() {
    let house = House::new().await;
    is_problem(&house.raw("GET /palettes/7 HTTP/1.1\r\nconnection: close\r\n\r\n").await, 400);
    is_problem(
        &house
            .raw("GET /palettes/7 HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n")
            .await,
        400,
    );
    assert_eq!(status(&house.raw("GET /palettes/7 HTTP/1.0\r\n\r\n").await), 200);
    assert_eq!(
        status(
            &house
                .raw("GET http://a/palettes/7 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .await
        ),
        200
    );
    assert_eq!(house.fakes.last().target, "/palettes/7");
}

#[tokio::test]
async fn headers_have_a_size() {
    let house = House::new().await;
    let with = |size: usize| {
        format!(
            "GET /palettes/7 HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-large: {}\r\n\r\n",
            "x".repeat(size)
        )
    };
    assert_eq!(status(&house.raw(with(30_000)).await), 200);
    // Above 32 KiB the gateway says no, far above it hyper does.
    is_problem(&house.raw(with(33_000)).await, 431);
    is_problem(&house.raw(with(500_000)).await, 431);
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    is_problem(&house.raw(format!("GET /palettes/7 HTTP/1.1\r\nhost: a\r\n{many}\r\n")).await, 431);
    let long = house
        .raw(format!(
            "GET /{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            "a".repeat(40_000)
        ))
        .await;
    is_problem(&long, 431);
}

#[tokio::test]
async fn a_declared_length_is_refused_without_the_body() {
    let house = House::new().await;
    let mut stream = house.connect().await;
    stream.write_all(b"POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9000000\r\n\r\n").await.unwrap();
    let (answer, _) = read_all(&mut stream).await;
    is_problem(&answer, 413);
    assert!(answer.contains("connection: close"), "{answer}");
    // A client that sends it all before it reads still finds the answer.
    let mut stream = house.connect().await;
    let request = format!(
        "POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9000000\r\n\r\n{}",
        " ".repeat(9_000_000)
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    is_problem(&read_all(&mut stream).await.0, 413);
    assert_eq!(house.fakes.calls(), 0);
}

#[tokio::test]
async fn expect_continue_gets_its_answer_before_the_body() {
    let house = House::new().await;
    let head = "POST /palettes HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n";
    let refused = house.raw(format!("{head}content-length: 9000000\r\n\r\n")).await;
    is_problem(&refused, 413);
    let mut stream = house.connect().await;
    stream.write_all(format!("{head}content-length: 2\r\n\r\n").as_bytes()).await.unwrap();
    let (asked, _) = read_all(&mut stream).await;
    assert!(asked.starts_with("HTTP/1.1 100 Continue"), "{asked}");
    stream.write_all(b"{}").await.unwrap();
    assert_eq!(status(&read_all(&mut stream).await.0), 201);
}

#[tokio::test]
async fn requests_one_after_the_other_on_one_connection() {
    let house = House::new().await;
    let three = "GET /palettes/1 HTTP/1.1\r\nhost: a\r\n\r\nGET /nothing HTTP/1.1\r\nhost: a\r\n\r\nGET /palettes/3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = house.raw(three).await;
    let statuses: Vec<_> = answer.split("HTTP/1.1 ").skip(1).map(|a| a[..3].to_owned()).collect();
    assert_eq!(statuses, ["200", "404", "200"], "{answer}");
}
