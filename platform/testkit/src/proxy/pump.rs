//! What a connection carries, in each direction, with the faults of its way.

use std::io;
use std::time::Duration;

use rand::RngExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{Faults, Stream};

/// A piece is lost, or comes late, as a whole.
const PIECE: usize = 16 * 1024;
/// So many pieces are under way in one direction; more are not read from the sender.
const UNDER_WAY: usize = 64;
/// After so long a lost piece is sent again; twice as long after the next loss, and so on.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// The most losses of one piece: 51 s.
const LOSSES: u32 = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

/// Why a connection ends before both sides have said all.
enum End {
    Broken,
    Reset,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

struct Piece {
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries a connection until both sides have said all, or one breaks, or it is reset.
pub(super) async fn carry(
    mut client: TcpStream,
    server: Box<dyn Stream>,
    faults: watch::Receiver<Faults>,
) {
    let (from_server, to_server) = split(server);
    let (from_client, to_client) = client.split();
    let there = one_direction(from_client, to_server, Direction::There, faults.clone());
    let back = one_direction(from_server, to_client, Direction::Back, faults);
    let ended = tokio::try_join!(there, back);
    if let Err(End::Reset) = ended {
        client.set_zero_linger().ok();
    }
}

async fn one_direction(
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    direction: Direction,
    faults: watch::Receiver<Faults>,
) -> Result<(), End> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let sending = send(from, sender, faults.clone());
    let receiving = receive(receiver, to, direction, faults);
    tokio::try_join!(sending, receiving).map(|_| ())
}

/// Takes pieces from who sends them and decides when they arrive.
async fn send(
    mut from: impl AsyncRead + Unpin,
    under_way: mpsc::Sender<Piece>,
    faults: watch::Receiver<Faults>,
) -> Result<(), End> {
    let mut buffer = vec![0; PIECE];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let due = {
            let faults = faults.borrow();
            Instant::now() + faults.delay + lost_for(faults.loss)
        };
        let bytes = buffer[..length].to_vec();
        if under_way.send(Piece { due, bytes }).await.is_err() {
            return Err(End::Broken);
        }
    }
}

/// How much later a piece arrives because it was lost, perhaps several times in a row.
fn lost_for(loss: f64) -> Duration {
    let mut random = rand::rng();
    let losses = (0..LOSSES).take_while(|_| loss > 0.0 && random.random_bool(loss)).count();
    RETRANSMISSION * ((1_u32 << losses) - 1)
}

/// Hands pieces over when they are due, one after the other: a late one holds up those behind it.
async fn receive(
    mut under_way: mpsc::Receiver<Piece>,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    mut faults: watch::Receiver<Faults>,
) -> Result<(), End> {
    let silent = |faults: &Faults| direction == Direction::Back && faults.one_way;
    // What has come back since connections are to be reset.
    let mut counted = 0;
    while let Some(Piece { due, bytes }) = under_way.recv().await {
        tokio::select! {
            () = sleep_until(due) => {}
            // What is still under way when it is mended arrives at once.
            _ = faults.wait_for(|faults| faults.delay.is_zero() && faults.loss == 0.0) => {}
        }
        let now = faults.wait_for(|faults| !faults.hang).await.map_err(|_| End::Broken)?.clone();
        if silent(&now) {
            continue;
        }
        match now.reset_after.filter(|_| direction == Direction::Back) {
            None => counted = 0,
            Some(allowed) => {
                let left = usize::try_from(allowed - counted).unwrap_or(usize::MAX);
                if bytes.len() > left {
                    to.write_all(&bytes[..left]).await?;
                    return Err(End::Reset);
                }
                counted += bytes.len() as u64;
            }
        }
        to.write_all(&bytes).await?;
    }
    let heard = faults.wait_for(|faults| !faults.hang && !silent(faults)).await;
    heard.map_err(|_| End::Broken)?;
    to.shutdown().await?;
    Ok(())
}
