//! The system suite: one set of scenarios, every shape
