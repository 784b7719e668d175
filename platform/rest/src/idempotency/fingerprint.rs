//! What makes two requests the same: who sent them where under which key, and what they carry.

use axum::body::Bytes;
use http::{HeaderMap, header};
use ids::UserId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A digest of the media type and the body. Multipart bodies are compared by their parts: the
/// boundary, which every client makes up anew, is left out. The key, which is stored nowhere,
/// goes in first: a body with a password in it cannot be guessed from its digest.
pub(super) fn fingerprint(key: &str, headers: &HeaderMap, body: &Bytes) -> String {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let (kind, rest) = media_type
        .unwrap_or_default()
        .split_once(';')
        .unwrap_or_else(|| (media_type.unwrap_or_default(), ""));
    let mut digest = Sha256::new();
    digest.update(key);
    digest.update([0]);
    digest.update(kind.trim().to_ascii_lowercase());
    digest.update([0]);
    match boundary(kind, rest) {
        Some(boundary) => {
            let boundary = format!("--{boundary}");
            for part in split(body, boundary.as_bytes()) {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        None => digest.update(body),
    }
    hex::encode(digest.finalize())
}

fn boundary<'a>(kind: &str, parameters: &'a str) -> Option<&'a str> {
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (_, value) = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    Some(value.trim().trim_matches('"')).filter(|boundary| !boundary.is_empty())
}

fn split<'a>(body: &'a [u8], at: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let text = rest?;
        match text.windows(at.len()).position(|window| window == at) {
            Some(found) => {
                rest = Some(&text[found + at.len()..]);
                Some(&text[..found])
            }
            None => rest.take(),
        }
    })
}

/// The key's scope: it belongs to one caller and one path; before sign-in, to one body.
pub(super) fn scope(caller: Option<UserId>, path: &str, key: &str, fingerprint: &str) -> Uuid {
    let whose = match caller {
        Some(user) => format!("user {user}"),
        None => format!("body {fingerprint}"),
    };
    let name = serde_json::json!([whose, path, key]).to_string();
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(media_type: &'static str, body: &'static str) -> String {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        fingerprint("key", &headers, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn multipart_is_compared_by_its_parts() {
        let one = of("multipart/form-data; boundary=aa", "--aa\r\nx\r\n--aa--");
        let two = of("multipart/form-data; boundary=\"b\"", "--b\r\nx\r\n--b--");
        let three = of("multipart/form-data; boundary=b", "--b\r\ny\r\n--b--");
        assert_eq!(one, two);
        assert_ne!(two, three);
        assert_ne!(of("application/json", "1"), of("application/json", "2"));
    }

    #[test]
    fn a_key_belongs_to_one_caller_and_one_path() {
        let (anna, ben) = (Some(UserId::new(1)), Some(UserId::new(2)));
        assert_eq!(scope(anna, "/p", "k", "f"), scope(anna, "/p", "k", "g"));
        assert_ne!(scope(anna, "/p", "k", "f"), scope(ben, "/p", "k", "f"));
        assert_ne!(scope(anna, "/p", "k", "f"), scope(anna, "/q", "k", "f"));
        assert_ne!(scope(None, "/p", "k", "f"), scope(None, "/p", "k", "g"));
    }
}
