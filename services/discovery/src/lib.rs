//! Who runs where: registry, tickets, watch
