//! The gateway's metrics. Handles are looked up once and kept: on the hot path a metric costs an
//! atomic addition.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The meters of one route, made when its first request ends: a recorder that is installed after
/// the table was built still sees them.
pub(crate) struct RouteMeters {
    route: Box<str>,
    service: Box<str>,
    handles: OnceLock<Handles>,
}

struct Handles {
    /// By the status' first digit.
    requests: [Counter; 5],
    seconds: Histogram,
    cache_hits: Counter,
    cache_misses: Counter,
}

impl RouteMeters {
    pub(crate) fn new(route: &str, service: &str) -> Self {
        Self { route: route.into(), service: service.into(), handles: OnceLock::new() }
    }

    /// An answered request.
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let handles = self.handles();
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        handles.requests[class].increment(1);
        handles.seconds.record(took.as_secs_f64());
    }

    /// A request that could have been answered from the cache, and whether it was.
    pub(crate) fn looked_up(&self, hit: bool) {
        let handles = self.handles();
        if hit { &handles.cache_hits } else { &handles.cache_misses }.increment(1);
    }

    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| {
            let (route, service) = (self.route.to_string(), self.service.to_string());
            let looked_up = |outcome: &'static str| {
                counter!("gateway_cache_lookups_total", "route" => route.clone(), "outcome" => outcome)
            };
            Handles {
                requests: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| {
                    counter!("gateway_requests_total",
                        "route" => route.clone(), "service" => service.clone(), "status" => class)
                }),
                seconds: histogram!("gateway_request_seconds", "route" => route.clone()),
                cache_hits: looked_up("hit"),
                cache_misses: looked_up("miss"),
            }
        })
    }
}

/// How many connections are open, and how many of them are sockets.
pub(crate) fn open_connections() -> Gauge {
    gauge!("gateway_connections")
}

/// See [`open_connections`].
pub(crate) fn open_sockets() -> Gauge {
    gauge!("gateway_sockets")
}

/// A connection that was not served to its end, and why.
pub(crate) fn cut_off(why: &'static str) {
    counter!("gateway_connections_cut_off_total", "why" => why).increment(1);
}

/// A request that was not passed on, and why.
pub(crate) fn refused(why: &'static str) {
    counter!("gateway_requests_refused_total", "why" => why).increment(1);
}
