//! Extraction over HTTP.

use axum::body::Body;
use http::Request;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use palettes::Settings;
use palettes::extract::MAX_BYTES;
use serde_json::json;
use testkit::{Client, Reply};

use crate::world::World;

/// Engines do not matter here.
async fn service() -> (Client, tempfile::TempDir) {
    let (settings, folder) = testkit::temp_sqlite();
    (World::new(settings).await.client, folder)
}

fn picture(format: ImageFormat) -> Vec<u8> {
    let colors = [[230, 57, 70], [241, 250, 238], [29, 53, 87]];
    let picture: DynamicImage = RgbImage::from_fn(60, 20, |x, _| {
        Rgb(colors[if x < 30 { 0 } else { 1 + (x as usize - 30) / 20 }])
    })
    .into();
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn form(path: &str, part: &str, bytes: &[u8]) -> Request<Body> {
    let head = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--XX\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"p.png\"\r\nContent-Type: image/png\r\n\r\n"
    );
    let body = [head.as_bytes(), bytes, b"\r\n--XX--\r\n"].concat();
    Request::post(path)
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(body.into())
        .unwrap()
}

fn bare(kind: Option<&str>, bytes: Vec<u8>) -> Request<Body> {
    let request = Request::post("/palettes/extract");
    let request =
        if let Some(kind) = kind { request.header("content-type", kind) } else { request };
    request.body(bytes.into()).unwrap()
}

#[tokio::test]
async fn a_picture_gives_its_colours() {
    let (client, _folder) = service().await;
    let expected = json!({"color_codes": ["#E63946", "#F1FAEE", "#1D3557"]});
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let file = picture(format);
        assert_eq!(
            client.request(form("/palettes/extract", "file", &file)).await.expect(200).json(),
            expected
        );
        for kind in
            [None, Some("image/png"), Some("application/octet-stream"), Some("IMAGE/X; q=1")]
        {
            assert_eq!(client.request(bare(kind, file.clone())).await.expect(200).json(), expected);
        }
    }
    let two = client
        .request(form("/palettes/extract?colors=2", "file", &picture(ImageFormat::Png)))
        .await;
    assert_eq!(two.expect(200).json()["color_codes"].as_array().unwrap().len(), 2);
    let jpeg = client
        .request(form("/palettes/extract?colors=16", "file", &picture(ImageFormat::Jpeg)))
        .await
        .expect(200);
    assert!(jpeg.json()["color_codes"].as_array().unwrap().len() >= 3);
}

#[track_caller]
fn refused(reply: &Reply, status: u16) {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
}

#[tokio::test]
async fn what_is_no_good_picture_is_refused() {
    let (client, _folder) = service().await;
    let png = picture(ImageFormat::Png);
    for colors in ["1", "17", "0", "-1", "x", "", "5.5", "99999999999999999999"] {
        refused(
            &client
                .request(form(&format!("/palettes/extract?colors={colors}"), "file", &png))
                .await,
            422,
        );
    }
    refused(&client.request(form("/palettes/extract", "picture", &png)).await, 422);
    refused(&client.request(form("/palettes/extract", "file", b"")).await, 422);
    refused(&client.request(bare(Some("image/png"), Vec::new())).await, 422);
    refused(&client.request(form("/palettes/extract", "file", b"hello")).await, 415);
    refused(
        &client
            .request(form(
                "/palettes/extract",
                "file",
                b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            ))
            .await,
        415,
    );
    refused(&client.request(form("/palettes/extract", "file", &png[..png.len() / 2])).await, 422);
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
        refused(&client.request(bare(Some(kind), png.clone())).await, 415);
    }
    // A form without a boundary, and one that breaks off.
    refused(&client.request(bare(Some("multipart/form-data"), png.clone())).await, 400);
    let cut = Request::post("/palettes/extract")
        .header("content-type", "multipart/form-data; boundary=XX");
    let cut = cut
        .body("--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhalf".into())
        .unwrap();
    refused(&client.request(cut).await, 400);
    refused(&client.get("/palettes/extract").await, 405);
}

#[tokio::test]
async fn too_much_is_refused_at_once() {
    let (client, _folder) = service().await;
    // Declared too long: refused although not a byte is there to be read.
    let declared = Request::post("/palettes/extract")
        .header("content-type", "image/png")
        .header("content-length", "99999999");
    let never =
        Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    refused(&client.request(declared.body(never).unwrap()).await, 413);
    // Not declared, and longer than is accepted.
    let chunk = bytes::Bytes::from(vec![0u8; 1 << 20]);
    let endless = || {
        Body::from_stream(futures::stream::repeat_with({
            let chunk = chunk.clone();
            move || Ok::<_, std::io::Error>(chunk.clone())
        }))
    };
    let request = Request::post("/palettes/extract")
        .header("content-type", "image/png")
        .body(endless())
        .unwrap();
    refused(&client.request(request).await, 413);
    refused(&client.request(form("/palettes/extract", "file", &vec![0; MAX_BYTES + 1])).await, 413);
    // 57 bytes that declare 2,147 million by as many pixels.
    let mut bomb = picture(ImageFormat::Png);
    bomb.truncate(33);
    bomb[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF]);
    let reply = client.request(form("/palettes/extract", "file", &bomb)).await;
    assert!([413, 422].contains(&reply.status.as_u16()), "{}", reply.text());
}

#[tokio::test]
async fn more_than_the_queue_holds_come_back_later() {
    let (settings, _folder) = testkit::temp_sqlite();
    let how = Settings { extract_queue: 1, ..Settings::default() };
    let client = World::with(settings, how).await.client;
    let never =
        Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let slow =
        Request::post("/palettes/extract").header("content-type", "image/png").body(never).unwrap();
    let file = picture(ImageFormat::Png);
    tokio::select! {
        biased;
        _ = client.request(slow) => panic!("there is no end to it"),
        reply = client.request(bare(None, file.clone())) => {
            refused(&reply, 503);
            assert!(reply.header("retry-after").is_some());
        }
    }
    // The slow one has gone, and its place is free.
    client.request(bare(None, file)).await.expect(200);
}
