//! A cache with single flight
