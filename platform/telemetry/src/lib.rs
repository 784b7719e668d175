//! What can be seen of a running system: logs, metrics, and the context that ties them together.
//!
//! Owns the [`Context`] that travels with every request, on both ways of the mesh. Invariant: a
//! request keeps its id, trace, caller and deadline from the gateway to the last sibling, whether
//! the call crossed a network or not.

mod context;
mod logs;
mod metrics;
mod trace;

pub use context::{Context, headers, parse_timeout};
pub use logs::{LogFormat, LogSettings, init};
pub use metrics::{Metrics, metrics_handle};
pub use trace::Trace;
