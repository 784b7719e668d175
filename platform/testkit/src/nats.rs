//! A NATS server.

use std::ops::Deref;

use tokio::sync::OnceCell;

use crate::absent::skip_here;
use crate::server::process::Launch;
use crate::server::{Server, ask, program};

/// A NATS server with JetStream in a folder of its own. Dropping it ends it.
pub struct Nats(Server);

impl Nats {
    /// Starts one; [`None`] after a loud skip where there is no `nats-server`.
    pub async fn start() -> Option<Self> {
        let Some(program) = program("nats-server", None) else { return skip_here("NATS") };
        // JetStream answers later than the rest.
        let ready = |address| {
            let question = b"CONNECT {}\r\nSUB r 1\r\nPUB $JS.API.INFO r 0\r\n\r\n";
            ask(address, question, |answer| answer.windows(9).any(|part| part == b"\"streams\""))
        };
        let server = Server::start("NATS", ready, move |folder, address| {
            let (port, store) = (address.port().to_string(), folder.join("store"));
            let store = store.display().to_string();
            let arguments = ["-a", "127.0.0.1", "-p", &port, "-js", "-sd", &store];
            Ok(Launch::new(program.clone(), arguments))
        });
        Some(Self(server.await))
    }

    /// One that all tests of this process share: none may kill it, and each takes subjects of its
    /// own.
    pub async fn shared() -> Option<&'static Self> {
        static SHARED: OnceCell<Option<Nats>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(Self::start).await.as_ref();
        if shared.is_none() { skip_here("NATS") } else { shared }
    }

    /// `nats://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }
}

impl Deref for Nats {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}
