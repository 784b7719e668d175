//! A channel to a service, local or remote
