//! A Redis server.

use std::ops::Deref;

use tokio::sync::OnceCell;

use crate::absent::skip_here;
use crate::server::process::Launch;
use crate::server::{Server, ask, program};

/// A Redis server that keeps every write it acknowledged. Dropping it ends it.
pub struct Redis(Server);

impl Redis {
    /// Starts one; [`None`] after a loud skip where there is no `redis-server`.
    pub async fn start() -> Option<Self> {
        let Some(program) = program("redis-server", None) else { return skip_here("Redis") };
        let ready = |address| ask(address, b"PING\r\n", |answer| answer.starts_with(b"+PONG"));
        let server = Server::start("Redis", ready, move |folder, address| {
            let (port, folder) = (address.port().to_string(), folder.display().to_string());
            let mut arguments = vec!["--bind", "127.0.0.1", "--port", &port, "--dir", &folder];
            arguments.extend(["--save", "", "--appendonly", "yes", "--appendfsync", "no"]);
            arguments.extend(["--auto-aof-rewrite-percentage", "0", "--databases", "1"]);
            Ok(Launch::new(program.clone(), arguments))
        });
        Some(Self(server.await))
    }

    /// One that all tests of this process share: none may kill it, and each takes keys of its own.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Redis>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(Self::start).await.as_ref();
        if shared.is_none() { skip_here("Redis") } else { shared }
    }

    /// `redis://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }
}

impl Deref for Redis {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
