//! Accounts, sessions and keys
