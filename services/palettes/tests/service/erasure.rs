//! The deletion of an account.

use contracts::erasure::EraseRequest;
use contracts::erasure::erasure_client::ErasureClient;
use contracts::events::PaletteDeleted;
use data::DataSettings;
use serde_json::json;
use testkit::{eventually, on_each_engine};

use crate::popularity::Answer;
use crate::world::{ANNA, World, ids};

on_each_engine!(
    every_palette_of_the_account_goes_and_none_comes_after,
    |settings: DataSettings| async move {
        let world = World::new(settings).await;
        for _ in 0..130 {
            world.some().await;
        }
        let theirs = world
            .ben()
            .post("/palettes", json!({"color_codes": ["#FFF"]}))
            .await
            .expect(201)
            .json();
        let cached =
            format!("/palettes/{}", ids(&world.client.get("/palettes?user_id=1").await.json())[0]);
        world.client.get(&cached).await.expect(200);
        let erase = || {
            let mut rpc = ErasureClient::new(world.mesh.channel("palettes"));
            async move { rpc.erase(EraseRequest { user_id: ANNA }).await }
        };
        // Twice; and popularity need not be there.
        world.popularity.get().changes = Answer::Down;
        erase().await.unwrap();
        erase().await.unwrap();
        assert_eq!(
            ids(&world.client.get("/palettes?limit=100").await.json()),
            ids(&json!([theirs]))
        );
        world.client.get(&cached).await.expect(404);
        world.popularity.get().changes = Answer::Well;
        eventually("popularity forgets them", || async {
            world.popularity.known() == ids(&json!([theirs]))
        })
        .await;
        eventually("the others are told", || async {
            world.told::<PaletteDeleted>().await.len() == 130
        })
        .await;
        assert_eq!(world.rows("palette_colors").await, 1);
        // A token that has not been revoked everywhere yet makes nothing more.
        world.anna().post("/palettes", json!({"color_codes": ["#FFF"]})).await.expect(401);
    }
);

on_each_engine!(a_creation_under_way_is_not_left_behind, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let creations = (0..40).map(|_| {
        let anna = world.anna();
        async move { anna.post("/palettes", json!({"color_codes": ["#FFF"]})).await.status.as_u16() }
    });
    let erase = async {
        tokio::task::yield_now().await;
        let mut rpc = ErasureClient::new(world.mesh.channel("palettes"));
        rpc.erase(EraseRequest { user_id: ANNA }).await
    };
    let (statuses, erased) = tokio::join!(futures::future::join_all(creations), erase);
    erased.unwrap();
    assert!(statuses.iter().all(|status| [201, 401].contains(status)), "{statuses:?}");
    eventually("nothing is left", || async {
        world.rows("palettes").await == 0 && world.popularity.known().is_empty()
    })
    .await;
});
