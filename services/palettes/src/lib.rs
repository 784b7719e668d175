//! Palettes: colours, search, exports, extraction
