//! How an instance is chosen among those that can be asked.

use http::HeaderName;

/// How a channel chooses an instance. Local services have one instance, and nothing to choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Of two taken at random, the one with less peak EWMA latency × requests in flight.
    /// Source: Finagle's `p2cPeakEwma`, after Mitzenmacher, "The power of two choices".
    #[default]
    PeakEwma,
    /// One after the other; weights do not count.
    RoundRobin,
    /// Of two taken at random, the one with fewer requests in flight.
    LeastConnections,
    /// The same value of this header goes to the same instance (rendezvous hashing); requests
    /// without it are balanced by [`Policy::PeakEwma`].
    ConsistentHash(HeaderName),
}
