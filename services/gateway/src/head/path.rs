//! Paths that every service understands in the same way.
//!
//! Invariant: a path that passes decodes to UTF-8 without NUL, and no part of it climbs.

use rest::Problem;

/// Checks a path as it came, before it is matched.
///
/// # Errors
/// 400 for wrong percent-encoding, NUL, backslashes, `.` and `..` segments, bytes that are not
/// UTF-8.
pub(crate) fn check(path: &str) -> Result<(), Problem> {
    let mut suspicious = false;
    let mut previous = 0;
    for byte in path.bytes() {
        suspicious |=
            byte == b'%' || byte == b'\\' || byte >= 0x80 || (byte == b'.' && previous == b'/');
        previous = byte;
    }
    if suspicious { check_closely(path) } else { Ok(()) }
}

fn check_closely(path: &str) -> Result<(), Problem> {
    let decoded = decode(path)
        .ok_or_else(|| Problem::bad_request("the path is not percent-encoded UTF-8"))?;
    if decoded.contains(['\0', '\\']) {
        return Err(Problem::bad_request("the path has a character that no path has"));
    }
    if decoded.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(Problem::bad_request("the path has a `.` or `..` segment"));
    }
    Ok(())
}

/// The path with its percent-encoding taken off; `None` where it is wrong.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        for bad in [
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%00b",
            "/%c3%28",
            "/../etc",
            "/a/..",
            "/a/./b",
            "/%2e%2e/etc",
            "/a%2f..%2fb",
            "/a\\b",
            "/a%5cb",
            "/%ff",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ordinary_paths_pass() {
        for good in [
            "/",
            "/palettes/7",
            "/.well-known/jwks.json",
            "/a..b/c.",
            "/a%20b",
            "/%C3%A9t%C3%A9",
            "/a%2Fb",
            "/...",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_climbs(path in "/[ -~]{0,40}") {
            if check(&path).is_ok() {
                let decoded = decode(&path).unwrap_or_default();
                prop_assert!(decoded.split('/').all(|s| s != ".."));
                prop_assert!(!decoded.contains('\0'));
            }
        }
    }
}
