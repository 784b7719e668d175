//! The ring of Redis nodes: how evenly it spreads keys, how few move when a node is added, and
//! what is still found when nodes are dead. Starts the nodes by itself.

use std::io::{self, Write};
use std::time::Duration;

use cache::{CacheSettings, Ring, Shared, Store};
use clap::Parser;
use tasks::Tasks;
use testkit::Redis;
use tokio::time::Instant;

/// Measures the ring.
#[derive(Parser)]
struct Arguments {
    /// Redis nodes to start
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Keys to keep on them
    #[arg(long, default_value_t = 20_000)]
    keys: u32,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let mut out = io::stdout();
    spread(&mut out)?;
    writeln!(out)?;
    let half = arguments.nodes / 2;
    for dead in [0, 1, half] {
        if !found(&mut out, &arguments, dead).await? {
            writeln!(out, "there is no redis-server on this machine")?;
            break;
        }
    }
    Ok(())
}

/// Where the first copies of many keys are.
fn spread(out: &mut impl Write) -> io::Result<()> {
    const KEYS: u32 = 200_000;
    let names = |n: usize| (0..n).map(|n| format!("10.0.0.{n}:6379/0")).collect::<Vec<_>>();
    let owners = |n: usize| {
        let ring = Ring::new(&names(n));
        (0..KEYS).map(|key| ring.copies(&key.to_be_bytes())[0]).collect::<Vec<_>>()
    };
    writeln!(out, "nodes  peak to mean  moved to one more  1/(n+1)")?;
    for n in [2, 3, 4, 5, 6, 8, 10] {
        let (now, then) = (owners(n), owners(n + 1));
        let load = |node| now.iter().filter(|owner| **owner == Some(node)).count();
        let peak = (0..n).map(load).max().unwrap_or_default() as f64 * n as f64 / f64::from(KEYS);
        let moved = now.iter().zip(&then).filter(|(a, b)| a != b).count() as f64 / f64::from(KEYS);
        let fair = 1.0 / (n + 1) as f64;
        writeln!(out, "{n:>5}  {peak:>12.3}  {:>15.1} %  {:>5.1} %", moved * 100.0, fair * 100.0)?;
    }
    Ok(())
}

/// Fills the ring, kills some nodes, and asks for every key once. False without `redis-server`.
async fn found(out: &mut impl Write, arguments: &Arguments, dead: usize) -> io::Result<bool> {
    let mut nodes = Vec::new();
    for _ in 0..arguments.nodes {
        let Some(node) = Redis::start().await else { return Ok(false) };
        nodes.push(node);
    }
    let tasks = Tasks::new();
    let settings = CacheSettings::ring(nodes.iter().map(Redis::url));
    let store = Store::open(&settings, &tasks).await.map_err(io::Error::other)?;
    let all = nodes.len();
    testkit::eventually("all nodes answer", || async { store.answering() == Some((all, all)) })
        .await;
    let cache = store.cache("bench", 1, Duration::from_secs(3600));
    ask_all(&cache, arguments.keys).await;
    for node in &nodes[..dead] {
        node.kill().await;
    }
    let began = Instant::now();
    let (loads, longest) = ask_all(&cache, arguments.keys).await;
    let took = began.elapsed();
    let hits = 100.0 * (1.0 - f64::from(loads) / f64::from(arguments.keys));
    writeln!(
        out,
        "{dead} of {} nodes dead: hit rate {hits:.2} %, {:.0} requests a second one by one, the \
         longest {:.1} ms",
        arguments.nodes,
        f64::from(arguments.keys) / took.as_secs_f64(),
        longest.as_secs_f64() * 1000.0
    )?;
    tasks.stop().await;
    Ok(true)
}

/// Asks for every key; how many were not there, and how long the longest took.
async fn ask_all(cache: &Shared<u32, String>, keys: u32) -> (u32, Duration) {
    let (mut loads, mut longest) = (0, Duration::ZERO);
    for key in 0..keys {
        let began = Instant::now();
        let value = cache.get_with(key, async {
            loads += 1;
            Ok::<_, std::convert::Infallible>(format!("the value of {key}"))
        });
        drop(value.await);
        longest = longest.max(began.elapsed());
    }
    (loads, longest)
}
