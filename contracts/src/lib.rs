//! What services tell each other: gRPC clients and servers, event types, ids.
//!
//! Invariant: a service knows its siblings by this crate alone. A message or event changes only by
//! additions; anything else is a new version beside the old one.

pub mod events;
pub mod ids;
pub mod kind;

pub use kind::Kind;

/// What is shown of an account that is gone, in place of its name.
pub const DELETED_USER: &str = "deleted user";

/// Generated from `proto/`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all)]
mod generated {
    pub mod accounts {
        tonic::include_proto!("accounts.v1");
    }
    pub mod chat {
        tonic::include_proto!("chat.v1");
    }
    pub mod erasure {
        tonic::include_proto!("erasure.v1");
    }
    pub mod palettes {
        tonic::include_proto!("palettes.v1");
    }
    pub mod popularity {
        tonic::include_proto!("popularity.v1");
    }
}

pub use generated::{accounts, chat, erasure, palettes, popularity};
