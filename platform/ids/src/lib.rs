//! Identifiers as newtypes, strings on the wire
