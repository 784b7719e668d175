//! A participant with a database of its own, which votes as it is told.

use super::*;
use crate::two_phase::{MIGRATIONS, Resource};

/// What the participant looks after.
pub(super) struct Store;

impl Resource for Store {
    /// Whether it may vote yes.
    type Payload = bool;
    const NAME: &'static str = "store";

    async fn prepare(&self, tx: &Tx, id: TxId, yes: &bool) -> Result<(), StepError> {
        // Written before it is refused: the transaction must take it back.
        write_down(tx, id, "1 held").await?;
        if *yes { Ok(()) } else { Err(Problem::conflict("no").into()) }
    }

    async fn commit(&self, tx: &Tx, id: TxId, yes: &bool) -> Result<(), StepError> {
        assert!(*yes);
        write_down(tx, id, "2 done").await
    }

    async fn abort(&self, tx: &Tx, id: TxId, yes: &bool) -> Result<(), StepError> {
        assert!(*yes);
        write_down(tx, id, "2 given back").await
    }
}

pub(super) struct Site {
    pub(super) db: Database,
    settings: Settings,
}

impl Site {
    pub(super) async fn build(settings: &DataSettings, own: Settings) -> Self {
        let db = Database::open(settings, &[MIGRATIONS, EFFECTS]).await.unwrap();
        Self { db, settings: own }
    }

    /// As a process has it that dies as `faults` say.
    pub(super) fn process(&self, faults: Option<Faults>) -> Participation<Store> {
        let settings = Settings { faults, ..self.settings.clone() };
        Participation::new(self.db.clone(), Store, settings)
    }

    /// What stands in the table, and the effects.
    pub(super) async fn seen(&self, id: TxId) -> (Option<String>, Vec<String>) {
        let sql = "SELECT status FROM prepared WHERE id = $1";
        let row: Option<(String,)> =
            self.db.read().row(sql, values![id.to_string()]).await.unwrap();
        (row.map(|(status,)| status), effects(&self.db, id).await)
    }
}
