//! The methods a path has.

use http::{HeaderValue, Method};

/// The methods that rows can name, in the order in which `Allow` lists them.
const KNOWN: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// A set of methods. `GET` brings `HEAD`; `OPTIONS` is always answered, by the gateway itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Methods(u8);

impl Methods {
    /// What a row names; none named: all of [`KNOWN`].
    pub(crate) fn of(names: &[String]) -> Result<Self, String> {
        let mut set = 0;
        for name in names {
            let method: Option<Method> = name.parse().ok();
            let at = method
                .as_ref()
                .and_then(position)
                .ok_or_else(|| format!("`{name}` is no method a path can have"))?;
            set |= 1 << at;
        }
        if names.is_empty() {
            set = u8::MAX;
        }
        if set & 1 == 1 {
            set |= 2;
        }
        Ok(Self(set))
    }

    pub(crate) fn only_get() -> Self {
        Self(0b11)
    }

    pub(crate) fn has(self, method: &Method) -> bool {
        position(method).is_some_and(|at| self.0 >> at & 1 == 1)
    }

    /// Whether a method changes nothing (RFC 9110, 9.2.1).
    pub(crate) fn is_safe(method: &Method) -> bool {
        matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
    }

    /// The value of `Allow`.
    pub(crate) fn allow(self) -> String {
        let listed = |m: &&Method| self.has(m) || **m == Method::OPTIONS;
        KNOWN.iter().filter(listed).map(Method::as_str).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn allow_header(self) -> HeaderValue {
        // Method names and commas are legal in a header.
        HeaderValue::try_from(self.allow()).unwrap_or_else(|_| HeaderValue::from_static("OPTIONS"))
    }
}

fn position(method: &Method) -> Option<usize> {
    KNOWN.iter().position(|known| known == method)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn allow_lists_what_there_is() {
        let methods = Methods::of(&["DELETE".into(), "GET".into()]).unwrap();
        assert_eq!(methods.allow(), "GET, HEAD, DELETE, OPTIONS");
        assert!(methods.has(&Method::HEAD) && !methods.has(&Method::PUT));
        assert!(Methods::of(&[]).unwrap().has(&Method::PATCH));
        assert!(!Methods::of(&[]).unwrap().has(&Method::TRACE));
        assert!(Methods::of(&["BREW".into()]).is_err());
    }
}
