//! Files of any size under keys, in a folder of this machine or on S3.
//!
//! Whoever uses [`Blobs`] does not see which. A blob is written with [`Blobs::put`] or piece by piece
//! through an [`Upload`], and read with [`Blobs::get`] as a stream or a [`ByteRange`] of it.
//!
//! **Invariants.**
//! - A blob is whole or absent. Readers see the old one or the new one, never a mixture; on S3 a
//!   download of one that is being replaced may break off with [`BlobError::Unavailable`]. An upload
//!   that is given up leaves nothing that can be seen, and what it sent is removed. (What a killed
//!   process had sent is removed from a folder when it is opened next; a bucket needs a lifecycle
//!   rule that aborts incomplete multipart uploads after a day.)
//! - What [`Upload::finish`] answered with `Ok` is on disk, or on the store's: in a folder the file,
//!   its name and its folders are synced. A finish that has begun is carried out even if its caller
//!   goes away; after [`BlobError::Unavailable`] its outcome is not known.
//! - No file is held in memory: an upload holds three parts at most, a download a few chunks.
//! - Everything is bounded: sizes, uploads and requests at a time, and every wait. Past a bound the
//!   answer is [`BlobError::TooLarge`] or [`BlobError::Unavailable`].
//!
//! S3 is spoken through `object_store`. Its folder is not used: it can sync what it writes, but
//! leaves what a killed process was writing for ever, forgets deletions in a power cut, cannot hold
//! both `a` and `a/b`, and lists in no order, so that a page costs as much as all of them.

mod blobs;
mod bounds;
mod download;
mod error;
mod folder;
mod key;
mod range;
mod s3;
mod settings;
mod upload;

pub use blobs::{Blobs, Listed};
pub use download::{Download, Info};
pub use error::BlobError;
pub use key::{InvalidKey, Key};
pub use range::ByteRange;
pub use settings::{BlobSettings, S3Settings};
pub use upload::{Upload, Written};
