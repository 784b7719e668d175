//! WebSocket fan-out: one encoding, many readers
