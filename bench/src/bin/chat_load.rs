//! Loads a chat server with rooms full of members in the dialect it speaks, checks that all hear the
//! same in the same order, each once, and prints what that cost as one line of JSON.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bench::chat::{
    Atelier, Bare, Connector, Dialect, Ejabberd, Hall, Pace, Resume, Run, SocketIo, idle, resume,
    run,
};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Rooms of a chat server.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    shape: Shape,
    #[command(subcommand)]
    work: Work,
}

#[derive(Args)]
struct Shape {
    #[arg(long)]
    dialect: Tongue,
    #[arg(long)]
    address: SocketAddr,
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 1000)]
    members: usize,
    /// Members who speak, in all rooms together
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Bytes of text in a message, at least 30
    #[arg(long, default_value_t = 120)]
    size: usize,
    /// Processes of the server, whose children count too
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
    /// Threads that read
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Addresses 127.0.0.x to come from, for when ports run out; 0 leaves it to the system
    #[arg(long, default_value_t = 0)]
    sources: u8,
    /// Connections made at a time
    #[arg(long, default_value_t = 16)]
    at_a_time: usize,
    /// Accounts that share the members among them (Atelier)
    #[arg(long, default_value_t = 8)]
    accounts: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tongue {
    /// Lobbies of this system
    Atelier,
    /// bench/socketio
    Socketio,
    /// Rooms of XEP-0045
    Ejabberd,
    /// Frames of a server that sends by itself
    Bare,
}

#[derive(Subcommand)]
enum Work {
    /// So many messages a second
    Paced {
        #[arg(long)]
        rate: f64,
        #[command(flatten)]
        time: Time,
    },
    /// As many messages as their senders hear themselves say
    Load {
        /// Messages a sender has under way
        #[arg(long, default_value_t = 8)]
        window: u32,
        #[command(flatten)]
        time: Time,
    },
    /// Nothing is said; how much memory a socket takes
    Idle {
        /// Seconds to settle once all have joined
        #[arg(long, default_value_t = 5)]
        settle: u64,
    },
    /// The process that holds the sockets is killed, and all come back at once (Atelier)
    Resume {
        /// The process to kill; somebody else starts it again
        #[arg(long)]
        kill: u32,
        /// Messages a second before that
        #[arg(long, default_value_t = 50.0)]
        rate: f64,
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Messages each sender says before the others come back
        #[arg(long, default_value_t = 10)]
        missed: u32,
    },
}

#[derive(Args)]
struct Time {
    /// Seconds to measure
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Seconds of the same before
    #[arg(long, default_value_t = 2)]
    settle: u64,
}

fn main() -> io::Result<()> {
    let Arguments { shape, work } = Arguments::parse();
    let threads = if matches!(work, Work::Resume { .. }) { 1 } else { shape.threads.max(1) };
    let (rooms, members) = (shape.rooms.max(1), shape.members.max(1));
    let most = usize::from(u16::MAX).min(rooms * members);
    let speakers = if matches!(shape.dialect, Tongue::Bare) { 0 } else { shape.senders.min(most) };
    let hall = Hall { rooms, members, speakers, threads };
    let dialect: Arc<dyn Dialect> = match shape.dialect {
        Tongue::Atelier => Arc::new(signed_in(shape.address, hall, shape.accounts)?),
        Tongue::Socketio => Arc::new(SocketIo),
        Tongue::Ejabberd => Arc::new(Ejabberd),
        Tongue::Bare => Arc::new(Bare),
    };
    let connector = Connector {
        address: shape.address,
        sources: shape.sources,
        at_a_time: shape.at_a_time,
        patience: Duration::from_secs(30),
    };
    let all = Run { dialect, connector, hall, size: shape.size, pids: shape.pid };
    let report = match work {
        Work::Paced { rate, time } => {
            run(&all, Pace::PerSecond(rate), seconds(time.settle), seconds(time.seconds))
        }
        Work::Load { window, time } => {
            let pace = Pace::Window { size: window, until: u32::MAX };
            run(&all, pace, seconds(time.settle), seconds(time.seconds))
        }
        Work::Idle { settle } => idle(&all, seconds(settle)),
        Work::Resume { kill, rate, seconds: before, missed } => {
            let before = seconds(before);
            resume(&all, &Resume { kill, before, rate, missed, window: 16 })
        }
    }?;
    writeln!(io::stdout(), "{report}")
}

/// The only part that waits for many things at once, and the only one that needs an executor.
#[tokio::main(flavor = "current_thread")]
async fn signed_in(address: SocketAddr, hall: Hall, accounts: usize) -> io::Result<Atelier> {
    Atelier::prepare(address, hall, accounts).await
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
