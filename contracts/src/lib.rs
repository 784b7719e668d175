//! What services tell each other: gRPC, events, ids
