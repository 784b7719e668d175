//! What carries messages between coordinator and participants, and loses, doubles, delays and
//! reorders them. A message that is lost costs its sender a time-out of the world's time.

use super::*;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Prepare,
    Commit,
    Abort,
    /// A participant asks for the outcome.
    Ask,
}

/// When what is late arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Right after the next message to the same participant: it was overtaken.
    Overtaken,
    /// After everything has ended.
    AtTheEnd,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Lost,
    AnswerLost,
    Doubled,
    DoubledAtOnce,
    Late(When),
    DoubledLate(When),
}

impl Fault {
    pub(super) const ALL: [Self; 8] = [
        Self::Lost,
        Self::AnswerLost,
        Self::Doubled,
        Self::DoubledAtOnce,
        Self::Late(When::Overtaken),
        Self::Late(When::AtTheEnd),
        Self::DoubledLate(When::Overtaken),
        Self::DoubledLate(When::AtTheEnd),
    ];
}

/// A message under way for long.
#[derive(Clone, Copy, Debug)]
struct Stray {
    site: usize,
    op: Op,
    id: TxId,
    yes: bool,
    when: When,
}

/// The messages of one case.
pub(super) struct Network {
    pub(super) sites: Arc<Vec<Site>>,
    /// Each is used up by the first message that it fits.
    faults: Mutex<Vec<(usize, Op, Fault)>>,
    /// One participant's process, which dies once.
    mortal: Option<(usize, Faults)>,
    /// After so many messages every participant asks what it is in doubt about.
    asks_after: Option<usize>,
    strays: Mutex<Vec<Stray>>,
    /// What participants ask, which reads the coordinator's database.
    coordinator: Engine,
    decided: Mutex<Option<Outcome>>,
    delivered: AtomicUsize,
    time: Arc<AtomicI64>,
}

impl Network {
    pub(super) fn new(world: &World, case: &Case) -> Arc<Self> {
        Arc::new(Self {
            sites: world.sites.clone(),
            faults: Mutex::new(case.faults.clone()),
            mortal: case.mortal.as_ref().map(|(site, faults)| (*site, faults.clone())),
            asks_after: case.asks_after,
            strays: Mutex::default(),
            coordinator: world.bystander(),
            decided: Mutex::default(),
            delivered: AtomicUsize::new(0),
            time: world.time.clone(),
        })
    }

    fn fault(&self, site: usize, op: Op) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let found = faults.iter().position(|(s, o, _)| *s == site && *o == op)?;
        Some(faults.remove(found).2)
    }

    pub(super) fn process(&self, site: usize) -> Participation<Store> {
        let faults = self.mortal.as_ref().filter(|(mortal, _)| *mortal == site);
        self.sites[site].process(faults.map(|(_, faults)| faults.clone()))
    }

    /// A message arrives.
    async fn arrive(&self, site: usize, op: Op, id: TxId, yes: bool) -> Result<Vote, StepError> {
        let process = self.process(site);
        match op {
            Op::Prepare => process.prepare(id, yes).await,
            Op::Commit => process.commit(id).await.map(|()| Vote::Yes),
            Op::Abort | Op::Ask => process.abort(id).await.map(|()| Vote::Yes),
        }
    }

    /// A message is sent, and its answer.
    async fn send(
        self: &Arc<Self>,
        site: usize,
        op: Op,
        id: TxId,
        yes: bool,
    ) -> Result<Vote, StepError> {
        self.time.fetch_add(500, Ordering::SeqCst);
        let overtaken = self.take_strays(|stray| {
            stray.site == site && stray.id == id && stray.when == When::Overtaken
        });
        let fault = self.fault(site, op);
        let lost = || {
            self.time.fetch_add(3000, Ordering::SeqCst);
            Err(StepError::Retry("no answer in time".into()))
        };
        let stray = |when| self.strays.lock().unwrap().push(Stray { site, op, id, yes, when });
        let answer = match fault {
            None => self.arrive(site, op, id, yes).await,
            Some(Fault::Lost) => lost(),
            Some(Fault::AnswerLost) => {
                drop(self.arrive(site, op, id, yes).await);
                lost()
            }
            Some(Fault::Doubled) => {
                let first = self.arrive(site, op, id, yes).await;
                let second = self.arrive(site, op, id, yes).await;
                let both = first.is_ok() && second.is_ok();
                assert!(!both || first == second, "{first:?}, {second:?}");
                second
            }
            Some(Fault::DoubledAtOnce) => {
                let (first, second) =
                    tokio::join!(self.arrive(site, op, id, yes), self.arrive(site, op, id, yes));
                if first.is_err() { second } else { first }
            }
            Some(Fault::Late(when)) => {
                stray(when);
                lost()
            }
            Some(Fault::DoubledLate(when)) => {
                stray(when);
                self.arrive(site, op, id, yes).await
            }
        };
        for stray in overtaken {
            drop(self.arrive(stray.site, stray.op, stray.id, stray.yes).await);
        }
        self.observe(id).await;
        if self.asks_after == Some(self.delivered.fetch_add(1, Ordering::SeqCst)) {
            self.ask_all().await;
        }
        answer
    }

    fn take_strays(&self, which: impl Fn(&Stray) -> bool) -> Vec<Stray> {
        let mut strays = self.strays.lock().unwrap();
        let (taken, left) = strays.iter().partition(|stray| which(stray));
        *strays = left;
        taken
    }

    /// Whatever is still under way arrives.
    pub(super) async fn deliver_all(&self) {
        for stray in self.take_strays(|_| true) {
            drop(self.arrive(stray.site, stray.op, stray.id, stray.yes).await);
        }
    }

    /// Participants ask about what they have been in doubt about for long enough.
    pub(super) async fn ask_all(self: &Arc<Self>) {
        self.time.fetch_add(10_000, Ordering::SeqCst);
        for site in 0..self.sites.len() {
            let coordinator = Inquiry { network: Arc::clone(self), site };
            self.process(site).ask(&coordinator).await.unwrap();
        }
    }

    /// A decision never changes, whoever looks.
    pub(super) async fn observe(&self, id: TxId) -> Outcome {
        let now = self.coordinator.outcome(id).await.unwrap();
        let mut decided = self.decided.lock().unwrap();
        if let Some(decided) = *decided {
            assert_eq!(now, decided, "the decision changed");
        } else if now != Outcome::Undecided {
            *decided = Some(now);
        }
        now
    }
}

/// A participant's way to the coordinator.
struct Inquiry {
    network: Arc<Network>,
    site: usize,
}

impl Coordinator for Inquiry {
    async fn outcome(&self, tx: TxId) -> Result<Outcome, StepError> {
        let fault = self.network.fault(self.site, Op::Ask);
        if fault == Some(Fault::Lost) {
            return Err(StepError::Retry("lost".into()));
        }
        let outcome = self.network.observe(tx).await;
        match fault {
            Some(_) => Err(StepError::Retry("the answer is lost".into())),
            None => Ok(outcome),
        }
    }
}

/// The coordinator's way to a participant.
pub(super) struct Wire {
    pub(super) network: Arc<Network>,
    pub(super) site: usize,
}

impl Participant<bool> for Wire {
    async fn prepare(&self, tx: TxId, yes: bool) -> Result<Vote, StepError> {
        self.network.send(self.site, Op::Prepare, tx, yes).await
    }

    async fn commit(&self, tx: TxId) -> Result<(), StepError> {
        self.network.send(self.site, Op::Commit, tx, true).await.map(drop)
    }

    async fn abort(&self, tx: TxId) -> Result<(), StepError> {
        self.network.send(self.site, Op::Abort, tx, true).await.map(drop)
    }
}
