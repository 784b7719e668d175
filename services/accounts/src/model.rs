//! What accounts are made of: names, passwords, profiles. No input or output; every rule of the
//! contract about what a client may send is here.

mod name;
mod password;
mod profile;

pub use name::{Name, NameKey};
pub use password::Password;
pub use profile::{Bio, DisplayName, Email};

/// What is wrong with a value, as a sentence without the value: it may be a secret.
pub type Reason = &'static str;
