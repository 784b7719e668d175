//! Opens sockets to one address, counts the messages that arrive, and reads from /proc what that
//! cost the server. Prints one line of JSON.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bench::processes::{cpu_seconds, resident_kib};
use clap::Parser;
use futures::StreamExt;
use tokio_tungstenite::connect_async;

/// Counts what a fan-out delivers.
#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    url: String,
    #[arg(long, default_value_t = 1000)]
    clients: u64,
    /// Seconds to count, after two to settle
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Processes of the server
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let pids = &arguments.pid;
    let before = resident_kib(pids);
    let (messages, lost) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut open = 0;
    for _ in 0..arguments.clients {
        let Ok((mut socket, _)) = connect_async(&arguments.url).await else {
            continue;
        };
        open += 1;
        let (messages, lost) = (Arc::clone(&messages), Arc::clone(&lost));
        tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    messages.fetch_add(1, Relaxed);
                }
            }
            lost.fetch_add(1, Relaxed);
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let resident = resident_kib(pids).saturating_sub(before);
    let (counted, cpu, began) = (messages.load(Relaxed), cpu_seconds(pids), Instant::now());
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let counted = messages.load(Relaxed) - counted;
    let cpu = cpu_seconds(pids) - cpu;
    let report = serde_json::json!({
        "open": open,
        "lost": lost.load(Relaxed),
        "kib_per_socket": resident as f64 / open as f64,
        "messages": counted,
        "per_second": counted as f64 / began.elapsed().as_secs_f64(),
        "cpu_seconds": cpu,
    });
    writeln!(io::stdout(), "{report}")
}
