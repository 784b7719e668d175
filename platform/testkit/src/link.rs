//! A way to the PostgreSQL of a test that can be cut.

use std::ops::Deref;

use data::DataSettings;

use crate::postgres::Shared;
use crate::proxy::{Proxy, Target};

/// A [`Proxy`] before a test's database.
pub struct Link {
    name: String,
    proxy: Proxy,
}

impl Link {
    /// A way to the database of a test that [`crate::run_on_postgres`] runs.
    pub async fn to(settings: &DataSettings) -> Self {
        let server = Shared::running().expect("the settings are of a database on it");
        let proxy = Proxy::leading(Target::Unix(server.socket())).await;
        Self { name: server.name_of(settings), proxy }
    }

    /// The same database, by this way.
    #[must_use]
    pub fn settings(&self) -> DataSettings {
        let at = self.address();
        DataSettings::postgres(format!("postgres://postgres@{at}/{}", self.name))
    }
}

impl Deref for Link {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}
