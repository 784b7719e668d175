//! Opens connections and makes them members, many at a time.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::dialect::Dialect;
use super::seat::Hall;

/// What one answer may take while joining.
const ANSWER: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub struct Connector {
    /// The server
    pub address: SocketAddr,
    /// Addresses 127.0.0.x to come from, where one has too few ports; 0 leaves it to the system
    pub sources: u8,
    /// Connections made at a time
    pub at_a_time: usize,
    /// How long a refusal is followed by another try
    pub patience: Duration,
}

/// A seat that wants a connection, and the last number it heard if it heard any.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) seat: usize,
    pub(super) after: Option<u64>,
}

/// A connection that is a member, and what was read beyond joining.
pub(super) struct Joined {
    pub(super) seat: usize,
    pub(super) stream: TcpStream,
    pub(super) read: Vec<u8>,
}

impl Connector {
    /// Gives each seat a connection and hands it to the thread that reads it.
    pub(super) fn join(
        &self,
        dialect: &dyn Dialect,
        hall: Hall,
        wanted: &[Wanted],
        readers: &[SyncSender<Joined>],
    ) -> io::Result<()> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        let work = || {
            while let Some(one) = wanted.get(next.fetch_add(1, Relaxed))
                && !failed.load(Relaxed)
            {
                let gone = |_| io::Error::other("the reader is gone");
                let done = self
                    .patiently(dialect, hall, *one)
                    .and_then(|joined| readers[one.seat % hall.threads].send(joined).map_err(gone));
                if let Err(error) = done {
                    failed.store(true, Relaxed);
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.at_a_time.max(1) {
                scope.spawn(work);
            }
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    #[expect(clippy::disallowed_methods, reason = "there is no executor here to block")]
    fn patiently(&self, dialect: &dyn Dialect, hall: Hall, one: Wanted) -> io::Result<Joined> {
        let began = Instant::now();
        let (room, member) = hall.place(one.seat);
        loop {
            let joined = self.connect(one.seat).and_then(|mut stream| {
                let read = dialect.join(&mut stream, room, member, one.after)?;
                stream.set_nonblocking(true)?;
                Ok(Joined { seat: one.seat, stream, read })
            });
            match joined {
                Err(_) if began.elapsed() < self.patience => thread::sleep(BETWEEN_TRIES),
                joined => return joined,
            }
        }
    }

    fn connect(&self, seat: usize) -> io::Result<TcpStream> {
        let stream = match (self.sources, self.address) {
            (1.., SocketAddr::V4(address)) => {
                let last = 1 + (seat % usize::from(self.sources)) as u8;
                let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
                bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0))?;
                connect(&socket, &address)?;
                TcpStream::from(socket)
            }
            _ => TcpStream::connect(self.address)?,
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Ok(stream)
    }
}
