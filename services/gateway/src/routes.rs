//! The routes: which path leads to which service, and under which conditions.
//!
//! They are a table in the configuration; the built-in rows stand in `routes.toml`. Invariant: a
//! table that was built has channels for all its rows, and finding a row allocates nothing.

mod compiled;
mod methods;

use serde::{Deserialize, Serialize};

pub(crate) use compiled::{Compiled, Page, Table, Target};
pub(crate) use methods::Methods;

/// One row of the table: `[[gateway.route]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The path: `/palettes/{id}` for one segment, `/bench/{*rest}` for all that follows.
    pub path: String,
    /// The service that answers, as it registers with `discovery`.
    pub service: String,
    /// The methods the path has (405 for others); empty: all. `GET` brings `HEAD`.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Types a body may have (415 for others). Left out: `application/json` for a service of
    /// Atelier, anything for an external one.
    #[serde(default)]
    pub types: Option<Vec<String>>,
    /// The most bytes of a body, in place of `gateway.max_body_bytes`.
    #[serde(default)]
    pub max_body_bytes: Option<u64>,
    /// How long the service may take, in place of `gateway.request_timeout_ms`.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// How an instance is chosen: `peak-ewma` (the default), `round-robin`, `least-connections`,
    /// `hash:HEADER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What becomes of a request whose token is not valid.
    #[serde(default)]
    pub stale_tokens: StaleTokens,
    /// A 201 from here counts as a sign-up.
    #[serde(default)]
    pub signs_up: bool,
    /// The path speaks WebSocket, and only that unless `methods` says more.
    #[serde(default)]
    pub socket: bool,
    /// The service is not one of Atelier's: it is told neither secrets nor tokens.
    #[serde(default)]
    pub external: bool,
    /// Whether and how its answers are cached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRule>,
}

/// What becomes of a request that carries a token which is not valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StaleTokens {
    /// 401; only a cookie on a read is passed over, so that no browser is locked out of what is
    /// public by a cookie it cannot drop.
    #[default]
    Refuse,
    /// The request goes on as anonymous: one signs in, renews or leaves here.
    Ignore,
}

/// How the answers of a route are cached. Only whole, public 200s to `GET` are, and they are
/// fetched without saying who asks, so that nobody sees what was meant for another.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheRule {
    /// How long, in milliseconds.
    pub ms: u64,
    /// What invalidations drop it by; `{name}` is the path's segment of that name.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether the answer depends on `Accept`.
    #[serde(default)]
    pub by_accept: bool,
    /// Whether callers who are signed in are always answered by the service itself.
    #[serde(default)]
    pub anonymous_only: bool,
}

/// What an event drops from the cache: `[[gateway.invalidate]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invalidation {
    /// The event's name; `*` at the end stands for anything.
    pub event: String,
    /// The tags it drops; `{key}` is the event's key.
    pub tags: Vec<String>,
}

/// The rows and rules that are built in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuiltIn {
    pub(crate) route: Vec<Route>,
    pub(crate) invalidate: Vec<Invalidation>,
}

impl BuiltIn {
    pub(crate) fn read() -> Result<Self, BadTable> {
        toml::from_str(include_str!("routes.toml")).map_err(|error| BadTable(error.to_string()))
    }
}

/// A table that cannot be used; the text names the row and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gateway routes: {0}")]
pub struct BadTable(pub(crate) String);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::Settings;
    use http::Method;
    use mesh::{Mesh, MeshSettings};

    fn table(more: &str) -> Result<Table, BadTable> {
        let settings: Settings = toml::from_str(more).unwrap();
        Table::build(&settings, &Mesh::new(MeshSettings::default()))
    }

    fn service<'a>(table: &'a Table, path: &str) -> Option<&'a str> {
        match &table.find(path)?.0.target {
            Target::Service { name, .. } => Some(name),
            Target::Page(_) => Some("gateway"),
        }
    }

    #[test]
    fn the_built_in_table_covers_the_contract() {
        let table = table("").unwrap();
        for (methods, path, to) in [
            ("POST", "/users/register", "accounts"),
            ("POST", "/users/login", "accounts"),
            ("GET PATCH DELETE", "/users/7", "accounts"),
            ("POST", "/register", "accounts"),
            ("POST", "/login", "accounts"),
            ("POST", "/signup", "accounts"),
            ("POST", "/refresh", "accounts"),
            ("POST", "/logout", "accounts"),
            ("POST", "/api/user", "accounts"),
            ("GET", "/.well-known/jwks.json", "accounts"),
            ("GET POST", "/palettes", "palettes"),
            ("GET PUT DELETE", "/palettes/7", "palettes"),
            ("GET", "/palettes/7/export/css", "palettes"),
            ("POST", "/palettes/extract", "palettes"),
            ("GET", "/popular", "popularity"),
            ("GET", "/popular/warm", "popularity"),
            ("POST DELETE", "/like", "popularity"),
            ("GET", "/recommendations", "popularity"),
            ("GET", "/ws/popularity", "popularity"),
            ("GET", "/ws/popularity/warm", "popularity"),
            ("GET POST", "/api/chat", "chat"),
            ("GET PATCH DELETE", "/api/chat/7", "chat"),
            ("POST", "/api/chat/7/participants", "chat"),
            ("DELETE", "/api/chat/7/participants/8", "chat"),
            ("GET POST", "/api/chat/7/message", "chat"),
            ("PATCH DELETE", "/api/chat/7/message/9", "chat"),
            ("GET", "/ws/chat", "chat"),
            ("GET POST", "/lobbies", "chat"),
            ("POST", "/lobbies/7/join", "chat"),
            ("POST", "/lobbies/7/leave", "chat"),
            ("GET POST", "/lobbies/7/messages", "chat"),
            ("GET", "/lobbies/7/members", "chat"),
            ("GET", "/ws/lobbies/7", "chat"),
            ("GET", "/healthz", "gateway"),
            ("GET", "/readyz", "gateway"),
            ("GET", "/status", "gateway"),
            ("GET", "/openapi.json", "gateway"),
        ] {
            assert_eq!(service(&table, path), Some(to), "{path}");
            let (row, _) = table.find(path).unwrap();
            for method in methods.split(' ') {
                assert!(row.methods.has(&method.parse().unwrap()), "{method} {path}");
            }
            let wrong = if methods.contains("PATCH") { Method::PUT } else { Method::PATCH };
            assert!(!row.methods.has(&wrong), "{wrong} {path}");
        }
    }

    #[test]
    fn what_is_private_or_unknown_has_no_row() {
        let table = table("").unwrap();
        for path in [
            "/",
            "/metrics",
            "/service",
            "/services",
            "/ticket",
            "/palettes/",
            "/palettes/7/x",
            "/popularity.v1.Popularity/Like",
        ] {
            assert_eq!(service(&table, path), None, "{path}");
        }
    }

    #[test]
    fn a_row_of_the_configuration_replaces_a_built_in_one() {
        let table = table(
            r#"
            [[route]]
            path = "/palettes/{palette}"
            service = "mine"
            methods = ["GET"]
            [[route]]
            path = "/bench/{*rest}"
            service = "bench"
            external = true
            "#,
        )
        .unwrap();
        assert_eq!(service(&table, "/palettes/7"), Some("mine"));
        assert_eq!(service(&table, "/bench/a/b"), Some("bench"));
        assert_eq!(service(&table, "/palettes"), Some("palettes"));
    }

    #[test]
    fn a_bad_row_is_named() {
        for (row, says) in [
            ("[[route]]\npath = '/a/{'\nservice = 'x'", "/a/{"),
            ("[[route]]\npath = '/a'\nservice = 'x'\nmethods = ['G T']", "G T"),
            ("[[route]]\npath = '/a'\nservice = 'x'\npolicy = 'best'", "best"),
            (
                "[[route]]\npath = '/a'\nservice = 'x'\ncache = { ms = 1, tags = ['t:{id}'] }",
                "{id}",
            ),
            ("[[route]]\npath = '/healthz'\nservice = 'x'", "/healthz"),
        ] {
            let error = table(row).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
