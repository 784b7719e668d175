//! What all connections of the gateway share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mesh::Mesh;

use crate::cache::ResponseCache;
use crate::cors::Cors;
use crate::fresh::Freshness;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::pages::Document;
use crate::routes::{BadTable, Table};
use crate::settings::Settings;
use crate::slow::Watch;
use crate::sockets::Sockets;
use crate::standing::Standing;

/// Everything but the connections themselves.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) table: Table,
    pub(crate) mesh: Mesh,
    pub(crate) keys: Keys,
    pub(crate) standing: Standing,
    pub(crate) limits: Limits,
    pub(crate) cache: Option<ResponseCache>,
    pub(crate) freshness: Freshness,
    pub(crate) cors: Cors,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) openapi: Document,
    pub(crate) ready: Readiness,
    /// Connections there are, sockets among them.
    pub(crate) open: Arc<AtomicUsize>,
}

impl Shared {
    pub(crate) fn new(
        settings: Settings,
        mesh: Mesh,
        standing: Standing,
        openapi: String,
    ) -> Result<Self, BadTable> {
        Ok(Self {
            table: Table::build(&settings, &mesh)?,
            keys: Keys::new(mesh.channel("accounts")),
            standing,
            mesh,
            limits: Limits::new(&settings.limits),
            cache: (settings.cache_bytes > 0).then(|| ResponseCache::new(settings.cache_bytes)),
            freshness: Freshness::new(settings.fresh()),
            cors: Cors::new(&settings.cors),
            sockets: Arc::default(),
            watch: Arc::new(Watch::new(&settings)),
            openapi: Document::json(openapi),
            ready: Readiness::default(),
            open: Arc::default(),
            settings,
        })
    }

    /// What is missing until requests can be served; empty when they can.
    pub(crate) fn waits_for(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.ready.draining.load(Ordering::Acquire) {
            missing.push("the gateway is stopping".to_owned());
        }
        if !self.keys.are_known() {
            missing.push("the keys of accounts".to_owned());
        }
        if !self.ready.caught_up.load(Ordering::Acquire) {
            missing.push("the event log".to_owned());
        }
        missing.extend(self.services_not_seen());
        missing
    }

    /// The services that have had no healthy instance yet. Once all were there the gateway stays
    /// ready: one service that is down must not take the others with it.
    fn services_not_seen(&self) -> Vec<String> {
        if self.ready.all_seen.load(Ordering::Acquire) {
            return Vec::new();
        }
        let views = self.mesh.instances();
        let is_there = |name: &String| {
            views.iter().any(|view| {
                view.service == *name && (view.local || view.instances.iter().any(|i| i.healthy))
            })
        };
        let missing: Vec<_> =
            self.table.services.iter().filter(|name| !is_there(name)).cloned().collect();
        if missing.is_empty() {
            self.ready.all_seen.store(true, Ordering::Release);
        }
        missing
    }
}

/// Whether requests can be served.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    caught_up: AtomicBool,
    all_seen: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// The log has been read up to where it ended when the gateway began.
    pub(crate) fn caught_up(&self) {
        self.caught_up.store(true, Ordering::Release);
    }

    /// The process stops.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}
