//! The types of palettes and the pure rules on them: no IO, no clock.
//!
//! Invariant: whatever exists as one of these types is valid. Parsing happens
//! at the edges (`rest`, `rpc`, rows read back), never in between.

mod color;
mod oklab;
mod palette;

pub use color::{Color, ColorError};
pub use oklab::Oklab;
pub use palette::{
    Change, Draft, Invalid, MAX_CATEGORY_CHARS, MAX_COLORS, MAX_NAME_CHARS, NEAR, Palette, fold,
    parse_colors, present, tidy,
};
