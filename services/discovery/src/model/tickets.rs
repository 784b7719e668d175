//! Tickets: who was sent to which instance and has not said that it is done.

use std::collections::{BTreeMap, HashMap};

use crate::model::Millis;

/// An instance that was named, and the ticket for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) host: String,
    pub(crate) ticket: String,
    /// Counts the tickets, from 1.
    pub(crate) number: u64,
}

#[derive(Debug)]
struct Ticket {
    text: String,
    service: String,
    host: String,
    expires: Millis,
}

/// The open tickets: those given out here, and those that other registries tell of. All live
/// equally long, so their numbers are in the order of their ends.
#[derive(Debug)]
pub(crate) struct Tickets {
    open: BTreeMap<u64, Ticket>,
    /// The number of each.
    numbers: HashMap<String, u64>,
    last: u64,
    most: usize,
    life: Millis,
}

impl Tickets {
    pub(crate) fn new(most: usize, life: Millis) -> Self {
        Self { open: BTreeMap::new(), numbers: HashMap::new(), last: 0, most: most.max(1), life }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens a ticket; when there are as many as there may be, closes the oldest. `secret` makes it
    /// unguessable, and another one than any other registry gives out.
    pub(crate) fn open(
        &mut self,
        service: &str,
        host: &str,
        now: Millis,
        secret: u64,
        closed: impl FnMut(&str, &str),
    ) -> Handed {
        let text = format!("{:x}-{secret:016x}", self.last + 1);
        self.add(&text, service, host, now, closed);
        Handed { host: host.to_owned(), ticket: text, number: self.last }
    }

    /// A ticket that is open elsewhere; false if it is known.
    pub(crate) fn add(
        &mut self,
        text: &str,
        service: &str,
        host: &str,
        now: Millis,
        mut closed: impl FnMut(&str, &str),
    ) -> bool {
        if self.numbers.contains_key(text) {
            return false;
        }
        while self.open.len() >= self.most {
            let Some(oldest) = self.pop() else { break };
            closed(&oldest.service, &oldest.host);
        }
        self.last += 1;
        let ticket = Ticket {
            text: text.into(),
            service: service.into(),
            host: host.into(),
            expires: now + self.life,
        };
        self.numbers.insert(text.into(), self.last);
        self.open.insert(self.last, ticket);
        true
    }

    /// Closes a ticket; false if it is not open, or no ticket.
    pub(crate) fn close(&mut self, text: &str, closed: impl FnOnce(&str, &str)) -> bool {
        let Some(number) = self.numbers.remove(text) else { return false };
        self.open.remove(&number).is_some_and(|ticket| {
            closed(&ticket.service, &ticket.host);
            true
        })
    }

    /// Closes what is too old.
    pub(crate) fn expire(&mut self, now: Millis, mut closed: impl FnMut(&str, &str)) {
        while self.next_expiry().is_some_and(|expires| expires <= now)
            && let Some(ticket) = self.pop()
        {
            closed(&ticket.service, &ticket.host);
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        self.open.first_key_value().map(|(_, ticket)| ticket.expires)
    }

    /// Takes the oldest out.
    fn pop(&mut self) -> Option<Ticket> {
        let (_, oldest) = self.open.pop_first()?;
        self.numbers.remove(&oldest.text);
        Some(oldest)
    }
}
