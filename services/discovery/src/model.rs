//! The registry as rules: no clock, no IO. Time is given in milliseconds since it began.

mod name;
mod tickets;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use name::service_name;
pub(crate) use tickets::{Handed, Tickets};

/// Milliseconds since the registry began.
pub(crate) type Millis = u64;

/// How long an instance lives after a heartbeat. It should send one every second.
pub(crate) const TTL: Millis = 3_000;

/// How long a registry that has started does not know yet whom it does not know.
pub(crate) const WARM_UP: Millis = TTL;

/// What an instance says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registration {
    /// `host:port`.
    pub(crate) host: String,
    pub(crate) version: String,
    pub(crate) weight: u32,
    pub(crate) zone: String,
}

/// An instance that is alive.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) said: Registration,
    /// The last heartbeat: since the registry began, and by the calendar.
    beat: Millis,
    pub(crate) beat_at: i64,
    /// Whether another registry told of it.
    hearsay: bool,
    /// Open tickets, and when the last one was given out, counted in tickets.
    tickets: u32,
    last_ticket: u64,
}

/// A service, also one whose instances are all gone.
#[derive(Debug, Default)]
struct Service {
    instances: BTreeMap<String, Instance>,
    /// When the last instance went.
    empty_since: Millis,
}

/// How much a registry takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) services: usize,
    pub(crate) instances: usize,
    pub(crate) tickets: usize,
    pub(crate) ticket_life: Millis,
}

/// There are as many services or instances as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Why no instance can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoInstance {
    /// Nobody has ever registered that name.
    Unknown,
    /// All its instances are gone.
    NoneHealthy,
}

/// Who runs where.
#[derive(Debug)]
pub(crate) struct Registry {
    bounds: Bounds,
    services: BTreeMap<String, Service>,
    tickets: Tickets,
    /// Distinguishes this run from the one before.
    epoch: u64,
    changes: u64,
    warm: bool,
    /// Other registries cannot be heard: what they keep alive is not known to be dead.
    deaf: bool,
}

/// Who has heard a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Here,
    Elsewhere,
}

impl Registry {
    /// An empty registry; `random` makes its index differ from that of the run before.
    pub(crate) fn new(bounds: Bounds, random: u64) -> Self {
        // 20 bits, and below 32 for the changes: a double holds the index exactly.
        let epoch = (random % (1 << 20)) << 32;
        let tickets = Tickets::new(bounds.tickets, bounds.ticket_life);
        Self {
            bounds,
            services: BTreeMap::new(),
            tickets,
            epoch,
            changes: 1,
            warm: false,
            deaf: false,
        }
    }

    /// Changes whenever what [`Registry::list`] gives changes, but for heartbeats.
    pub(crate) fn index(&self) -> u64 {
        self.epoch + self.changes
    }

    /// Whether there may be instances that have had no time to register.
    pub(crate) fn is_warming(&self) -> bool {
        !self.warm
    }

    /// Every service with its instances, by name and address.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &Instance>)> {
        self.services.iter().map(|(name, service)| (name.as_str(), service.instances.values()))
    }

    /// A registration or a heartbeat: there is no difference.
    pub(crate) fn register(
        &mut self,
        name: &str,
        said: Registration,
        now: Millis,
        at: i64,
        heard: Heard,
    ) -> Result<(), Full> {
        let hearsay = heard == Heard::Elsewhere;
        if !self.knows(name, &said.host) {
            self.make_room(name)?;
        }
        let service = self.services.entry(name.to_owned()).or_default();
        let changed = match service.instances.get_mut(&said.host) {
            Some(instance) => {
                instance.beat = now;
                instance.beat_at = at;
                instance.hearsay = hearsay;
                let changed = instance.said != said;
                instance.said = said;
                changed
            }
            None => {
                let host = said.host.clone();
                let new =
                    Instance { said, beat: now, beat_at: at, hearsay, tickets: 0, last_ticket: 0 };
                service.instances.insert(host, new);
                true
            }
        };
        self.changes += u64::from(changed);
        Ok(())
    }

    fn knows(&self, name: &str, host: &str) -> bool {
        self.services.get(name).is_some_and(|s| s.instances.contains_key(host))
    }

    /// Room for one more instance; the name that has been empty longest is forgotten for a new one.
    fn make_room(&mut self, name: &str) -> Result<(), Full> {
        let instances: usize = self.services.values().map(|s| s.instances.len()).sum();
        if instances >= self.bounds.instances {
            return Err(Full);
        }
        if self.services.contains_key(name) || self.services.len() < self.bounds.services {
            return Ok(());
        }
        let empty = self.services.iter().filter(|(_, s)| s.instances.is_empty());
        let oldest = empty.min_by_key(|(_, s)| s.empty_since).map(|(name, _)| name.clone());
        self.services.remove(&oldest.ok_or(Full)?);
        Ok(())
    }

    /// An instance leaves; false if it was not there.
    pub(crate) fn leave(&mut self, name: &str, host: &str, now: Millis) -> bool {
        let left = self.services.get_mut(name).is_some_and(|service| {
            service.empty_since = now;
            service.instances.remove(host).is_some()
        });
        self.changes += u64::from(left);
        left
    }

    /// Drops what has missed its heartbeats, and ends the warm-up. True if that changed anything.
    pub(crate) fn expire(&mut self, now: Millis) -> bool {
        let (before, deaf) = (self.changes, self.deaf);
        for (name, service) in &mut self.services {
            let count = service.instances.len();
            service.instances.retain(|_, i| i.is_alive(now, deaf));
            if service.instances.len() < count {
                tracing::info!(
                    service = name,
                    left = service.instances.len(),
                    "instances missed their heartbeats"
                );
                service.empty_since = now;
                self.changes += 1;
            }
        }
        if !self.warm && now >= WARM_UP {
            self.warm = true;
            self.changes += 1;
        }
        let Self { tickets, services, .. } = self;
        tickets.expire(now, |service, host| give_back(services, service, host));
        self.changes != before
    }

    /// When [`Registry::expire`] has something to do next.
    pub(crate) fn next_expiry(&self) -> Option<Millis> {
        let instances = self.services.values().flat_map(|s| s.instances.values());
        let mortal = instances.filter(|i| !(self.deaf && i.hearsay));
        let deaths = mortal.map(|i| i.beat + TTL);
        deaths.chain((!self.warm).then_some(WARM_UP)).chain(self.tickets.next_expiry()).min()
    }

    /// Names the instance with the fewest open tickets, of several the one asked longest ago, and
    /// opens a ticket for it; `secret` makes the ticket unguessable.
    pub(crate) fn hand_out(
        &mut self,
        name: &str,
        now: Millis,
        secret: u64,
    ) -> Result<Handed, NoInstance> {
        let service = self.services.get_mut(name).ok_or(NoInstance::Unknown)?;
        let deaf = self.deaf;
        let alive = service.instances.values_mut().filter(|i| i.is_alive(now, deaf));
        let least =
            alive.min_by_key(|i| (i.tickets, i.last_ticket)).ok_or(NoInstance::NoneHealthy)?;
        let host = least.said.host.clone();
        let Self { tickets, services, .. } = self;
        let close = |service: &str, host: &str| give_back(services, service, host);
        let handed = tickets.open(name, &host, now, secret, close);
        if let Some(instance) = services.get_mut(name).and_then(|s| s.instances.get_mut(&host)) {
            instance.tickets += 1;
            instance.last_ticket = handed.number;
        }
        Ok(handed)
    }

    /// Closes a ticket; false if it is not open.
    pub(crate) fn close(&mut self, ticket: &str) -> bool {
        let Self { tickets, services, .. } = self;
        tickets.close(ticket, |service, host| give_back(services, service, host))
    }

    /// A ticket that another registry has given out: it counts here too.
    pub(crate) fn opened(&mut self, ticket: &str, service: &str, host: &str, now: Millis) {
        let Self { tickets, services, .. } = self;
        let close = |service: &str, host: &str| give_back(services, service, host);
        if tickets.add(ticket, service, host, now, close)
            && let Some(instance) =
                services.get_mut(service).and_then(|s| s.instances.get_mut(host))
        {
            instance.tickets += 1;
        }
    }

    /// Other registries cannot be heard any more. What they have told of stays until they can.
    pub(crate) fn lose_touch(&mut self) {
        self.deaf = true;
    }

    /// Other registries can be heard again, and have a heartbeat's life to tell who lives.
    pub(crate) fn regain_touch(&mut self, now: Millis) {
        if std::mem::replace(&mut self.deaf, false) {
            let instances = self.services.values_mut().flat_map(|s| s.instances.values_mut());
            instances.filter(|i| i.hearsay).for_each(|i| i.beat = now);
        }
    }

    /// Every instance whose last heartbeat was heard here, with its service.
    pub(crate) fn heard_here(&self) -> impl Iterator<Item = (&str, &Instance)> {
        let all = self.list().flat_map(|(name, instances)| instances.map(move |i| (name, i)));
        all.filter(|(_, instance)| !instance.hearsay)
    }

    /// Open tickets.
    pub(crate) fn open_tickets(&self) -> usize {
        self.tickets.len()
    }
}

impl Instance {
    fn is_alive(&self, now: Millis, deaf: bool) -> bool {
        now < self.beat + TTL || (deaf && self.hearsay)
    }
}

/// A ticket of an instance was closed; the instance may be gone, or be another one by now.
fn give_back(services: &mut BTreeMap<String, Service>, name: &str, host: &str) {
    if let Some(instance) = services.get_mut(name).and_then(|s| s.instances.get_mut(host)) {
        instance.tickets = instance.tickets.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
