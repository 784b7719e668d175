//! A popularity service for tests: keeps everything in memory and fails on demand.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use contracts::popularity::popularity_server::{Popularity, PopularityServer};
use contracts::popularity::{
    Count, CountsReply, CountsRequest, RegisterReply, RegisterRequest, WithdrawReply,
    WithdrawRequest,
};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// How a call goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As it should.
    #[default]
    Well,
    /// Nothing happens.
    Down,
    /// It happens, but the answer is lost.
    Lost,
    /// It is refused for good.
    Refused,
    /// It never answers.
    Silent,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    pub(crate) owner: i64,
    pub(crate) category: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) likes: i64,
    pub(crate) views: i64,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) items: HashMap<i64, Item>,
    /// For the next changes, in turn; after them `changes` holds.
    pub(crate) script: VecDeque<Answer>,
    pub(crate) changes: Answer,
    pub(crate) counts: Answer,
    /// How many calls for counts there were.
    pub(crate) asked: usize,
}

#[derive(Clone, Default)]
pub(crate) struct FakePopularity(Arc<Mutex<Inner>>);

impl FakePopularity {
    pub(crate) fn get(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The items it knows, in order.
    pub(crate) fn known(&self) -> Vec<i64> {
        let mut known: Vec<i64> = self.get().items.keys().copied().collect();
        known.sort_unstable();
        known
    }

    pub(crate) fn item(&self, id: i64) -> Option<Item> {
        self.get().items.get(&id).cloned()
    }

    pub(crate) fn router(&self) -> Router {
        Routes::from(Router::new())
            .add_service(PopularityServer::new(self.clone()))
            .into_axum_router()
    }

    async fn change(&self, change: impl FnOnce(&mut HashMap<i64, Item>)) -> Result<(), Status> {
        let answer = {
            let mut inner = self.get();
            let answer = inner.script.pop_front().unwrap_or(inner.changes);
            if matches!(answer, Answer::Well | Answer::Lost) {
                change(&mut inner.items);
            }
            answer
        };
        answered(answer).await
    }
}

async fn answered(answer: Answer) -> Result<(), Status> {
    match answer {
        Answer::Well => Ok(()),
        Answer::Down | Answer::Lost => Err(Status::unavailable("as the test wants it")),
        Answer::Refused => Err(Status::invalid_argument("as the test wants it")),
        Answer::Silent => std::future::pending().await,
    }
}

#[tonic::async_trait]
impl Popularity for FakePopularity {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterReply>, Status> {
        let asked = request.into_inner();
        assert_eq!(asked.kind, contracts::Kind::Palette.number());
        let register = |items: &mut HashMap<i64, Item>| {
            let item = items.entry(asked.item_id).or_default();
            item.owner = asked.owner;
            item.category = asked.category;
            item.created_at = asked.created_at;
        };
        self.change(register).await?;
        Ok(Response::new(RegisterReply {}))
    }

    async fn withdraw(
        &self,
        request: Request<WithdrawRequest>,
    ) -> Result<Response<WithdrawReply>, Status> {
        let id = request.into_inner().item_id;
        self.change(|items| drop(items.remove(&id))).await?;
        Ok(Response::new(WithdrawReply {}))
    }

    async fn counts(
        &self,
        request: Request<CountsRequest>,
    ) -> Result<Response<CountsReply>, Status> {
        let asked = request.into_inner();
        let (answer, counts) = {
            let mut inner = self.get();
            inner.asked += 1;
            let count = |id: &i64| {
                let item = inner.items.get_mut(id);
                let (likes, views) = item.map_or((0, 0), |item| {
                    item.views += i64::from(asked.view);
                    (item.likes, item.views)
                });
                Count { item_id: *id, likes, views }
            };
            let counts = asked.item_ids.iter().map(count).collect();
            (inner.counts, counts)
        };
        answered(answer).await?;
        Ok(Response::new(CountsReply { counts }))
    }
}
