//! The HTTP conventions of the public contract, the same for every service: problem details, JSON
//! in and out, who the caller is, paging, conditional requests, idempotency keys.
//!
//! Invariant: whatever a client sends, it gets the contract's answer: never a 500 with a stack,
//! SQL or an address in it, and never a panic.

pub mod caller;
pub mod conditional;
pub mod idempotency;
pub mod json;
mod located;
pub mod page;
pub mod params;
pub mod problem;
mod routes;
mod timestamp;

pub use caller::{Caller, SignedIn, own};
pub use conditional::{conditional, etag};
pub use idempotency::{Idempotency, MIGRATIONS, OperationId};
pub use json::Json;
pub use located::located;
pub use page::{Page, paged};
pub use params::{Path, Query};
pub use problem::{FieldError, Problem};
pub use routes::{JSON_LIMIT, router};
pub use timestamp::Timestamp;
