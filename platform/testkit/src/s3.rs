//! An S3 server: Garage, <https://garagehq.deuxfleurs.fr>.

use std::fs;
use std::ops::Deref;
use std::process::Stdio;

use tokio::sync::OnceCell;

use crate::absent::skip_here;
use crate::server::process::{Launch, command};
use crate::server::{Server, ask, blocking, free_address, program};

/// Any 32 bytes: one node talks to itself.
const SECRET: &str = "5f0d1e6a2b9c48d7a3e1f60c9b7d4285e6a1c3f0b8d2974e5a6c1b0d3f8e7a94";
const ACCESS_KEY: &str = "GK3515373e4c851ebaad366558";

/// An S3 server of one node with one key and one bucket. Dropping it ends it.
pub struct S3(Server);

impl S3 {
    /// Starts one; [`None`] after a loud skip where there is no `garage` on PATH and none that
    /// `ATELIER_GARAGE` names. It has to be 2.3 or newer.
    pub async fn start() -> Option<Self> {
        let Some(program) = program("garage", Some("ATELIER_GARAGE")) else {
            return skip_here("S3 server (Garage)");
        };
        // Its bucket is there before it listens; without a key, it answers 403.
        let ready = |address| {
            let question = b"GET / HTTP/1.0\r\nHost: s3\r\n\r\n";
            ask(address, question, |answer| answer.get(8..12) == Some(b" 403"))
        };
        let server = Server::start("Garage", ready, move |folder, address| {
            let (rpc, shown) = (free_address(), folder.display());
            let settings = folder.join("garage.toml");
            fs::write(
                &settings,
                format!(
                    "metadata_dir = '{shown}/meta'\ndata_dir = '{shown}/data'\n\
                     db_engine = 'sqlite'\nreplication_factor = 1\n\
                     rpc_bind_addr = '{rpc}'\nrpc_public_addr = '{rpc}'\nrpc_secret = '{SECRET}'\n\
                     [s3_api]\ns3_region = 'garage'\napi_bind_addr = '{address}'\n"
                ),
            )?;
            let arguments = ["server", "--single-node", "--default-bucket"];
            let mut launch = Launch::new(program.clone(), arguments);
            launch.environment = vec![
                ("GARAGE_CONFIG_FILE", settings.display().to_string()),
                ("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY.into()),
                ("GARAGE_DEFAULT_SECRET_KEY", SECRET.into()),
                ("GARAGE_DEFAULT_BUCKET", "atelier".into()),
                ("RUST_LOG", "warn".into()),
            ];
            Ok(launch)
        });
        Some(Self(server.await))
    }

    /// One that all tests of this process share: none may kill it, and each takes keys of its own.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<S3>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(Self::start).await.as_ref();
        if shared.is_none() { skip_here("S3 server (Garage)") } else { shared }
    }

    /// How many uploads in parts are neither completed nor aborted.
    ///
    /// # Panics
    /// When the server does not say.
    pub async fn unfinished_uploads(&self) -> u64 {
        let program = program("garage", Some("ATELIER_GARAGE")).unwrap();
        let settings = self.folder().join("garage.toml");
        blocking(move || {
            let mut ask = command(program, None);
            ask.arg("-c").arg(settings).args(["json-api", "GetBucketInfo"]);
            let answer = ask.arg(r#"{"globalAlias":"atelier"}"#).stdout(Stdio::piped()).output();
            let answer = answer.unwrap();
            let said = String::from_utf8_lossy(&answer.stderr);
            let bucket: serde_json::Value =
                serde_json::from_slice(&answer.stdout).unwrap_or_else(|_| panic!("{said}"));
            bucket["unfinishedMultipartUploads"].as_u64().unwrap()
        })
        .await
    }

    /// The endpoint, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The region it says it is in.
    #[must_use]
    pub fn region(&self) -> &'static str {
        "garage"
    }

    /// A bucket that is there.
    #[must_use]
    pub fn bucket(&self) -> &'static str {
        "atelier"
    }

    /// The id of a key that may do anything in the bucket.
    #[must_use]
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The secret of that key.
    #[must_use]
    pub fn secret_key(&self) -> &'static str {
        SECRET
    }
}

impl Deref for S3 {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
