//! Chat, as accounts use it: it knows how the two-phase commits stand that it coordinates.

use contracts::chat::{ChatStub, Decision, OutcomeRequest};
use mesh::{Channel, Mesh};
use saga::StepError;
use saga::two_phase::{Coordinator, Outcome, TxId};

/// A client of the sibling.
pub(crate) struct Chat(ChatStub<Channel>);

impl Chat {
    pub(crate) fn new(mesh: &Mesh) -> Self {
        Self(ChatStub::new(mesh.channel("chat")))
    }
}

impl Coordinator for Chat {
    async fn outcome(&self, tx: TxId) -> Result<Outcome, StepError> {
        let reply = self.0.outcome(OutcomeRequest { tx: tx.to_string() }).await?.into_inner();
        match Decision::try_from(reply.decision) {
            Ok(Decision::Undecided) => Ok(Outcome::Undecided),
            Ok(Decision::Committed) => Ok(Outcome::Committed),
            Ok(Decision::Aborted) => Ok(Outcome::Aborted),
            // Of a newer version; nothing is guessed.
            Err(unknown) => Err(StepError::Retry(unknown.to_string())),
        }
    }
}
