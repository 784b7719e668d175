//! Sagas, durable and recoverable
