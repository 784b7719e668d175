//! Deleting accounts.

use contracts::accounts::accounts_client::AccountsClient;
use contracts::accounts::{GetUsersRequest, User};
use data::DataSettings;
use serde_json::json;
use testkit::on_each_engine;

use crate::house::House;

on_each_engine!(a_deleted_account_is_gone_everywhere, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (owner, id) = house.signed_up("Mario", "swordfish").await;
    let refresh = owner.cookie("refreshToken").unwrap();
    let elsewhere = house.browser();
    elsewhere.post("/login", json!({"name": "Mario", "password": "swordfish"})).await.expect(200);
    let path = format!("/users/{id}");

    let answer = owner.delete(&path).await.expect(200).json();
    assert_eq!(answer, json!({"message": "User deleted successfully"}));
    assert!(owner.jar.lock().unwrap().is_empty(), "the cookies are cleared");
    assert_eq!(house.palettes.erased(), [id.get()]);
    assert_eq!(house.popularity.erased(), [id.get()]);
    assert_eq!(house.chat.erased(), [id.get()]);

    house.browser().get(&path).await.problem(404);
    house
        .browser()
        .post("/login", json!({"name": "Mario", "password": "swordfish"}))
        .await
        .problem(401);
    house.browser().post("/refresh", json!({"refreshToken": refresh})).await.problem(401);
    // A token that is still believed changes nothing any more.
    elsewhere.patch(&path, json!({"bio": "still here"})).await.problem(404);
    elsewhere.delete(&path).await.problem(404);
    assert_eq!(
        house.events("account.deleted.v1", 1).await[0].payload,
        json!({"user_id": id.to_string()})
    );
    assert_eq!(house.events("session.revoked.v1", 2).await.len(), 2);

    // Nothing of the person is left, but nobody gets the name.
    let left =
        "users WHERE email IS NOT NULL OR password_hash IS NOT NULL OR username <> 'deleted user'";
    assert_eq!(house.count(left).await, 0);
    assert_eq!(house.count("sessions").await, 0);
    assert_eq!(house.count("refresh_tokens").await, 0);
    for name in ["Mario", "mario", "Mаrio"] {
        house
            .browser()
            .post("/signup", json!({"name": name, "password": "swordfish"}))
            .await
            .problem(409);
    }
});

on_each_engine!(owners_and_staff_may_delete, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (_, id) = house.signed_up("Mario", "swordfish").await;
    let (other, _) = house.signed_up("Luigi", "swordfish").await;
    let path = format!("/users/{id}");
    house.browser().delete(&path).await.problem(401);
    other.delete(&path).await.problem(403);
    other.delete("/users/999999").await.problem(404);
    assert_eq!(house.palettes.erased(), Vec::<i64>::new());
    accounts::create_user(&house.db, "root", "swordfish", true).await.unwrap();
    let staff = house.browser();
    staff.post("/login", json!({"name": "root", "password": "swordfish"})).await.expect(200);
    staff.delete(&path).await.expect(200);
    assert!(staff.caller().await.is_some(), "who deletes another stays signed in");
    staff.delete(&path).await.problem(404);
});

on_each_engine!(what_cannot_be_erased_now_is_erased_later, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (owner, id) = house.signed_up("Mario", "swordfish").await;
    house.popularity.set_down(true);
    owner.delete(&format!("/users/{id}")).await.expect(200);
    assert!(house.palettes.erased().contains(&id.get()), "one that is down keeps nobody else");
    assert!(house.chat.erased().contains(&id.get()));
    // Never half: for everybody the account is gone, and its traces wait for the sibling.
    house.browser().get(&format!("/users/{id}")).await.problem(404);
    house
        .browser()
        .post("/login", json!({"name": "Mario", "password": "swordfish"}))
        .await
        .problem(401);
    assert_eq!(house.popularity.erased(), Vec::<i64>::new());
    assert_eq!(house.events("account.deleted.v1", 1).await.len(), 1);
    house.popularity.set_down(false);
    testkit::eventually("the sibling has erased it", || async {
        house.popularity.erased() == [id.get()]
    })
    .await;
    testkit::eventually("the row is anonymous", || async {
        house.count("users WHERE username = 'deleted user'").await == 1
    })
    .await;
});

on_each_engine!(two_who_delete_one_account_do_it_once, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (owner, id) = house.signed_up("Mario", "swordfish").await;
    let path = format!("/users/{id}");
    let deletes = (0..6).map(|_| {
        let (owner, path) = (owner.clone(), path.clone());
        async move { owner.delete(&path).await.status.as_u16() }
    });
    let answers = futures::future::join_all(deletes).await;
    assert!(
        answers.contains(&200) && answers.iter().all(|status| matches!(status, 200 | 404)),
        "{answers:?}"
    );
    assert_eq!(house.events("account.deleted.v1", 1).await.len(), 1);
});

on_each_engine!(siblings_learn_names, |settings: DataSettings| async move {
    let house = House::new(&settings).await;
    let (_, mario) = house.signed_up("Mario", "swordfish").await;
    let (luigi, gone) = house.signed_up("Luigi", "swordfish").await;
    luigi.delete(&format!("/users/{gone}")).await.expect(200);
    house.mesh.install("accounts", house.router.clone());
    let mut client = AccountsClient::new(house.mesh.channel("accounts"));
    let ids = vec![gone.get(), 999_999, mario.get(), 0, -1, mario.get()];
    let users =
        client.get_users(GetUsersRequest { user_ids: ids }).await.unwrap().into_inner().users;
    let named =
        |id: i64, name: &str, deleted| User { user_id: id, username: name.to_owned(), deleted };
    let known = named(mario.get(), "Mario", false);
    assert_eq!(users, [named(gone.get(), "deleted user", true), known.clone(), known]);
    let none =
        client.get_users(GetUsersRequest { user_ids: vec![] }).await.unwrap().into_inner().users;
    assert!(none.is_empty());
    let many = client.get_users(GetUsersRequest { user_ids: vec![1; 101] }).await.unwrap_err();
    assert_eq!(many.code(), tonic::Code::InvalidArgument);
});
