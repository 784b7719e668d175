//! HTTPS, with HTTP/2 where the client takes it.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::house::House;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway");

async fn house(http2: bool) -> House {
    let tls = format!(
        "[tls]\ncertificate = '{FOLDER}/localhost.crt'\nkey = '{FOLDER}/localhost.key'\nhttp2 = {http2}"
    );
    let fakes = crate::house::Fakes::new();
    let mesh = mesh::Mesh::new(mesh::MeshSettings::default());
    fakes.install(&mesh);
    House::over(&tls, gateway::Limits::default(), mesh, fakes).await
}

async fn handshake(house: &House, offers: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(format!("{FOLDER}/localhost.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = offers.iter().map(|o| o.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, house.connect().await).await.unwrap()
}

#[tokio::test]
async fn http2_under_tls() {
    let house = house(true).await;
    let stream = handshake(&house, &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = |method: &str, path: &str| {
        http::Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .body(Empty::<bytes::Bytes>::new())
            .unwrap()
    };
    let response = sender.send_request(request("GET", "/palettes/7?a=b")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(
        String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes())
            .contains("\"7\"")
    );
    let seen = house.fakes.last();
    assert_eq!(
        (&*seen.target, seen.headers["host"].to_str().unwrap()),
        ("/palettes/7?a=b", "localhost")
    );

    let response = sender.send_request(request("POST", "/users/register")).await.unwrap();
    let cookies: Vec<_> =
        response.headers().get_all("set-cookie").iter().map(|c| c.to_str().unwrap()).collect();
    assert!(cookies.iter().all(|c| c.contains("Secure")) && cookies.len() == 2, "{cookies:?}");
}

#[tokio::test]
async fn http1_where_that_is_all_there_is() {
    for (http2, offers) in
        [(true, &[&b"http/1.1"[..]][..]), (false, &[&b"h2"[..], b"http/1.1"]), (true, &[])]
    {
        let house = house(http2).await;
        let stream = handshake(&house, offers).await;
        assert_ne!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("/palettes/7")
            .header("host", "localhost")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_named() {
    let mesh = mesh::Mesh::new(mesh::MeshSettings::default());
    let (data, _folder) = testkit::temp_sqlite();
    let log = events::Log::open(&data).await.unwrap();
    for (certificate, key, says) in
        [("nowhere.crt", "localhost.key", "nowhere.crt"), ("localhost.crt", "main.rs", "main.rs")]
    {
        let settings = toml::from_str(&format!(
            "[tls]\ncertificate = '{FOLDER}/{certificate}'\nkey = '{FOLDER}/{key}'"
        ))
        .unwrap();
        let built = gateway::build(
            mesh.clone(),
            log.clone(),
            &cache::Store::embedded(),
            settings,
            String::new(),
            &tasks::Tasks::new(),
        );
        let error = built.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
