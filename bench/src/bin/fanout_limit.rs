//! What bare `write` calls reach: one thread that writes the same bytes to every socket in turn,
//! with no library, no queue, no readiness and no other task. It takes the sockets first, then
//! writes at a rate.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Serves `/` as a WebSocket that reads nothing.
#[derive(Parser)]
struct Arguments {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Sockets to wait for before the first write
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Frames a second; 0 as fast as it can
    #[arg(long, default_value_t = 100)]
    rate: u64,
    /// Bytes of text in a frame, at most 125
    #[arg(long, default_value_t = 120)]
    size: u8,
}

#[expect(clippy::disallowed_methods, reason = "there is no executor here to block")]
fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind(arguments.listen)?;
    writeln!(io::stdout(), "listening at {}", listener.local_addr()?)?;
    let mut frame = vec![0x81, arguments.size];
    frame.resize(2 + usize::from(arguments.size), b'x');
    let mut sockets = Vec::new();
    while sockets.len() < arguments.clients {
        sockets.push(accept(listener.accept()?.0)?);
    }
    let every = Duration::from_nanos(1_000_000_000 / arguments.rate.max(1));
    let mut due = Instant::now();
    while !sockets.is_empty() {
        if arguments.rate > 0 {
            due += every;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        sockets.retain_mut(|socket| socket.write(&frame).is_ok());
    }
    Ok(())
}

/// The handshake, as far as a well-behaved client needs it.
fn accept(mut socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    let mut key = String::new();
    for line in BufReader::new(&socket).lines() {
        let line = line?;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("sec-websocket-key")
        {
            value.trim().clone_into(&mut key);
        }
        if line.is_empty() {
            break;
        }
    }
    let accept = derive_accept_key(key.as_bytes());
    write!(
        socket,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )?;
    Ok(socket)
}
