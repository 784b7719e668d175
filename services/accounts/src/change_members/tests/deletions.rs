//! Deletions at every point of a change, and in the middle of its transactions.

use super::*;

/// Asks for a change of a chat in which one stays, because of somebody who is deleted.
type Asked = fn(RoomId, UserId, UserId) -> Change;

on_each_engine!(a_deletion_at_any_point_leaves_nothing, |settings: DataSettings| async move {
    let world = World::new(&settings).await;
    let (well, stays) = (world.instance(None), world.new_user().await);
    // And how it is refused once the account is closed.
    let ways: [(&str, Asked, Option<u16>); 4] = [
        ("added", |chat, stays, goes| change(chat, stays, &[goes], &[]), Some(422)),
        ("adds itself", |chat, _, goes| change(chat, goes, &[goes], &[]), Some(403)),
        ("adds both", |chat, stays, goes| change(chat, goes, &[goes, stays], &[]), Some(403)),
        ("removed", |chat, stays, goes| change(chat, stays, &[], &[goes]), None),
    ];
    // After how many of the change's two messages the account is closed, and erased.
    let times = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)];
    for (way, asked, refusal) in ways {
        for (closed_after, erased_after) in times {
            for commit in [true, false] {
                let tale = format!("{way}, {closed_after}, {erased_after}, {commit}");
                let (goes, chat, id) = (world.new_user().await, world.new_chat(), new_tx());
                world.seat(chat, &[stays]).await;
                world.seat(world.new_chat(), &[goes]).await;
                if way == "removed" {
                    world.seat(chat, &[stays, goes]).await;
                }
                let mut voted = true;
                for told in 0..=2 {
                    if told == 1 {
                        let vote = well.prepare(id, asked(chat, stays, goes)).await.unwrap();
                        let refused = match &vote {
                            Vote::No(problem) => Some(problem.status().as_u16()),
                            Vote::Yes => None,
                        };
                        assert_eq!(refused, refusal.filter(|_| closed_after == 0), "{tale}");
                        voted = vote == Vote::Yes;
                    } else if told == 2 {
                        end(&well, id, commit && voted).await.unwrap();
                    }
                    if closed_after == told {
                        close(&world.db, goes).await;
                    }
                    if erased_after == told {
                        erase(&world.db, goes).await;
                    }
                }
                assert_eq!(world.chats(goes).await, [], "{tale}");
                assert_eq!(world.members(chat).await, [stays.get()], "{tale}");
                assert_eq!(world.held().await, 0, "{tale}");
            }
        }
    }
});

on_each_engine!(a_deletion_waits_for_a_commit_under_way, |settings: DataSettings| async move {
    let world = World::new(&settings).await;
    let (stays, goes, chat) = (world.new_user().await, world.new_user().await, world.new_chat());
    let id = new_tx();
    let asked = move || change(chat, stays, &[stays, goes], &[]);
    assert_eq!(world.instance(None).prepare(id, asked()).await, Ok(Vote::Yes));
    let members = Members::new(world.db.engine());
    let committing = Halted::after(&world.db, move |tx| {
        Box::pin(async move { members.commit(tx, id, &asked()).await.unwrap() })
    })
    .await;
    let db = world.db.clone();
    let deletion = tokio::spawn(async move {
        close(&db, goes).await;
        erase(&db, goes).await;
    });
    comes_to_a_lock(&world.db, &deletion).await;
    committing.go_on().await;
    deletion.await.unwrap();
    assert_eq!(world.members(chat).await, [stays.get()]);
});

on_each_engine!(a_commit_waits_for_a_deletion_under_way, |settings: DataSettings| async move {
    let world = World::new(&settings).await;
    let (stays, goes, chat) = (world.new_user().await, world.new_user().await, world.new_chat());
    let (id, well) = (new_tx(), world.instance(None));
    let asked = change(chat, stays, &[stays, goes], &[]);
    assert_eq!(well.prepare(id, asked).await, Ok(Vote::Yes));
    let closing = Halted::after(&world.db, move |tx| {
        Box::pin(async move { assert_eq!(store::close(tx, goes, 1).await, Ok(true)) })
    })
    .await;
    let commit = tokio::spawn(async move { well.commit(id).await.unwrap() });
    comes_to_a_lock(&world.db, &commit).await;
    closing.go_on().await;
    commit.await.unwrap();
    assert_eq!(world.members(chat).await, [stays.get()]);
});
