//! What holds for blobs wherever they are kept, and what happens when the store fails.

#![allow(clippy::unwrap_used, missing_docs)]

mod faults;
mod reading;
mod together;
mod world;
mod writing;
