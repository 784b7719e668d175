//! The HTTP conventions of the public contract
