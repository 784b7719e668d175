//! Exports over HTTP.

use data::DataSettings;
use http::Request;
use palettes::export::Format;
use serde_json::json;
use testkit::on_each_engine;

use crate::world::{World, id};

on_each_engine!(
    every_format_is_a_download_with_its_type_and_tag,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        let made = id(&world
            .create(json!({"color_codes": ["#F00", "#00FF0080"], "name": "Été \"1\""}))
            .await);
        for format in Format::ALL {
            let path = format!("/palettes/{made}/export/{}", format.name());
            let reply = world.client.get(&path).await.expect(200);
            assert_eq!(reply.header("content-type"), Some(format.media_type()));
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
            let disposition = reply.header("content-disposition").unwrap();
            assert!(disposition.starts_with("attachment; filename=\"t-1."), "{disposition}");
            assert!(!reply.bytes.is_empty());
            let tag = reply.header("etag").unwrap();
            let again = Request::get(&path)
                .header("if-none-match", tag)
                .body(axum::body::Body::empty())
                .unwrap();
            world.client.request(again).await.expect(304);
            world
                .anna()
                .put(&format!("/palettes/{made}"), json!({"color_codes": ["#F00", "#00F", "#0F0"]}))
                .await
                .expect(200);
            assert_ne!(world.client.get(&path).await.header("etag"), Some(tag));
            world
                .anna()
                .put(&format!("/palettes/{made}"), json!({"color_codes": ["#F00"]}))
                .await
                .expect(200);
        }
        for format in ["CSS", "pdf", "css%00", "..", "css/x"] {
            world.client.get(&format!("/palettes/{made}/export/{format}")).await.expect(404);
        }
    }
);
