//! What siblings ask, and what other instances of chat tell.

use contracts::chat::chat_server;
use contracts::chat::{Decision, HearReply, HearRequest, OutcomeReply, OutcomeRequest};
use contracts::erasure::erasure_server::Erasure;
use contracts::erasure::{EraseReply, EraseRequest};
use contracts::ids::UserId;
use rest::Problem;
use saga::StepError;
use saga::two_phase::{Coordinator, Outcome, TxId};
use tonic::{Request, Response, Status};

use crate::Chat;
use crate::erase_user::erase_user;

#[tonic::async_trait]
impl chat_server::Chat for Chat {
    async fn outcome(
        &self,
        request: Request<OutcomeRequest>,
    ) -> Result<Response<OutcomeReply>, Status> {
        let tx: TxId = request
            .into_inner()
            .tx
            .parse()
            .map_err(|_| Status::invalid_argument("this is not the id of a transaction"))?;
        let outcome = self.sagas.outcome(tx).await.map_err(|error| match error {
            StepError::Retry(reason) => Status::unavailable(reason),
            StepError::Undo(problem) => problem.into(),
        })?;
        let decision = match outcome {
            Outcome::Undecided => Decision::Undecided,
            Outcome::Committed => Decision::Committed,
            Outcome::Aborted => Decision::Aborted,
        };
        Ok(Response::new(OutcomeReply { decision: decision.into() }))
    }

    async fn hear(&self, request: Request<HearRequest>) -> Result<Response<HearReply>, Status> {
        self.peers.hear(&self.live, request.into_inner());
        Ok(Response::new(HearReply {}))
    }
}

#[tonic::async_trait]
impl Erasure for Chat {
    /// Takes the user out of every room, and their name off what they said.
    async fn erase(&self, request: Request<EraseRequest>) -> Result<Response<EraseReply>, Status> {
        let user = UserId::new(request.into_inner().user_id);
        erase_user(&self.store, user).await.map_err(Problem::from)?;
        Ok(Response::new(EraseReply {}))
    }
}
