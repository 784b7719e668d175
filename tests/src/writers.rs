//! People who write without a pause while something is broken, and what they were told.
//!
//! Invariant: what is counted as acknowledged was answered with success, and is looked for
//! afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{Person, eventually};

/// The pause of one whose write failed.
const PAUSE: Duration = Duration::from_millis(10);

/// Writers at work: each makes palettes and likes them.
pub struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
    record: Arc<Mutex<Record>>,
    running: Vec<JoinHandle<()>>,
}

/// What was asked and answered.
#[derive(Default)]
struct Record {
    made: Vec<(Person, String)>,
    liked: Vec<String>,
    failed: BTreeMap<String, usize>,
    slowest_failure: Duration,
    last_success: Option<Instant>,
    longest_gap: Duration,
}

/// What came of it, once they have stopped.
pub struct Told {
    record: Record,
}

impl Writers {
    /// Each of these people begins to write.
    #[must_use]
    pub fn start(people: &[Person]) -> Self {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let record = Arc::<Mutex<Record>>::default();
        let running = people
            .iter()
            .cloned()
            .map(|person| {
                let (stop, written, record) = (stop.clone(), written.clone(), record.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::SeqCst) {
                        if write(&person, &record).await {
                            written.fetch_add(1, Ordering::SeqCst);
                        } else {
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                })
            })
            .collect();
        Self { stop, written, record, running }
    }

    /// Waits until so many more palettes were made and liked.
    pub async fn some(&self, more: usize) {
        let goal = self.written.load(Ordering::SeqCst) + more;
        let enough = async || (self.written.load(Ordering::SeqCst) >= goal).then_some(());
        eventually("more is written", enough).await;
    }

    /// Ends them after what each of them has begun.
    ///
    /// # Panics
    /// If one of them panicked.
    pub async fn end(self) -> Told {
        self.stop.store(true, Ordering::SeqCst);
        for running in self.running {
            running.await.expect("a writer");
        }
        let record = std::mem::take(&mut *lock(&self.record));
        Told { record }
    }
}

/// Makes a palette and likes it; whether both were acknowledged.
async fn write(person: &Person, record: &Mutex<Record>) -> bool {
    let palette = json!({"color_codes": ["#707070"], "category": "faults"});
    let Some(made) = ask(person, "/palettes", &palette, 201, record).await else { return false };
    let id = made["palette_id"].as_str().expect("an id").to_owned();
    lock(record).made.push((person.clone(), id.clone()));
    let liked = ask(person, "/like", &json!({"palette_id": id}), 200, record).await.is_some();
    if liked {
        lock(record).liked.push(id);
    }
    liked
}

async fn ask(
    person: &Person,
    path: &str,
    body: &serde_json::Value,
    expected: u16,
    record: &Mutex<Record>,
) -> Option<serde_json::Value> {
    let asked = Instant::now();
    let answer = person.try_send(person.request(Method::POST, path).json(body)).await;
    let mut record = lock(record);
    let failure = match answer {
        Ok(answer) if answer.status == expected => {
            let gap = record
                .last_success
                .replace(Instant::now())
                .map_or_else(Duration::default, |last| last.elapsed());
            record.longest_gap = record.longest_gap.max(gap);
            return Some(answer.json);
        }
        Ok(answer) => answer.status.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    *record.failed.entry(failure).or_default() += 1;
    record.slowest_failure = record.slowest_failure.max(asked.elapsed());
    None
}

fn lock(record: &Mutex<Record>) -> std::sync::MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Told {
    /// The longest time without any acknowledged write.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        self.record.longest_gap
    }

    /// How many writes failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.record.failed.values().sum()
    }

    /// The palettes that were made.
    pub fn palettes(&self) -> impl Iterator<Item = &str> {
        self.record.made.iter().map(|(_, id)| id.as_str())
    }

    /// Sees that every failure said when to come back (503, 504; `no answer` only where a gateway
    /// itself was killed), within the deadline, and that all that was acknowledged is there, each
    /// like once.
    ///
    /// # Panics
    /// If not.
    pub async fn nothing_is_lost(&self, gateway_killed: bool) {
        let record = &self.record;
        for failure in record.failed.keys() {
            let fine = ["503", "504"].contains(&failure.as_str())
                || (gateway_killed && failure == "no answer");
            assert!(fine, "{self}");
        }
        assert!(record.slowest_failure < Duration::from_secs(33), "{self}");
        for (person, id) in &record.made {
            let likes = usize::from(record.liked.contains(id));
            let path = format!("/palettes/{id}");
            eventually(&format!("palette {id} with {likes} likes"), async || {
                let read = person.get(&path).await;
                let seen = read.json["likes"].as_u64()?;
                // One that was not acknowledged may count all the same, and never twice.
                (read.status == 200 && (seen == likes as u64 || (likes == 0 && seen == 1)))
                    .then_some(())
            })
            .await;
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { made, liked, failed, slowest_failure, longest_gap, .. } = &self.record;
        write!(
            f,
            "{} palettes and {} likes acknowledged; {} failed {failed:?}, the slowest after {:.1} s; \
             {:.1} s without a write at most",
            made.len(),
            liked.len(),
            self.failures(),
            slowest_failure.as_secs_f64(),
            longest_gap.as_secs_f64(),
        )
    }
}
