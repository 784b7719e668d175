//! Identifiers as newtypes: integers inside, JSON strings on the wire.
//!
//! Invariant: whatever a client sends as an id, `"7"` and `7` are the same id; whatever it
//! receives is a string, so that no JavaScript client ever rounds one.

/// Makes an identifier newtype over `i64`.
///
/// The type is ordered, hashable, printable and parseable; serde writes it as a string and reads
/// it from a string or a number; utoipa describes it as a string.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a raw identifier.
            #[must_use]
            pub const fn new(raw: i64) -> Self {
                Self(raw)
            }

            /// The raw identifier, for storage.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl From<i64> for $name {
            fn from(raw: i64) -> Self {
                Self(raw)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::parse(text).map(Self)
            }
        }

        impl $crate::private::Serialize for $name {
            fn serialize<S: $crate::private::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $crate::private::serialize(self.0, to)
            }
        }

        impl<'de> $crate::private::Deserialize<'de> for $name {
            fn deserialize<D: $crate::private::Deserializer<'de>>(
                from: D,
            ) -> Result<Self, D::Error> {
                $crate::private::deserialize(from).map(Self)
            }
        }

        impl $crate::private::PartialSchema for $name {
            fn schema() -> $crate::private::RefOr<$crate::private::Schema> {
                $crate::private::schema()
            }
        }

        impl $crate::private::ToSchema for $name {}
    };
}

id!(
    /// An account.
    UserId
);

/// A text that is no identifier: not a positive integer that fits 63 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct NotAnId;

/// Reads an identifier: decimal digits alone, without sign, at least 1.
///
/// # Errors
/// [`NotAnId`] for anything else.
pub fn parse(text: &str) -> Result<i64, NotAnId> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NotAnId);
    }
    match text.parse() {
        Ok(raw) if raw > 0 => Ok(raw),
        _ => Err(NotAnId),
    }
}

/// What the expansion of [`id!`] needs of other crates; not for direct use.
#[doc(hidden)]
pub mod private {
    pub use serde::{Deserialize, Deserializer, Serialize, Serializer};
    pub use utoipa::openapi::{RefOr, schema::Schema};
    pub use utoipa::{PartialSchema, ToSchema};

    use serde::de::{Error, Unexpected, Visitor};
    use utoipa::openapi::schema::{ObjectBuilder, Type};

    /// Writes an id as a string, without the detour over `fmt`: lists are full of them.
    pub fn serialize<S: Serializer>(id: i64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(itoa::Buffer::new().format(id))
    }

    struct IdVisitor;

    impl Visitor<'_> for IdVisitor {
        type Value = i64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an id, as a string or a number")
        }

        fn visit_u64<E: Error>(self, raw: u64) -> Result<i64, E> {
            match i64::try_from(raw) {
                Ok(raw) if raw > 0 => Ok(raw),
                _ => Err(E::invalid_value(Unexpected::Unsigned(raw), &self)),
            }
        }

        fn visit_i64<E: Error>(self, raw: i64) -> Result<i64, E> {
            if raw > 0 { Ok(raw) } else { Err(E::invalid_value(Unexpected::Signed(raw), &self)) }
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
            crate::parse(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
        from.deserialize_any(IdVisitor)
    }

    pub fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[1-9][0-9]*$"))
            .description(Some("An id. Requests may also send it as a number."))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_string_and_a_number_are_the_same_id() {
        let from_text: UserId = serde_json::from_str("\"7\"").expect("text");
        let from_number: UserId = serde_json::from_str("7").expect("number");
        assert_eq!(from_text, from_number);
        assert_eq!(serde_json::to_string(&from_text).expect("json"), "\"7\"");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in
            ["0", "-1", "7.0", "\"\"", "\"+7\"", "\" 7\"", "\"7\\u0000\"", "null", "[7]", "1e3"]
        {
            assert!(serde_json::from_str::<UserId>(bad).is_err(), "{bad}");
        }
        assert!("9223372036854775808".parse::<UserId>().is_err());
        assert!("9223372036854775807".parse::<UserId>().is_ok());
    }

    proptest! {
        #[test]
        fn every_id_survives_the_wire(raw in 1..=i64::MAX) {
            let id = UserId::new(raw);
            let text = serde_json::to_string(&id).expect("json");
            prop_assert_eq!(serde_json::from_str::<UserId>(&text).expect("id"), id);
            prop_assert_eq!(id.to_string().parse::<UserId>(), Ok(id));
        }
    }
}
