//! The table as requests find it: every row with its channel, its limits and its meters.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderName;
use matchit::{Params, Router};
use mesh::{Channel, Mesh, Policy};

use super::{BadTable, BuiltIn, CacheRule, Invalidation, Methods, Route, StaleTokens};
use crate::measure::RouteMeters;
use crate::settings::Settings;

/// A page that the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Healthz,
    Readyz,
    Status,
    OpenApi,
}

const PAGES: [(&str, Page); 4] = [
    ("/healthz", Page::Healthz),
    ("/readyz", Page::Readyz),
    ("/status", Page::Status),
    ("/openapi.json", Page::OpenApi),
];

/// Who answers a path.
pub(crate) enum Target {
    Service { name: Box<str>, channel: Channel },
    Page(Page),
}

/// One row, ready for requests.
pub(crate) struct Compiled {
    pub(crate) target: Target,
    pub(crate) methods: Methods,
    /// Types a body may have, lower case; empty: any.
    pub(crate) types: Box<[Box<str>]>,
    pub(crate) max_body_bytes: u64,
    pub(crate) timeout: Duration,
    pub(crate) stale_tokens: StaleTokens,
    pub(crate) signs_up: bool,
    pub(crate) socket: bool,
    pub(crate) external: bool,
    pub(crate) cache: Option<CacheRule>,
    pub(crate) meters: RouteMeters,
}

/// All rows.
pub(crate) struct Table {
    rows: Router<Compiled>,
    pub(crate) invalidations: Vec<Invalidation>,
    /// The services of Atelier that rows lead to.
    pub(crate) services: Vec<String>,
    /// What requests are counted under that no row matches.
    pub(crate) unmatched: RouteMeters,
}

impl Table {
    /// The built-in rows, those of the configuration, and the gateway's own pages.
    pub(crate) fn build(settings: &Settings, mesh: &Mesh) -> Result<Self, BadTable> {
        let BuiltIn { route: built_in, invalidate: mut invalidations } = BuiltIn::read()?;
        invalidations.extend(settings.invalidate.iter().cloned());
        // By shape, so that `/a/{x}` replaces `/a/{y}`.
        let mut chosen: HashMap<String, &Route> = HashMap::new();
        for route in built_in.iter().chain(&settings.route) {
            chosen.insert(shape(&route.path), route);
        }
        let mut rows = Router::new();
        let mut services: Vec<String> = Vec::new();
        for route in chosen.into_values() {
            let row = compile(route, settings, mesh)
                .map_err(|why| BadTable(format!("`{}`: {why}", route.path)))?;
            if !route.external {
                services.push(route.service.clone());
            }
            insert(&mut rows, &route.path, row)?;
        }
        for (path, page) in PAGES {
            insert(&mut rows, path, Compiled::page(path, page))?;
        }
        services.sort_unstable();
        services.dedup();
        Ok(Self { rows, invalidations, services, unmatched: RouteMeters::new("", "") })
    }

    /// The row of a path, and the path's variable segments.
    pub(crate) fn find<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Compiled, Params<'a, 'p>)> {
        self.rows.at(path).ok().map(|found| (found.value, found.params))
    }
}

fn insert(rows: &mut Router<Compiled>, path: &str, row: Compiled) -> Result<(), BadTable> {
    rows.insert(path, row).map_err(|error| BadTable(format!("`{path}`: {error}")))
}

/// The path without the names of its variables.
fn shape(path: &str) -> String {
    let segment = |s: &str| match s.strip_prefix('{') {
        Some(name) if name.starts_with('*') => "{*}".to_owned(),
        Some(_) => "{}".to_owned(),
        None => s.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn compile(route: &Route, settings: &Settings, mesh: &Mesh) -> Result<Compiled, String> {
    if !route.path.starts_with('/') {
        return Err("a path begins with `/`".into());
    }
    let mut channel = mesh.channel(&route.service).with_policy(policy(route.policy.as_deref())?);
    if route.external {
        channel = channel.external();
    }
    if let Some(rule) = &route.cache {
        for tag in &rule.tags {
            check_tag(tag, &route.path)?;
        }
    }
    let methods = match (route.socket, route.methods.is_empty()) {
        (true, true) => Methods::only_get(),
        _ => Methods::of(&route.methods)?,
    };
    let types = match &route.types {
        Some(types) => types.clone(),
        None if route.external => Vec::new(),
        None => vec!["application/json".to_owned()],
    };
    Ok(Compiled {
        target: Target::Service { name: route.service.as_str().into(), channel },
        methods,
        types: types.iter().map(|t| t.to_ascii_lowercase().into()).collect(),
        max_body_bytes: route.max_body_bytes.unwrap_or(settings.max_body_bytes),
        timeout: Duration::from_millis(route.timeout_ms.unwrap_or(settings.request_timeout_ms)),
        // A stranger may have tokens of its own.
        stale_tokens: if route.external { StaleTokens::Ignore } else { route.stale_tokens },
        signs_up: route.signs_up,
        socket: route.socket,
        external: route.external,
        cache: route.cache.clone().filter(|rule| rule.ms > 0 && settings.cache_bytes > 0),
        meters: RouteMeters::new(&route.path, &route.service),
    })
}

impl Compiled {
    fn page(path: &str, page: Page) -> Self {
        Self {
            target: Target::Page(page),
            methods: Methods::only_get(),
            types: Box::default(),
            max_body_bytes: 0,
            timeout: Duration::ZERO,
            stale_tokens: StaleTokens::Ignore,
            signs_up: false,
            socket: false,
            external: false,
            cache: None,
            meters: RouteMeters::new(path, "gateway"),
        }
    }
}

fn policy(name: Option<&str>) -> Result<Policy, String> {
    match name {
        None | Some("peak-ewma") => Ok(Policy::PeakEwma),
        Some("round-robin") => Ok(Policy::RoundRobin),
        Some("least-connections") => Ok(Policy::LeastConnections),
        Some(other) => {
            let header = other.strip_prefix("hash:").and_then(|h| h.parse::<HeaderName>().ok());
            header.map(Policy::ConsistentHash).ok_or_else(|| {
                format!(
                    "`{other}` is no policy: peak-ewma, round-robin, least-connections, hash:HEADER"
                )
            })
        }
    }
}

/// Every `{name}` of a tag must be a segment of the path.
fn check_tag(tag: &str, path: &str) -> Result<(), String> {
    for part in tag.split('{').skip(1) {
        let name = part.split('}').next().unwrap_or_default();
        if !path.contains(&format!("{{{name}}}")) {
            return Err(format!("the tag `{tag}` names {{{name}}}, which the path does not have"));
        }
    }
    Ok(())
}
