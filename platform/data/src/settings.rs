//! Where a database is and how many connections it may have.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// The engines a database can stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// A file on this machine, shared by the processes of this machine.
    Sqlite,
    /// A server, with replicas or without.
    Postgres,
}

impl Engine {
    /// The name used in metrics and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Where a database is and how many connections it may have.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`.
    pub primary: String,
    /// PostgreSQL servers that follow the primary; reads that may lag go to them in turn.
    pub replicas: Vec<String>,
    /// The most connections that write. SQLite has one writer whatever this says.
    pub pool: u32,
    /// The most connections that only read, to the primary and to each replica.
    pub readers: u32,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self { primary: String::new(), replicas: Vec::new(), pool: 8, readers: 4 }
    }
}

impl DataSettings {
    /// A SQLite database in the file at `path`.
    #[must_use]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self { primary: format!("sqlite:{}", path.as_ref().display()), ..Self::default() }
    }

    /// A PostgreSQL database without replicas.
    #[must_use]
    pub fn postgres(url: impl Into<String>) -> Self {
        Self { primary: url.into(), ..Self::default() }
    }

    /// The engine that `primary` names.
    ///
    /// # Errors
    /// [`DataError::Startup`] when it is neither.
    pub fn engine(&self) -> Result<Engine, DataError> {
        if self.primary.starts_with("sqlite:") {
            Ok(Engine::Sqlite)
        } else if ["postgres://", "postgresql://"].iter().any(|s| self.primary.starts_with(s)) {
            Ok(Engine::Postgres)
        } else {
            Err(DataError::Startup(format!(
                "`{}` is no database: write `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/NAME`",
                masked(&self.primary)
            )))
        }
    }
}

impl fmt::Debug for DataSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSettings")
            .field("primary", &masked(&self.primary))
            .field("replicas", &self.replicas.iter().map(|r| masked(r)).collect::<Vec<_>>())
            .field("pool", &self.pool)
            .field("readers", &self.readers)
            .finish()
    }
}

/// The address without its password and its parameters, for messages.
pub(crate) fn masked(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(before, _)| before);
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            let user = url[scheme + 3..at].split(':').next().unwrap_or_default();
            format!("{}{}@{}", &url[..scheme + 3], user, &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let settings = DataSettings::postgres("postgres://me:se:cr@t@db:5432/shop?x=secret");
        let shown = format!("{settings:?}");
        assert!(shown.contains("postgres://me@db:5432/shop"), "{shown}");
        assert!(!shown.contains("cr@") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_engine_follows_from_the_address() {
        assert_eq!(DataSettings::sqlite("a.db").engine().unwrap(), Engine::Sqlite);
        assert_eq!(DataSettings::postgres("postgresql://h/n").engine().unwrap(), Engine::Postgres);
        let error = DataSettings::postgres("mysql://h/n").engine().unwrap_err();
        assert!(error.to_string().contains("mysql://h/n"), "{error}");
    }
}
