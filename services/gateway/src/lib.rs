//! The one door: routes, tokens, limits, cache, sockets
