//! Which chats accounts are in, as chat tells it in two-phase commits.

use std::sync::atomic::Ordering;

use contracts::accounts::accounts_client::AccountsClient;
use contracts::accounts::{EndChatRequest, PrepareChatRequest};
use contracts::chat::Decision;
use data::{DataError, DataSettings, Database, Sql, Tx, values};
use events::Log;
use http::Method;
use ids::UserId;
use mesh::Channel;
use rest::Problem;
use serde_json::{Value, json};
use testkit::{PostgresPair, engine_or_skip, eventually, on_each_engine};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::house::{Browser, House, quick};

/// A transaction of chat's, and how it is told to the accounts.
#[derive(Clone)]
struct Change {
    client: AccountsClient<Channel>,
    request: PrepareChatRequest,
}

impl Change {
    async fn prepare(&self) -> Result<(), Status> {
        self.client.clone().prepare_chat(self.request.clone()).await.map(drop)
    }

    async fn end(&self, commit: bool) -> Result<(), Status> {
        let tx = self.request.tx.clone();
        self.client.clone().end_chat(EndChatRequest { tx, commit }).await.map(drop)
    }

    async fn carried_out(self) -> Self {
        self.prepare().await.unwrap();
        self.end(true).await.unwrap();
        self
    }

    async fn refused(&self) -> Problem {
        self.prepare().await.unwrap_err().into()
    }
}

/// The house as chat sees it.
struct Chat(AccountsClient<Channel>);

impl Chat {
    fn beside(house: &House) -> Self {
        house.mesh.install("accounts", house.router.clone());
        Self(AccountsClient::new(house.mesh.channel("accounts")))
    }

    fn change(&self, chat_id: i64, asker: UserId, add: &[UserId], remove: &[UserId]) -> Change {
        let ids = |users: &[UserId]| users.iter().map(|user| user.get()).collect();
        let request = PrepareChatRequest {
            tx: format!("{}.0", Uuid::new_v4()),
            chat_id,
            asker: asker.get(),
            add: ids(add),
            remove: ids(remove),
        };
        Change { client: self.0.clone(), request }
    }
}

/// What an account's owner is shown of it.
async fn chats(owner: &Browser, id: UserId) -> Value {
    owner.get(&format!("/users/{id}")).await.expect(200).json()["chats"].clone()
}

/// How many rows tell of chats, and how many hold something.
async fn rows(house: &House) -> (i64, i64) {
    (house.count("user_chats").await, house.count("held_chats").await)
}

on_each_engine!(a_chat_is_shown_once_it_is_committed, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let (luigi, l) = house.signed_up("Luigi", "swordfish").await;

    let create = chat.change(7, m, &[l, m], &[]);
    for _ in 0..3 {
        create.prepare().await.unwrap();
    }
    assert_eq!((chats(&mario, m).await, chats(&luigi, l).await), (json!([]), json!([])));
    assert_eq!(rows(&house).await, (0, 2));
    for _ in 0..3 {
        create.end(true).await.unwrap();
    }
    assert_eq!((chats(&mario, m).await, chats(&luigi, l).await), (json!(["7"]), json!(["7"])));
    assert_eq!(rows(&house).await, (2, 0));
    // What has ended is neither prepared once more nor ended otherwise.
    assert_eq!(create.refused().await.status(), 409);
    assert_eq!(create.end(false).await.unwrap_err().code(), Code::FailedPrecondition);

    // By their numbers, and not by their digits.
    chat.change(11, l, &[l, m], &[]).carried_out().await;
    chat.change(3, m, &[m], &[]).carried_out().await;
    assert_eq!(chats(&mario, m).await, json!(["3", "7", "11"]));
    let leave = chat.change(7, l, &[], &[l]);
    leave.prepare().await.unwrap();
    assert_eq!(chats(&luigi, l).await, json!(["7", "11"]));
    leave.end(true).await.unwrap();
    assert_eq!(chats(&luigi, l).await, json!(["11"]));
    assert_eq!(chats(&mario, m).await, json!(["3", "7", "11"]));
});

on_each_engine!(chats_are_shown_to_their_members_alone, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let (luigi, l) = house.signed_up("Luigi", "swordfish").await;
    accounts::create_user(&house.db, "root", "swordfish", true).await.unwrap();
    let staff = house.browser();
    staff.post("/login", json!({"name": "root", "password": "swordfish"})).await.expect(200);
    let path = format!("/users/{m}");
    let before = mario.get(&path).await.expect(200);
    chat.change(7, m, &[m, l], &[]).carried_out().await;

    for reader in [&luigi, &staff, &house.browser()] {
        let seen = reader.get(&path).await.expect(200).json();
        assert!(seen.get("chats").is_none(), "{seen}");
    }
    let tag = before.header("etag");
    let now = mario.send(Method::GET, &path, None, &[("if-none-match", tag)]).await.expect(200);
    assert_eq!(now.json()["chats"], json!(["7"]));
    let changed = mario.patch(&path, json!({"bio": "Plumber"})).await.expect(200).json();
    assert_eq!(changed["chats"], json!(["7"]));
    assert_eq!(mario.get(&path).await.expect(200).json(), changed);
});

on_each_engine!(an_aborted_change_leaves_nothing, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let (_, l) = house.signed_up("Luigi", "swordfish").await;
    let create = chat.change(7, m, &[m, l], &[]);
    create.prepare().await.unwrap();
    for _ in 0..3 {
        create.end(false).await.unwrap();
    }
    assert_eq!(rows(&house).await, (0, 0));
    assert_eq!(create.refused().await.status(), 409);
    assert_eq!(create.end(true).await.unwrap_err().code(), Code::FailedPrecondition);

    // Told to abort before it was asked, or instead.
    let late = chat.change(7, m, &[m, l], &[]);
    late.end(false).await.unwrap();
    assert_eq!(late.refused().await.status(), 409);
    assert_eq!(rows(&house).await, (0, 0));

    chat.change(7, m, &[m, l], &[]).carried_out().await;
    let leave = chat.change(7, m, &[], &[m, l]);
    leave.prepare().await.unwrap();
    leave.end(false).await.unwrap();
    assert_eq!(chats(&mario, m).await, json!(["7"]));
    assert_eq!(rows(&house).await, (2, 0));
});

on_each_engine!(who_asks_lives_and_is_in_the_chat, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (_, m) = house.signed_up("Mario", "swordfish").await;
    let (_, l) = house.signed_up("Luigi", "swordfish").await;
    let (wario, w) = house.signed_up("Wario", "swordfish").await;
    let create = chat.change(7, m, &[m], &[]).carried_out().await;
    assert_eq!(create.request.asker, m.get());

    for (asker, chat_id) in [(w, 7), (m, 8), (999_999.into(), 7), (0.into(), 7), ((-1).into(), 7)] {
        for (add, remove) in [(&[l][..], &[][..]), (&[], &[m]), (&[], &[asker]), (&[], &[])] {
            let refused = chat.change(chat_id, asker, add, remove);
            assert_eq!(refused.refused().await.status(), 403, "{:?}", refused.request);
            // A no holds nothing, and is told to abort all the same.
            assert_eq!(house.count("held_chats").await, 0);
            refused.end(false).await.unwrap();
        }
    }
    chat.change(7, m, &[w], &[]).carried_out().await;
    chat.change(7, w, &[l], &[m]).carried_out().await;
    // But whoever adds themselves: chat is to know whether they may.
    chat.change(7, m, &[m], &[]).carried_out().await;
    wario.delete(&format!("/users/{w}")).await.expect(200);
    assert_eq!(chat.change(7, w, &[], &[l]).refused().await.status(), 403);
    assert_eq!(chat.change(9, w, &[w], &[]).refused().await.status(), 403);
});

on_each_engine!(who_is_being_added_is_waited_for, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (_, m) = house.signed_up("Mario", "swordfish").await;
    let (_, l) = house.signed_up("Luigi", "swordfish").await;
    let create = chat.change(7, m, &[m], &[]);
    create.prepare().await.unwrap();
    // The chat may be there already for whoever made it, and its commit on the way.
    let invite = chat.change(7, m, &[l], &[]);
    assert_eq!(invite.prepare().await.unwrap_err().code(), Code::Aborted);
    create.end(true).await.unwrap();
    invite.carried_out().await;
    assert_eq!(rows(&house).await, (2, 0));
});

on_each_engine!(who_is_added_lives, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let (luigi, l) = house.signed_up("Luigi", "swordfish").await;
    luigi.delete(&format!("/users/{l}")).await.expect(200);
    for nobody in [l, 999_999.into(), 0.into(), (-7).into()] {
        let refused = chat.change(7, m, &[m, nobody], &[]);
        let reason = format!("there is no user {nobody}");
        assert_eq!(refused.refused().await, Problem::invalid_field("participants", reason));
        assert_eq!(refused.prepare().await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(rows(&house).await, (0, 0), "all or nobody");
    }
    chat.change(7, m, &[m], &[]).carried_out().await;
    // Who goes need not be anybody.
    let gone = [l, 999_999.into(), (-7).into(), 0.into()];
    chat.change(7, m, &[], &gone).carried_out().await;
    assert_eq!(chats(&mario, m).await, json!(["7"]));
    assert_eq!(rows(&house).await, (1, 0));
});

on_each_engine!(one_in_one_chat_is_held_by_one_at_a_time, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let (luigi, l) = house.signed_up("Luigi", "swordfish").await;
    let (_, p) = house.signed_up("Peach", "swordfish").await;
    chat.change(7, m, &[m], &[]).carried_out().await;

    for commit in [true, false] {
        let first = chat.change(7, m, &[l], &[]);
        first.prepare().await.unwrap();
        for other in [
            chat.change(7, m, &[l], &[]),
            chat.change(7, m, &[p, l], &[]),
            chat.change(7, m, &[], &[l]),
        ] {
            assert_eq!(other.prepare().await.unwrap_err().code(), Code::Aborted);
            assert_eq!(house.count("held_chats").await, 1, "nothing of it is held");
        }
        // Another account, and another chat, are free.
        chat.change(7, m, &[p], &[]).carried_out().await;
        chat.change(8, m, &[m, l], &[]).carried_out().await;
        first.end(commit).await.unwrap();
        let expected = if commit { json!(["7", "8"]) } else { json!(["8"]) };
        assert_eq!(chats(&luigi, l).await, expected);
        chat.change(7, m, &[], &[l, p]).carried_out().await;
        assert_eq!(chats(&luigi, l).await, json!(["8"]));
    }
    // Whoever is in it comes in no second time, and goes once.
    chat.change(8, m, &[m, l], &[]).carried_out().await;
    chat.change(8, m, &[l, l, l], &[p, p]).carried_out().await;
    assert_eq!(rows(&house).await, (3, 0));
    chat.change(8, m, &[], &[l]).carried_out().await;
    chat.change(8, m, &[], &[l]).carried_out().await;
    assert_eq!((chats(&mario, m).await, chats(&luigi, l).await), (json!(["7", "8"]), json!([])));

    // However many want the same at once, it is one, and nobody waits for another in a circle.
    let all = [m, l, p];
    let asks = (0..24).map(|n| {
        let mut add = all.to_vec();
        add.rotate_left(n % 3);
        let change = chat.change(9, all[n % 3], &add, &[]);
        async move { change.prepare().await.map_err(|status| status.code()) }
    });
    let answers = futures::future::join_all(asks).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(Code::Aborted))));
});

on_each_engine!(what_can_never_be_is_refused, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let (_, l) = house.signed_up("Luigi", "swordfish").await;
    let change = chat.change(7, m, &[m], &[]);
    for tx in ["", "1", "x.1", "00000000-0000-0000-0000-000000000007", "';--.0"] {
        let request = PrepareChatRequest { tx: tx.into(), ..change.request.clone() };
        let odd = Change { request, ..change.clone() };
        assert_eq!(odd.prepare().await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(odd.end(true).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(odd.end(false).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let many = vec![m; 1_001];
    for refused in [
        chat.change(7, m, &many, &[]),
        chat.change(7, m, &[m], &vec![l; 1_001]),
        chat.change(0, m, &[m], &[]),
        chat.change(-1, m, &[m], &[]),
        chat.change(7, m, &[m, l], &[l]),
    ] {
        assert_eq!(refused.prepare().await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(house.count("prepared").await, 0);

    let sql = "INSERT INTO users (username, created_at) VALUES ($1, 0) RETURNING id";
    let crowd: Result<Vec<UserId>, DataError> = house
        .db
        .write(move |tx: &Tx| {
            Box::pin(async move {
                let mut crowd = vec![m];
                for n in 1..1_000 {
                    let row = tx.row(sql, values![format!("toad-{n}")]).await?;
                    crowd.push(row.map(|(id,): (i64,)| id.into()).unwrap());
                }
                Ok(crowd)
            })
        })
        .await;
    let crowd = crowd.unwrap();
    chat.change(i64::MAX, m, &crowd, &[]).carried_out().await;
    assert_eq!(rows(&house).await, (1_000, 0));
    assert_eq!(chats(&mario, m).await, json!([i64::MAX.to_string()]));
    chat.change(i64::MAX, m, &[], &crowd).carried_out().await;
    assert_eq!(rows(&house).await, (0, 0));
});

on_each_engine!(who_is_told_nothing_asks_chat, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let make_due = async || {
        let sql = "UPDATE prepared SET due_at = 0";
        house.db.write(move |tx: &Tx| Box::pin(tx.run(sql, values![]))).await.unwrap();
    };
    let asked_again = async |what: &str| {
        let before = house.outcomes.asked.load(Ordering::SeqCst);
        make_due().await;
        eventually(what, || async { house.outcomes.asked.load(Ordering::SeqCst) > before }).await;
    };
    chat.change(7, m, &[m], &[]).prepare().await.unwrap();
    asked_again("chat is asked, which is away").await;
    house.outcomes.say(Decision::Undecided);
    asked_again("it is asked again, and has not decided").await;
    house.outcomes.say(7);
    asked_again("it is asked again, and says what is not known here").await;
    assert_eq!((chats(&mario, m).await, rows(&house).await), (json!([]), (0, 1)));
    house.outcomes.say(Decision::Committed);
    make_due().await;
    eventually("it is committed", || async { chats(&mario, m).await == json!(["7"]) }).await;

    chat.change(8, m, &[m], &[]).prepare().await.unwrap();
    house.outcomes.say(Decision::Aborted);
    make_due().await;
    eventually("it is aborted", || async { rows(&house).await == (1, 0) }).await;
    assert_eq!(chats(&mario, m).await, json!(["7"]));
});

on_each_engine!(any_instance_hears_how_it_ends, |settings: DataSettings| async move {
    let one = House::new(&settings).await;
    let two = House::on(one.db.clone(), one.log.clone(), quick()).await;
    let (here, there) = (Chat::beside(&one), Chat::beside(&two));
    let (mario, m) = one.signed_up("Mario", "swordfish").await;
    let create = here.change(7, m, &[m], &[]);
    create.prepare().await.unwrap();
    let same = Change { client: there.0.clone(), request: create.request.clone() };
    same.prepare().await.unwrap();
    assert_eq!(there.change(7, m, &[m], &[]).prepare().await.unwrap_err().code(), Code::Aborted);
    same.end(true).await.unwrap();
    create.end(true).await.unwrap();
    assert_eq!(chats(&mario, m).await, json!(["7"]));
});

on_each_engine!(a_deleted_account_is_in_no_chat, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let chat = Chat::beside(&house);
    let (mario, m) = house.signed_up("Mario", "swordfish").await;
    let (luigi, l) = house.signed_up("Luigi", "swordfish").await;
    chat.change(7, m, &[m, l], &[]).carried_out().await;
    let late = chat.change(8, m, &[m, l], &[]);
    late.prepare().await.unwrap();
    luigi.delete(&format!("/users/{l}")).await.expect(200);
    eventually("it is erased", || async {
        house.count(&format!("users WHERE id = {l} AND username = 'deleted user'")).await == 1
    })
    .await;
    assert_eq!(house.count(&format!("user_chats WHERE user_id = {l}")).await, 0);
    late.end(true).await.unwrap();
    assert_eq!(rows(&house).await, (2, 0));
    assert_eq!(chats(&mario, m).await, json!(["7", "8"]));

    // And with both at once, in whatever order.
    for round in 0..12 {
        let (peach, p) = house.signed_up(&format!("Peach-{round}"), "swordfish").await;
        let invite = chat.change(7, m, &[p], &[]);
        invite.prepare().await.unwrap();
        let path = format!("/users/{p}");
        let (gone, ended) = tokio::join!(peach.delete(&path), invite.end(true));
        gone.expect(200);
        ended.unwrap();
        eventually("nothing is left", || async {
            house.count(&format!("user_chats WHERE user_id = {p}")).await == 0
                && house.count("held_chats").await == 0
        })
        .await;
    }
});

#[test]
fn a_replica_that_lags_hides_no_chat() {
    testkit::run(async {
        let pair = engine_or_skip!(PostgresPair::start().await);
        let db = Database::open(&pair.database("accounts").await, accounts::MIGRATIONS).await;
        let log = DataSettings { replicas: vec![], ..pair.database("log").await };
        let log = Log::open(&log).await.unwrap();
        let house = House::on(db.unwrap(), log, quick()).await;
        let chat = Chat::beside(&house);
        let (mario, m) = house.signed_up("Mario", "swordfish").await;
        pair.caught_up().await;
        eventually("the replica is read from", async || {
            let row = house.db.read().row("SELECT pg_is_in_recovery()", values![]).await;
            row.unwrap() == Some((true,))
        })
        .await;
        pair.replica().execute("SELECT pg_wal_replay_pause()").await;
        // It is chat that writes: nobody reads more carefully for Mario's sake.
        chat.change(7, m, &[m], &[]).carried_out().await;
        assert_eq!(chats(&mario, m).await, json!(["7"]));
    });
}
