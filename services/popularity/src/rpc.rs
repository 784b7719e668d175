//! What siblings ask: register, withdraw, count, erase.

use std::sync::Arc;

use auth::Principal;
use contracts::Kind;
use contracts::erasure::erasure_server::Erasure;
use contracts::erasure::{EraseReply, EraseRequest};
use contracts::popularity::popularity_server::Popularity;
use contracts::popularity::{
    Count, CountsReply, CountsRequest, RegisterReply, RegisterRequest, WithdrawReply,
    WithdrawRequest,
};
use data::DataError;
use rest::Problem;
use tonic::{Request, Response, Status};

use crate::Service;
use crate::counts::{Tally, Viewer};
use crate::model::Item;
use crate::shards::Shard;

/// So many items are counted at once.
const MOST: usize = 100;

#[tonic::async_trait]
impl Popularity for Service {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterReply>, Status> {
        let RegisterRequest { kind, item_id, owner, category, created_at } = request.into_inner();
        let item = Item { kind: known(kind)?, id: item_id };
        if category.as_ref().is_some_and(|category| category.contains('\0')) {
            return Err(Status::invalid_argument("a category must not contain NUL"));
        }
        let register = |shard: &Shard| {
            let (store, category) = (shard.store().cloned(), category.clone());
            async move {
                let store = store?;
                let db = store.db().clone();
                let write = db.write::<_, DataError, _>(move |tx| {
                    Box::pin(
                        async move { store.register(tx, item, owner, category, created_at).await },
                    )
                });
                write.await
            }
        };
        let state = self.shards.at_home(item, register).await.map_err(Problem::from)?;
        // None: it was withdrawn meanwhile, and stays so.
        if let Some(state) = state {
            self.counts.changed(item, &state);
            self.rankings.changed();
        }
        Ok(Response::new(RegisterReply {}))
    }

    async fn withdraw(
        &self,
        request: Request<WithdrawRequest>,
    ) -> Result<Response<WithdrawReply>, Status> {
        let WithdrawRequest { kind, item_id } = request.into_inner();
        let item = Item { kind: known(kind)?, id: item_id };
        self.withdraw_item(item).await.map_err(Problem::from)?;
        Ok(Response::new(WithdrawReply {}))
    }

    async fn counts(
        &self,
        request: Request<CountsRequest>,
    ) -> Result<Response<CountsReply>, Status> {
        let CountsRequest { kind, item_ids, view } = request.into_inner();
        if item_ids.len() > MOST {
            return Err(Status::invalid_argument("at most 100 items at once"));
        }
        let viewer = view.then(|| Viewer(Principal::current().map(|caller| caller.user.get())));
        let tallies =
            self.counts.of(known(kind)?, &item_ids, viewer).await.map_err(Problem::from)?;
        let count = |(item_id, tally): (i64, Option<Arc<Tally>>)| {
            let (likes, views) = tally.map_or((0, 0), |tally| (tally.likes, tally.views));
            Count { item_id, likes, views }
        };
        let counts = item_ids.into_iter().zip(tallies).map(count).collect();
        Ok(Response::new(CountsReply { counts }))
    }
}

#[tonic::async_trait]
impl Erasure for Service {
    async fn erase(&self, request: Request<EraseRequest>) -> Result<Response<EraseReply>, Status> {
        let user = request.into_inner().user_id;
        self.erase_user(user).await.map_err(Problem::from)?;
        Ok(Response::new(EraseReply {}))
    }
}

fn known(kind: i32) -> Result<Kind, Status> {
    Kind::from_number(kind).ok_or_else(|| Status::invalid_argument("an item has a kind"))
}
