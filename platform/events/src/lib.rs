//! Outbox, relay, log and inbox
