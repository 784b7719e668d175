//! WebSocket fan-out: one encoding, many readers.
//!
//! A [`Hub`] keeps the sockets of a service by topic. [`Upgrade`] is the axum extractor that
//! checks the handshake, [`Hub::join`] and its siblings make the request a socket, and
//! [`Hub::publish`] sends one frame to all who read a topic. A frame is encoded once; one loop
//! writes it to every socket directly, and frames published while it is busy share a write. A
//! reader that falls too far behind is cut off with 1013 and the word to resume, and holds up
//! nobody. A socket at rest has no task and no buffer.
//!
//! ```
//! # use axum::extract::State;
//! # use axum::response::Response;
//! use fanout::{Hub, Settings, Upgrade};
//!
//! async fn live(State(hub): State<Hub<&'static str>>, upgrade: Upgrade) -> Response {
//!     hub.join(upgrade, "news", ())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let hub = Hub::new(Settings::default());
//! let app: axum::Router = axum::Router::new()
//!     .route("/ws/news", axum::routing::get(live))
//!     .with_state(hub.clone());
//! hub.publish(&"news", r#"{"type":"hello"}"#);
//! # drop(app);
//! # }
//! ```
//!
//! [`Coalescer`] keeps the latest value of each key where bursts are not worth sending, and
//! [`relay`] passes a WebSocket on to a service in another process.
//!
//! Extensions are not negotiated; compression of small frames for each of many readers would
//! cost what this crate saves.

mod batch;
mod close;
mod coalesce;
mod conn;
mod count;
mod frame;
mod handler;
mod host;
mod hub;
mod mailbox;
mod outbox;
mod parser;
mod relay;
mod seats;
mod settings;
mod shard;
mod socket;
mod topics;
mod transport;
mod upgrade;

pub use close::Close;
pub use coalesce::Coalescer;
pub use frame::Frame;
pub use handler::{Handler, Ignore, Next, OneAtATime, one_at_a_time};
pub use host::{Key, Meta};
pub use hub::{Hub, Snapshot};
pub use parser::Message;
pub use relay::{RelayEnd, RelaySettings, Relayed, relay};
pub use settings::Settings;
pub use socket::Socket;
pub use upgrade::{Refusal, Upgrade};
