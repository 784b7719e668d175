//! Many small writes, one transaction.
//!
//! A commit costs an fsync, whatever it holds. What arrives while one batch commits makes the
//! next one; a batch waits a little for company only if the one before had company, so that a
//! lone write is not delayed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::{BoxFuture, DataError, Database, Tx};

/// How a [`GroupCommit`] gathers.
#[derive(Clone, Copy, Debug)]
pub struct GroupCommitSettings {
    /// The most items of one transaction.
    pub max_batch: usize,
    /// The longest a batch waits for company.
    pub linger: Duration,
    /// The most items that wait; beyond, the answer is [`DataError::Busy`].
    pub queue: usize,
    /// Whether a batch whose predecessor had company waits all of `linger`, and not only until it has
    /// as much company: for what comes steadily from many, and costs less together.
    pub patient: bool,
}

impl Default for GroupCommitSettings {
    fn default() -> Self {
        Self { max_batch: 256, linger: Duration::from_millis(1), queue: 4096, patient: false }
    }
}

/// A batch that met a deadlock or a lock is tried this often.
const TRIES: u32 = 5;

type Answer<O> = oneshot::Sender<Result<O, DataError>>;

/// Gathers items and writes them in shared transactions; cheap to clone.
pub struct GroupCommit<I, O> {
    queue: mpsc::Sender<(I, Answer<O>)>,
}

impl<I, O> Clone for GroupCommit<I, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<I, O> GroupCommit<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
{
    /// `apply` writes a batch and answers one value an item, in the same order. It may be called
    /// again with the same items after a failure; nothing of the failed try is kept.
    ///
    /// The work runs on a task of its own, which ends after the last clone is dropped and the
    /// queue is empty. Must be called inside a tokio runtime.
    pub fn new<F>(db: Database, settings: GroupCommitSettings, apply: F) -> Self
    where
        F: for<'t> Fn(&'t Tx, Vec<I>) -> BoxFuture<'t, Result<Vec<O>, DataError>>
            + Send
            + Sync
            + 'static,
    {
        let (queue, receiver) = mpsc::channel(settings.queue.max(1));
        let worker = Worker { db, settings, apply: Arc::new(apply), receiver, last: 1 };
        tokio::spawn(worker.run());
        Self { queue }
    }

    /// Writes `item` with whatever else arrives, and answers after the commit. A caller that goes
    /// away changes nothing: the item is written.
    ///
    /// # Errors
    /// [`DataError::Busy`] when the queue is full or the locks were not got; what `apply` says of
    /// this item alone; [`DataError::Unavailable`] when the database went away, and the outcome
    /// is not known.
    pub async fn submit(&self, item: I) -> Result<O, DataError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((item, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => DataError::Busy,
            mpsc::error::TrySendError::Closed(_) => stopped(),
        })?;
        answered.await.map_err(|_| stopped())?
    }
}

fn stopped() -> DataError {
    DataError::Unavailable("the process is stopping".into())
}

struct Worker<I, O, F> {
    db: Database,
    settings: GroupCommitSettings,
    apply: Arc<F>,
    receiver: mpsc::Receiver<(I, Answer<O>)>,
    /// How many the last batch had.
    last: usize,
}

impl<I, O, F> Worker<I, O, F>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
    F: for<'t> Fn(&'t Tx, Vec<I>) -> BoxFuture<'t, Result<Vec<O>, DataError>>
        + Send
        + Sync
        + 'static,
{
    async fn run(mut self) {
        let max = self.settings.max_batch.max(1);
        let mut batch = Vec::with_capacity(max);
        while self.gather(&mut batch, max).await {
            self.last = batch.len();
            self.db.measure().batch(batch.len());
            let (items, answers): (Vec<I>, Vec<Answer<O>>) = batch.drain(..).unzip();
            self.write(items, answers).await;
        }
    }

    /// False at the end of the queue.
    async fn gather(&mut self, batch: &mut Vec<(I, Answer<O>)>, max: usize) -> bool {
        if self.receiver.recv_many(batch, max).await == 0 {
            return false;
        }
        // Those answered a moment ago may be about to come back.
        let until = Instant::now() + self.settings.linger;
        let enough = if self.settings.patient { max } else { self.last.min(max) };
        while self.last > 1 && batch.len() < enough {
            let room = max - batch.len();
            match timeout_at(until, self.receiver.recv_many(batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        true
    }

    async fn write(&self, items: Vec<I>, answers: Vec<Answer<O>>) {
        let one_by_one = items.len() > 1;
        match self.commit(items.clone()).await {
            Ok(outputs) => {
                for (output, answer) in outputs.into_iter().zip(answers) {
                    answer.send(Ok(output)).ok();
                }
            }
            // One of them is the cause; it must not fail the others.
            Err(
                DataError::UniqueViolation { .. } | DataError::ForeignKey | DataError::Other(_),
            ) if one_by_one => {
                for (item, answer) in items.into_iter().zip(answers) {
                    let result = self.commit(vec![item]).await;
                    answer.send(result.and_then(|mut o| o.pop().ok_or_else(stopped))).ok();
                }
            }
            Err(error) => {
                for answer in answers {
                    answer.send(Err(error.clone())).ok();
                }
            }
        }
    }

    /// One transaction, tried again when it was in another's way.
    async fn commit(&self, items: Vec<I>) -> Result<Vec<O>, DataError> {
        let mut tries = 1;
        loop {
            let (apply, items) = (Arc::clone(&self.apply), items.clone());
            let written = self.db.write_caught(move |tx| {
                Box::pin(async move {
                    let expected = items.len();
                    let outputs = apply(tx, items).await?;
                    if outputs.len() != expected {
                        let got = outputs.len();
                        return Err(DataError::Other(format!(
                            "a batch of {expected} was answered with {got} values"
                        )));
                    }
                    Ok(outputs)
                })
            });
            match written.await {
                Ok(Err(DataError::Busy)) if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(1 << tries)).await;
                    tries += 1;
                }
                Ok(result) => return result,
                Err(gone) if gone.is_panic() => {
                    return Err(DataError::Other("a batch panicked".into()));
                }
                Err(_) => return Err(stopped()),
            }
        }
    }
}
