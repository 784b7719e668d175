//! Tokens, principals, who may do what
