//! A way to a server that can be cut, slowed and broken.

mod pump;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::server::free_address;
use pump::carry;

/// A TCP address that leads to a server. Faults hold for the connections that are there and for
/// those that come, until [`Proxy::mend`].
///
/// It needs the runtime it was made in.
pub struct Proxy {
    address: SocketAddr,
    to: Target,
    faults: watch::Sender<Faults>,
    /// [`None`] while it is cut.
    accepting: Mutex<Option<Accepting>>,
}

/// What is wrong with the way.
#[derive(Clone, Debug, Default)]
struct Faults {
    delay: Duration,
    loss: f64,
    one_way: bool,
    hang: bool,
    /// What may still come back over each connection before it is reset.
    reset_after: Option<u64>,
}

struct Accepting {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Where a way leads.
#[derive(Clone)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Target {
    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

impl Proxy {
    /// A way to the server at `address`, without faults. There need not be one yet.
    pub async fn to(address: SocketAddr) -> Self {
        Self::leading(Target::Tcp(address)).await
    }

    pub(crate) async fn leading(to: Target) -> Self {
        let (faults, _) = watch::channel(Faults::default());
        let accepting = Mutex::new(None);
        let proxy = Self { address: free_address(), to, faults, accepting };
        proxy.mend().await;
        proxy
    }

    /// Where it is; the same for as long as it lives.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks all connections and refuses new ones.
    pub async fn cut(&self) {
        if let Some(accepting) = self.accepting.lock().await.take() {
            accepting.stop.send_replace(true);
            accepting.task.await.ok();
        }
    }

    /// Takes all faults away; connections are let through again, at the same address. Those that
    /// lost something are broken first, since no later byte can make up for it.
    pub async fn mend(&self) {
        let before = self.faults.send_replace(Faults::default());
        if before.one_way || before.reset_after.is_some() {
            self.cut().await;
        }
        let mut accepting = self.accepting.lock().await;
        if accepting.is_none() {
            let listener = TcpListener::bind(self.address).await.unwrap();
            let (stop, stopped) = watch::channel(false);
            let faults = self.faults.subscribe();
            let task = tokio::spawn(accept(listener, self.to.clone(), faults, stopped));
            *accepting = Some(Accepting { stop, task });
        }
    }

    /// Everything arrives this much later, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// This share of the packets is lost, in percent. TCP sends a lost one again, so what is seen is
    /// that it and all that follows it comes late: after 200 ms, twice that if it is lost again, and
    /// so on, as Linux does.
    pub fn drop_bytes(&self, percent: u8) {
        self.faults.send_modify(|faults| faults.loss = f64::from(percent.min(100)) / 100.0);
    }

    /// What clients send arrives; nothing comes back, not even that a connection was closed.
    pub fn one_way(&self) {
        self.faults.send_modify(|faults| faults.one_way = true);
    }

    /// Each connection is reset (RST) once so many more bytes have come back over it: in the middle
    /// of an answer.
    pub fn reset_after(&self, bytes: u64) {
        self.faults.send_modify(|faults| faults.reset_after = Some(bytes));
    }

    /// Connections are accepted and stay, and no byte goes either way any more: half-open.
    pub fn hang(&self) {
        self.faults.send_modify(|faults| faults.hang = true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.get_mut().take() {
            accepting.task.abort();
        }
    }
}

async fn accept(
    listener: TcpListener,
    to: Target,
    faults: watch::Receiver<Faults>,
    mut stopped: watch::Receiver<bool>,
) {
    // Aborted with this task, and with them their connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                let (to, faults) = (to.clone(), faults.clone());
                connections.spawn(connection(client, to, faults));
            }
            Some(_) = connections.join_next() => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// One connection, from its client to the server.
async fn connection(client: TcpStream, to: Target, mut faults: watch::Receiver<Faults>) {
    // A way that hangs or returns nothing does not tell either that nobody is there.
    let open = |faults: &Faults| !faults.hang;
    if faults.wait_for(open).await.is_err() {
        return;
    }
    client.set_nodelay(true).ok();
    let server = loop {
        match to.connect().await {
            Ok(server) => break server,
            Err(_) if faults.borrow().one_way => {
                if faults.wait_for(|faults| !faults.one_way).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    };
    carry(client, server, faults).await;
}
