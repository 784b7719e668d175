//! What siblings ask over gRPC.

use contracts::palettes::GetManyRequest;
use data::DataSettings;
use serde_json::json;
use testkit::on_each_engine;

use crate::world::{World, id};

on_each_engine!(many_are_given_in_the_order_asked_for, |settings: DataSettings| async move {
    let world = World::new(settings).await;
    let mut made = Vec::new();
    for n in 0..30 {
        made.push(id(&world.create(json!({"color_codes": ["#FFF", "#00000080"], "name": format!("n{n}"), "category": "c"})).await));
    }
    let get = |palette_ids: Vec<i64>| {
        let mut rpc = world.rpc();
        async move {
            rpc.get_many(GetManyRequest { palette_ids })
                .await
                .map(|reply| reply.into_inner().palettes)
        }
    };
    assert!(get(vec![]).await.unwrap().is_empty());
    // Twice: from the tables, and from memory.
    for _ in 0..2 {
        let asked = vec![made[7], 999_999, made[2], made[29], 0, -5, made[7]];
        let found = get(asked).await.unwrap();
        assert_eq!(
            found.iter().map(|one| one.palette_id).collect::<Vec<_>>(),
            [made[7], made[2], made[29], made[7]]
        );
        assert_eq!(found[0].color_codes, ["#FFFFFF", "#00000080"]);
        assert_eq!(
            (found[0].name.as_deref(), found[0].category.as_deref(), found[0].user_id),
            (Some("n7"), Some("c"), 1)
        );
        let all = get(made.clone()).await.unwrap();
        assert_eq!(all.len(), 30);
    }
    world.anna().delete(&format!("/palettes/{}", made[2])).await.expect(204);
    world.anna().put(&format!("/palettes/{}", made[7]), json!({"name": "new"})).await.expect(200);
    let found = get(vec![made[2], made[7]]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name.as_deref(), Some("new"));
    assert_eq!(get(vec![1; 101]).await.unwrap_err().code(), tonic::Code::InvalidArgument);
});
