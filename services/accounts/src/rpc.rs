//! What siblings ask of the accounts.

use std::collections::HashMap;
use std::sync::Arc;

use contracts::accounts::accounts_server::{Accounts as Service, AccountsServer};
use contracts::accounts::{
    EndChatReply, EndChatRequest, GetUsersReply, GetUsersRequest, PrepareChatReply,
    PrepareChatRequest, SessionStandsReply, SessionStandsRequest, User,
};
use mesh::Mesh;
use rest::{Problem, Timestamp};
use saga::StepError;
use saga::two_phase::{Participant, TxId, Vote};
use tonic::{Request, Response, Status};

use crate::change_members::{Change, HELD};
use crate::{Accounts, store};

/// The most ids one call may ask for.
const MOST: usize = 100;

struct Rpc(Arc<Accounts>);

/// The gRPC routes, also as the service that siblings of this process call.
pub(crate) fn routes(accounts: Arc<Accounts>, mesh: &Mesh) -> axum::Router {
    mesh.offer::<dyn Service>("accounts", Arc::new(Rpc(accounts.clone())));
    tonic::service::Routes::from(axum::Router::new())
        .add_service(AccountsServer::new(Rpc(accounts)))
        .into_axum_router()
}

#[tonic::async_trait]
impl Service for Rpc {
    async fn get_users(
        &self,
        request: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersReply>, Status> {
        let ids = request.into_inner().user_ids;
        if ids.len() > MOST {
            return Err(Problem::invalid_field("user_ids", "at most 100").into());
        }
        let found = store::by_ids(&self.0.db.read(), &ids).await.map_err(Problem::from)?;
        let found: HashMap<i64, &store::User> =
            found.iter().map(|user| (user.id().get(), user)).collect();
        let users = ids.iter().filter_map(|id| found.get(id)).map(|user| User {
            user_id: user.id().get(),
            username: if user.is_deleted() {
                contracts::DELETED_USER.to_owned()
            } else {
                user.username.clone()
            },
            deleted: user.is_deleted(),
        });
        Ok(Response::new(GetUsersReply { users: users.collect() }))
    }

    async fn session_stands(
        &self,
        request: Request<SessionStandsRequest>,
    ) -> Result<Response<SessionStandsReply>, Status> {
        let session = request.into_inner().session_id;
        // Of the primary: a replica may not have heard of the end.
        let db = self.0.db.read_primary();
        let stands = store::session_stands(&db, &session, Timestamp::now().0).await;
        Ok(Response::new(SessionStandsReply { stands: stands.map_err(Problem::from)? }))
    }

    async fn prepare_chat(
        &self,
        request: Request<PrepareChatRequest>,
    ) -> Result<Response<PrepareChatReply>, Status> {
        let request = request.into_inner();
        let tx = transaction(&request.tx)?;
        match self.0.members.prepare(tx, Change::read(request)?).await.map_err(status)? {
            Vote::Yes => Ok(Response::new(PrepareChatReply {})),
            Vote::No(problem) => Err(problem.into()),
        }
    }

    async fn end_chat(
        &self,
        request: Request<EndChatRequest>,
    ) -> Result<Response<EndChatReply>, Status> {
        let EndChatRequest { tx, commit } = request.into_inner();
        let (tx, members) = (transaction(&tx)?, &self.0.members);
        let ended = if commit { members.commit(tx).await } else { members.abort(tx).await };
        ended.map(|()| Response::new(EndChatReply {})).map_err(status)
    }
}

fn transaction(text: &str) -> Result<TxId, Problem> {
    text.parse().map_err(|error| Problem::invalid_field("tx", format!("{error}")))
}

/// As the coordinator tells errors apart: what may pass, and what may not.
fn status(error: StepError) -> Status {
    match error {
        StepError::Undo(problem) => problem.into(),
        // Not `unavailable`: that would open the circuit of an instance that is well.
        StepError::Retry(reason) if reason == HELD => Status::aborted(reason),
        StepError::Retry(reason) => Status::unavailable(reason),
    }
}
