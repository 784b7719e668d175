//! A crash at every point, made good by a coordinator that repeats itself, and by asking it.

use super::*;

/// What the coordinator has decided.
struct Says(Outcome);

impl Coordinator for Says {
    async fn outcome(&self, _: TxId) -> Result<Outcome, StepError> {
        Ok(self.0)
    }
}

/// Another instance asks whenever it is time, until nothing is prepared.
async fn ask(world: &World, id: TxId, outcome: Outcome) {
    let tasks = Tasks::new();
    world.instance(None).start(&tasks, Says(outcome));
    eventually("nothing stays prepared", || async {
        world.time.fetch_add(6_000, Ordering::SeqCst);
        !world.is_prepared(id).await
    })
    .await;
    tasks.stop().await;
}

on_each_engine!(wherever_it_dies_it_ends_as_decided, |settings: DataSettings| async move {
    let world = World::new(&settings).await;
    let (stays, comes, goes) =
        (world.new_user().await, world.new_user().await, world.new_user().await);
    for (wanted, repeats) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut n = 0;
        loop {
            let faults = Faults::at(n);
            let (mortal, well) = (world.instance(Some(faults.clone())), world.instance(None));
            let (chat, id) = (world.new_chat(), new_tx());
            world.seat(chat, &[stays, goes]).await;
            let before = world.members(chat).await;
            let asked = || change(chat, stays, &[comes], &[goes]);

            let mut voted = mortal.prepare(id, asked()).await == Ok(Vote::Yes);
            assert!(voted || faults.died());
            if !voted && repeats {
                voted = well.prepare(id, asked()).await == Ok(Vote::Yes);
                assert!(voted, "asked again after point {n}");
            }
            assert_eq!(world.members(chat).await, before, "nothing is seen before it is decided");
            // Without a vote it is not committed, whatever is wanted.
            let committed = wanted && voted;
            if repeats {
                if end(&mortal, id, committed).await.is_err() {
                    end(&well, id, committed).await.unwrap();
                }
                end(&well, id, committed).await.unwrap();
            } else {
                if voted {
                    end(&mortal, id, committed).await.ok();
                }
                ask(&world, id, if committed { Outcome::Committed } else { Outcome::Aborted })
                    .await;
            }

            let after = if committed { vec![stays.get(), comes.get()] } else { before };
            assert_eq!(world.members(chat).await, after, "at point {n}: {wanted}, {repeats}");
            assert_eq!(world.held().await, 0, "at point {n}: {wanted}, {repeats}");
            if !faults.died() {
                break;
            }
            n += 1;
        }
        assert!(n >= 6, "{n} points");
    }
});

on_each_engine!(who_was_told_nothing_asks, |settings: DataSettings| async move {
    let world = World::new(&settings).await;
    let user = world.new_user().await;
    for outcome in [Outcome::Committed, Outcome::Aborted] {
        let (chat, id) = (world.new_chat(), new_tx());
        let well = world.instance(None);
        assert_eq!(well.prepare(id, change(chat, user, &[user], &[])).await, Ok(Vote::Yes));
        assert_eq!(world.held().await, 1);
        ask(&world, id, outcome).await;
        let committed = outcome == Outcome::Committed;
        assert_eq!(world.members(chat).await.len(), usize::from(committed));
        assert_eq!(world.held().await, 0);
        // What comes late, when it has asked, changes nothing.
        end(&well, id, committed).await.unwrap();
        assert_eq!(world.members(chat).await.len(), usize::from(committed));
    }
});
