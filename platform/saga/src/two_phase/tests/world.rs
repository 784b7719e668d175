//! One operation across a coordinator and some participants, and the rules that it must keep.

use super::*;
use crate::store;
use crate::tests::world::settings;

const KIND: &str = "all or none";

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    /// How each participant votes.
    pub(super) votes: Vec<bool>,
    /// Whether the coordinator's own part refuses.
    pub(super) refuses: bool,
    pub(super) faults: Vec<(usize, Op, Fault)>,
    /// The points at which one coordinator after the other dies.
    pub(super) deaths: Vec<usize>,
    /// The participant that dies, and where.
    pub(super) mortal: Option<(usize, Faults)>,
    /// After so many messages all participants ask about what they are in doubt about.
    pub(super) asks_after: Option<usize>,
}

impl Case {
    pub(super) fn of(votes: &[bool]) -> Self {
        Self { votes: votes.to_vec(), ..Self::default() }
    }

    fn may_commit(&self) -> bool {
        !self.refuses && self.votes.iter().all(|yes| *yes)
    }
}

/// How it went.
#[derive(Debug)]
pub(super) struct Tale {
    pub(super) outcome: Outcome,
    pub(super) answer: Result<Vec<bool>, Problem>,
    /// Whether the first coordinator died.
    pub(super) died: bool,
}

pub(super) struct World {
    db: Database,
    pub(super) sites: Arc<Vec<Site>>,
    pub(super) time: Arc<AtomicI64>,
}

impl World {
    pub(super) async fn build(at: &DataSettings, sites: usize) -> Self {
        let time = Arc::new(AtomicI64::new(1_000_000));
        let db = Database::open(at, &[crate::MIGRATIONS, EFFECTS]).await.unwrap();
        let mut built = Vec::new();
        for n in 0..sites {
            let own = testkit::sibling(at, &format!("site{n}")).await;
            built.push(Site::build(&own, settings(&time)).await);
        }
        Self { db, sites: Arc::new(built), time }
    }

    /// An instance of the coordinator's service that drives nothing.
    pub(super) fn bystander(&self) -> Engine {
        let known = Definition::<Vec<bool>>::new(KIND)
            .two_phase(Participants::new().with("nobody", |_| (), Nobody), |_, _, state| {
                Box::pin(async move { Ok(state) })
            });
        Engine::new(self.db.clone(), settings(&self.time)).register(known)
    }

    /// An instance of the coordinator's service, which dies as `faults` say.
    fn engine(&self, network: &Arc<Network>, case: &Case, faults: Option<Faults>) -> Engine {
        let mut all = Participants::new();
        for (site, name) in ["first", "second", "third"].into_iter().enumerate() {
            if site < case.votes.len() {
                let wire = Wire { network: network.clone(), site };
                all = all.with(name, move |votes: &Vec<bool>| votes[site], wire);
            }
        }
        let refuses = case.refuses;
        let definition = Definition::new(KIND).two_phase(all, move |tx, key, state| {
            Box::pin(async move {
                write_down(tx, key.into(), "0 decided").await?;
                if refuses { Err(Problem::conflict("refused").into()) } else { Ok(state) }
            })
        });
        let settings = Settings { faults, ..settings(&self.time) };
        Engine::new(self.db.clone(), settings).register(definition)
    }

    /// Plays a case to its end and checks everything.
    pub(super) async fn play(&self, case: Case) -> Tale {
        let (id, network) = (Uuid::new_v4(), Network::new(self, &case));
        let began = self.time.load(Ordering::SeqCst);
        let mut deaths = case.deaths.iter().map(|n| Faults::at(*n));
        let first = deaths.next();
        let engine = self.engine(&network, &case, first.clone());
        let answer = engine.run(KIND, id, case.votes.clone()).await;
        for faults in deaths {
            self.recover(&network, &self.engine(&network, &case, Some(faults)), id).await;
        }
        let heir = self.engine(&network, &case, None);
        self.settle(&network, &heir, id).await;
        network.deliver_all().await;
        self.settle(&network, &heir, id).await;
        // What is left may need some turns of the lease and of the in-doubt worker, no more.
        let took = self.time.load(Ordering::SeqCst) - began;
        assert!(took < 20 * LEASE, "it took {took} ms: {case:?}");

        let tx = TxId { id, round: 0 };
        let outcome = self.verify(&network, tx, &case).await;
        let died = first.is_some_and(|faults| faults.died());
        let tale = Tale { outcome, answer, died };
        self.check_answer(&tale, &case);
        tale
    }

    /// Plays a case whose coordinator dies as `faults` say: what whoever asks then must hear.
    pub(super) async fn play_dying(&self, case: &Case, faults: Faults, heard: Outcome) {
        let (id, network) = (Uuid::new_v4(), Network::new(self, case));
        let engine = self.engine(&network, case, Some(faults.clone()));
        engine.run(KIND, id, case.votes.clone()).await.unwrap_err();
        assert!(faults.died());
        let tx = TxId { id, round: 0 };
        assert_eq!(network.observe(tx).await, heard);
        let done = if heard == Outcome::Committed { "committed" } else { "prepared" };
        network.ask_all().await;
        for site in self.sites.iter() {
            assert_eq!(site.seen(tx).await.0.as_deref(), Some(done));
        }
        self.settle(&network, &self.engine(&network, case, None), id).await;
        self.verify(&network, tx, case).await;
    }

    /// Lets the recovery worker of `engine` look once, and finish what it took up.
    async fn recover(&self, network: &Arc<Network>, engine: &Engine, id: Uuid) {
        self.time.fetch_add(LEASE + 1, Ordering::SeqCst);
        let room = Arc::new(tokio::sync::Semaphore::new(8));
        crate::recovery::take_up(engine, &room).await.unwrap();
        drop(room.acquire_many(8).await.unwrap());
        network.observe(TxId { id, round: 0 }).await;
    }

    /// Coordinator and participants go on until nobody has anything left to do.
    async fn settle(&self, network: &Arc<Network>, heir: &Engine, id: Uuid) {
        for _ in 0..6 {
            let row = store::load(&self.db, id).await.unwrap();
            if row.is_some_and(|row| !row.status.ended()) {
                self.recover(network, heir, id).await;
            }
            let mut prepared = false;
            for site in self.sites.iter() {
                prepared |= site.seen(TxId { id, round: 0 }).await.0.as_deref() == Some("prepared");
            }
            if prepared {
                network.ask_all().await;
            }
        }
    }

    async fn verify(&self, network: &Network, tx: TxId, case: &Case) -> Outcome {
        let outcome = network.observe(tx).await;
        let here = effects(&self.db, tx).await;
        let row = store::load(&self.db, tx.id).await.unwrap();
        assert!(row.as_ref().is_none_or(|row| row.status.ended()), "{row:?} of {case:?}");
        for (n, site) in self.sites.iter().enumerate().take(case.votes.len()) {
            let (state, effects) = site.seen(tx).await;
            let tale = format!("{effects:?}, {state:?} at {n}; {outcome:?} of {case:?}");
            match outcome {
                Outcome::Committed => {
                    assert_eq!(state.as_deref(), Some("committed"), "{tale}");
                    assert_eq!(effects, ["1 held", "2 done"], "{tale}");
                }
                Outcome::Aborted => {
                    assert_ne!(state.as_deref(), Some("prepared"), "{tale}");
                    assert_ne!(state.as_deref(), Some("committed"), "{tale}");
                    let given_back = effects == ["1 held", "2 given back"];
                    assert!(effects.is_empty() || given_back, "{tale}");
                }
                Outcome::Undecided => panic!("no end: {tale}"),
            }
        }
        match outcome {
            Outcome::Committed => {
                assert!(case.may_commit(), "committed against a no: {case:?}");
                assert_eq!(here, ["0 decided"], "{case:?}");
            }
            _ => assert_eq!(here, [""; 0], "{case:?}"),
        }
        outcome
    }

    /// Whoever was told an end was told the truth.
    fn check_answer(&self, tale: &Tale, case: &Case) {
        match &tale.answer {
            Ok(votes) => {
                assert_eq!(tale.outcome, Outcome::Committed, "{tale:?} of {case:?}");
                assert_eq!(*votes, case.votes);
            }
            Err(problem) if problem.status() == 503 => {
                // A caller whose coordinator died hears nothing in earnest; one that lives says
                // that nothing was changed, and that must be so.
                assert!(tale.died || tale.outcome == Outcome::Aborted, "{tale:?} of {case:?}");
            }
            Err(problem) => {
                assert_eq!(problem.status(), 409, "{tale:?} of {case:?}");
                assert_eq!(tale.outcome, Outcome::Aborted, "{tale:?} of {case:?}");
            }
        }
    }
}

/// The bystander's participant: nobody asks it.
struct Nobody;

impl Participant<()> for Nobody {
    async fn prepare(&self, _: TxId, (): ()) -> Result<Vote, StepError> {
        unreachable!()
    }

    async fn commit(&self, _: TxId) -> Result<(), StepError> {
        unreachable!()
    }

    async fn abort(&self, _: TxId) -> Result<(), StepError> {
        unreachable!()
    }
}
