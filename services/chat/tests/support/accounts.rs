//! An accounts service for tests: keeps everything in memory and fails on demand.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use contracts::accounts::accounts_server::{Accounts, AccountsServer};
use contracts::accounts::{
    EndChatReply, EndChatRequest, GetUsersReply, GetUsersRequest, PrepareChatReply,
    PrepareChatRequest, SessionStandsReply, SessionStandsRequest, User,
};
use rest::Problem;
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
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) people: BTreeMap<i64, String>,
    /// Who is in which chat, as (chat, user).
    pub(crate) chats: BTreeSet<(i64, i64)>,
    prepared: HashMap<String, PrepareChatRequest>,
    ended: HashMap<String, bool>,
    /// For the next messages of two-phase commits, in turn; after them all is well.
    pub(crate) script: VecDeque<Answer>,
    /// Nobody is told who is who.
    pub(crate) silent: bool,
}

#[derive(Clone, Default)]
pub(crate) struct FakeAccounts(Arc<Mutex<Inner>>);

impl FakeAccounts {
    pub(crate) fn get(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// How many transactions are prepared.
    pub(crate) fn prepared(&self) -> Vec<String> {
        self.get().prepared.keys().cloned().collect()
    }

    /// As the coordinator's answer to one in doubt.
    pub(crate) fn end(&self, tx: &str, commit: bool) {
        self.get().end(tx, commit).unwrap();
    }

    pub(crate) fn router(&self) -> Router {
        Routes::from(Router::new())
            .add_service(AccountsServer::new(self.clone()))
            .into_axum_router()
    }

    fn act(&self, act: impl FnOnce(&mut Inner) -> Result<(), Status>) -> Result<(), Status> {
        let mut inner = self.get();
        let answer = inner.script.pop_front().unwrap_or_default();
        let lost = Err(Status::unavailable("as the test wants it"));
        match answer {
            Answer::Well => act(&mut inner),
            Answer::Down => lost,
            Answer::Lost => act(&mut inner).and(lost),
        }
    }
}

impl Inner {
    fn prepare(&mut self, asked: PrepareChatRequest) -> Result<(), Status> {
        if self.ended.contains_key(&asked.tx) {
            return Err(Problem::conflict("this transaction has ended").into());
        }
        let chat = asked.chat_id;
        let is_in = self.chats.contains(&(chat, asked.asker)) || asked.add.contains(&asked.asker);
        if !is_in || !self.people.contains_key(&asked.asker) {
            return Err(Problem::forbidden("not in this chat").into());
        }
        if let Some(gone) = asked.add.iter().find(|user| !self.people.contains_key(user)) {
            let reason = format!("there is no user {gone}");
            return Err(Problem::invalid_field("participants", reason).into());
        }
        let pairs = |r: &PrepareChatRequest| -> BTreeSet<(i64, i64)> {
            r.add.iter().chain(&r.remove).map(|user| (r.chat_id, *user)).collect()
        };
        let held = self.prepared.values().filter(|other| other.tx != asked.tx);
        if held.into_iter().any(|other| !pairs(other).is_disjoint(&pairs(&asked))) {
            return Err(Status::unavailable("held by another"));
        }
        self.prepared.insert(asked.tx.clone(), asked);
        Ok(())
    }

    fn end(&mut self, tx: &str, commit: bool) -> Result<(), Status> {
        let before = *self.ended.entry(tx.to_owned()).or_insert(commit);
        assert_eq!(before, commit, "a decision has changed");
        let Some(asked) = self.prepared.remove(tx) else { return Ok(()) };
        if commit {
            for user in asked.add {
                self.chats.insert((asked.chat_id, user));
            }
            for user in asked.remove {
                self.chats.remove(&(asked.chat_id, user));
            }
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Accounts for FakeAccounts {
    async fn get_users(
        &self,
        request: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersReply>, Status> {
        let inner = self.get();
        if inner.silent {
            return Err(Status::unavailable("as the test wants it"));
        }
        let user = |id: i64| {
            let username = inner.people.get(&id)?.clone();
            Some(User { user_id: id, username, deleted: false })
        };
        let users = request.into_inner().user_ids.into_iter().filter_map(user).collect();
        Ok(Response::new(GetUsersReply { users }))
    }

    async fn session_stands(
        &self,
        _: Request<SessionStandsRequest>,
    ) -> Result<Response<SessionStandsReply>, Status> {
        Ok(Response::new(SessionStandsReply { stands: true }))
    }

    async fn prepare_chat(
        &self,
        request: Request<PrepareChatRequest>,
    ) -> Result<Response<PrepareChatReply>, Status> {
        self.act(|inner| inner.prepare(request.into_inner()))?;
        Ok(Response::new(PrepareChatReply {}))
    }

    async fn end_chat(
        &self,
        request: Request<EndChatRequest>,
    ) -> Result<Response<EndChatReply>, Status> {
        let EndChatRequest { tx, commit } = request.into_inner();
        self.act(|inner| inner.end(&tx, commit))?;
        Ok(Response::new(EndChatReply {}))
    }
}
