//! Tickets: who was sent to which instance and has not said that it is done.

use std::collections::BTreeMap;

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
    secret: u64,
    service: String,
    host: String,
    expires: Millis,
}

/// The open tickets. All live equally long, so their numbers are in the order of their ends.
#[derive(Debug)]
pub(crate) struct Tickets {
    open: BTreeMap<u64, Ticket>,
    last: u64,
    most: usize,
    life: Millis,
}

impl Tickets {
    pub(crate) fn new(most: usize, life: Millis) -> Self {
        Self { open: BTreeMap::new(), last: 0, most: most.max(1), life }
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens a ticket; when there are as many as there may be, closes the oldest.
    pub(crate) fn open(
        &mut self,
        service: &str,
        host: &str,
        now: Millis,
        secret: u64,
        mut closed: impl FnMut(&str, &str),
    ) -> Handed {
        while self.open.len() >= self.most {
            let Some((_, oldest)) = self.open.pop_first() else { break };
            closed(&oldest.service, &oldest.host);
        }
        self.last += 1;
        let ticket =
            Ticket { secret, service: service.into(), host: host.into(), expires: now + self.life };
        self.open.insert(self.last, ticket);
        let ticket = format!("{:x}-{secret:016x}", self.last);
        Handed { host: host.to_owned(), ticket, number: self.last }
    }

    /// Closes a ticket; false if it is not open, or no ticket.
    pub(crate) fn close(&mut self, text: &str, closed: impl FnOnce(&str, &str)) -> bool {
        let Some((number, secret)) = read(text) else { return false };
        if self.open.get(&number).is_none_or(|t| t.secret != secret) {
            return false;
        }
        self.open.remove(&number).is_some_and(|ticket| {
            closed(&ticket.service, &ticket.host);
            true
        })
    }

    /// Closes what is too old.
    pub(crate) fn expire(&mut self, now: Millis, mut closed: impl FnMut(&str, &str)) {
        while let Some(oldest) = self.open.first_entry()
            && oldest.get().expires <= now
        {
            let ticket = oldest.remove();
            closed(&ticket.service, &ticket.host);
        }
    }

    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        self.open.first_key_value().map(|(_, ticket)| ticket.expires)
    }
}

fn read(text: &str) -> Option<(u64, u64)> {
    let (number, secret) = text.split_once('-')?;
    let hex = |part: &str| u64::from_str_radix(part, 16).ok();
    (secret.len() == 16).then_some((hex(number)?, hex(secret)?))
}
