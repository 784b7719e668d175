//! Palettes: colours, search, exports, extraction.

pub mod export;
pub mod extract;
pub mod model;
