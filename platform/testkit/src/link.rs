//! A way to a PostgreSQL that can be cut.

use std::net::SocketAddr;
use std::path::PathBuf;

use data::DataSettings;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::postgres::Server;

/// A TCP address that leads to a test's PostgreSQL. Once it is cut, connections break and new ones
/// are refused.
pub struct Link {
    name: String,
    socket: PathBuf,
    at: SocketAddr,
    forwarding: JoinHandle<()>,
}

impl Link {
    /// A way to the database of a test that [`crate::run_on_postgres`] runs.
    pub async fn to(settings: &DataSettings) -> Self {
        let server = Server::running().expect("the settings are of a database on it");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, socket) = (listener.local_addr().unwrap(), server.socket());
        let forwarding = tokio::spawn(forward(listener, socket.clone()));
        Self { name: server.name_of(settings), socket, at, forwarding }
    }

    /// The same database, by this way.
    #[must_use]
    pub fn settings(&self) -> DataSettings {
        DataSettings::postgres(format!("postgres://postgres@{}/{}", self.at, self.name))
    }

    /// Breaks all connections and refuses new ones.
    pub fn cut(&mut self) {
        self.forwarding.abort();
    }

    /// Lets connections through again, at the same address.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.at).await.unwrap();
        self.forwarding = tokio::spawn(forward(listener, self.socket.clone()));
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn forward(listener: TcpListener, socket: PathBuf) {
    // Aborted with this task, and with them their connections.
    let mut connections = JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let socket = socket.clone();
        connections.spawn(async move {
            if let Ok(mut server) = UnixStream::connect(socket).await {
                copy_bidirectional(&mut client, &mut server).await.ok();
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
