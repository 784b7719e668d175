//! Single flight: of those who miss the same key at once, one asks and all get the answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Entry;

/// How a call for all ended.
#[derive(Clone)]
pub(crate) enum Landing {
    /// With an answer for all.
    Shared(Arc<Entry>),
    /// With one that is nobody else's business: everybody asks for themselves.
    Alone,
    /// With none.
    Failed(mesh::Error),
}

type Board = Arc<Mutex<HashMap<Box<str>, watch::Receiver<Option<Landing>>>>>;

/// The calls under way.
#[derive(Default)]
pub(crate) struct Flights {
    board: Board,
}

/// A place on a call.
pub(crate) enum Flight {
    /// Yours to make.
    Lead(Lead),
    /// Somebody else's.
    Follow(watch::Receiver<Option<Landing>>),
}

/// The duty to make a call. Dropped without [`Lead::land`], everybody asks for themselves.
pub(crate) struct Lead {
    board: Board,
    key: Box<str>,
    landed: watch::Sender<Option<Landing>>,
}

impl Flights {
    pub(crate) fn board(&self, key: &str) -> Flight {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = board.get(key) {
            return Flight::Follow(under_way.clone());
        }
        let (landed, follow) = watch::channel(None);
        board.insert(key.into(), follow);
        Flight::Lead(Lead { board: self.board.clone(), key: key.into(), landed })
    }
}

impl Lead {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Tells those who wait.
    pub(crate) fn land(self, landing: Landing) {
        self.landed.send_replace(Some(landing));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Waits for somebody else's call.
pub(crate) async fn wait(mut follow: watch::Receiver<Option<Landing>>) -> Landing {
    match follow.wait_for(Option::is_some).await {
        Ok(landing) => landing.clone().unwrap_or(Landing::Alone),
        Err(_) => Landing::Alone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_leads_and_the_others_follow() {
        let flights = Flights::default();
        let Flight::Lead(lead) = flights.board("a") else { panic!("nobody was there") };
        let Flight::Follow(follow) = flights.board("a") else { panic!("somebody leads") };
        assert!(matches!(flights.board("b"), Flight::Lead(_)));
        drop(lead);
        assert!(matches!(wait(follow).await, Landing::Alone));
        assert!(matches!(flights.board("a"), Flight::Lead(_)), "the next one leads");
    }
}
