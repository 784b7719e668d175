//! Every way a token can be wrong, and what caching must not hide.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::Signer;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: i64 = 3_600;

fn signer() -> Signer {
    let key = Signer::generate().unwrap();
    Signer::from_pkcs8(&Signer::key_id(&key).unwrap(), &key).unwrap()
}

fn verifier_of(signers: &[&Signer]) -> Verifier {
    let verifier = Verifier::new();
    verifier.set_keys(&jwks(signers));
    verifier
}

fn jwks(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

fn who() -> Principal {
    Principal { user: UserId::new(7), session: "s-1".to_owned(), staff: false }
}

fn seconds() -> i64 {
    clock::now() / 1000
}

fn claims() -> Value {
    let now = seconds();
    json!({"iss": "atelier", "sub": "7", "sid": "s-1", "iat": now, "nbf": now, "exp": now + 900})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

#[test]
fn a_token_says_who_and_until_when() {
    let signer = signer();
    let verifier = verifier_of(&[&signer]);
    for staff in [false, true] {
        let who = Principal { staff, ..who() };
        let token = signer.sign_access(&who, Duration::from_secs(900));
        let before = seconds() * 1000;
        let verified = verifier.verify(&token).unwrap();
        assert_eq!(verified.principal, who);
        assert_eq!(verified.header, who.to_header());
        assert_eq!(verified.expires_at - verified.issued_at, 900_000);
        assert!((before - 2_000..=before + 2_000).contains(&verified.issued_at));
        assert_eq!(verifier.verify(&token).unwrap(), verified, "the second time too");
    }
}

#[test]
fn other_implementations_accept_our_tokens_and_keys() {
    let signer = signer();
    let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(signer.jwk()).unwrap();
    let thumbprint = key.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap();
    assert_eq!(thumbprint, signer.kid());
    let token = signer.sign_access(&who(), Duration::from_secs(60));
    let mut checks = Validation::new(Algorithm::EdDSA);
    checks.set_issuer(&["atelier"]);
    checks.validate_nbf = true;
    let read =
        jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(&key).unwrap(), &checks)
            .unwrap();
    assert_eq!(read.claims["sub"], "7");
    assert_eq!(read.header.kid.as_deref(), Some(signer.kid()));
}

#[test]
fn unsigned_tokens_and_other_algorithms_are_refused() {
    let signer = signer();
    let verifier = verifier_of(&[&signer]);
    for alg in ["none", "None", "nOnE", ""] {
        let head = encode(&json!({"typ": "JWT", "alg": alg, "kid": signer.kid()}));
        for signature in ["", "AAAA"] {
            let token = format!("{head}.{}.{signature}", encode(&claims()));
            assert_eq!(verifier.verify(&token), Err(AuthError::Malformed), "{alg}");
        }
    }
    // The old confusion: the public key taken as the secret of an HMAC.
    let public = URL_SAFE_NO_PAD.decode(signer.jwk()["x"].as_str().unwrap()).unwrap();
    let secrets =
        [public, signer.jwk().to_string().into_bytes(), signer.jwk()["x"].to_string().into_bytes()];
    for secret in secrets {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut header = jsonwebtoken::Header::new(alg);
            header.kid = Some(signer.kid().to_owned());
            let key = jsonwebtoken::EncodingKey::from_secret(&secret);
            let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
            assert_eq!(verifier.verify(&token), Err(AuthError::Algorithm));
        }
    }
    // A good signature under a header that names another algorithm.
    let good = signer.sign(&claims());
    let (_, rest) = good.split_once('.').unwrap();
    for alg in ["HS256", "RS256", "ES256"] {
        let head = encode(&json!({"typ": "JWT", "alg": alg, "kid": signer.kid()}));
        assert_eq!(verifier.verify(&format!("{head}.{rest}")), Err(AuthError::Algorithm));
    }
}

#[test]
fn unknown_keys_are_refused() {
    let (ours, theirs) = (signer(), signer());
    let verifier = verifier_of(&[&ours]);
    assert_eq!(verifier.verify(&theirs.sign(&claims())), Err(AuthError::UnknownKey));
    assert_eq!(Verifier::new().verify(&ours.sign(&claims())), Err(AuthError::UnknownKey));
    let key = Signer::generate().unwrap();
    let impostor = Signer::from_pkcs8(ours.kid(), &key).unwrap();
    assert_eq!(verifier.verify(&impostor.sign(&claims())), Err(AuthError::Signature));
    // A key that a token brings along is not a key.
    let head = encode(&json!({"alg": "EdDSA", "jwk": theirs.jwk(), "jku": "http://evil.example/"}));
    let (_, rest) =
        theirs.sign(&claims()).split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert_eq!(verifier.verify(&format!("{head}.{rest}")), Err(AuthError::UnknownKey));
}

#[test]
fn wrong_claims_are_refused() {
    let signer = signer();
    let verifier = verifier_of(&[&signer]);
    let now = seconds();
    let check = |claims: Value| verifier.verify(&signer.sign(&claims)).unwrap_err();
    assert_eq!(check(with("iss", json!("someone"))), AuthError::Issuer);
    assert_eq!(check(with("iss", json!(["someone", "else"]))), AuthError::Issuer);
    assert_eq!(
        check(with("exp", json!(now - 1))),
        AuthError::Malformed,
        "it ends before it begins"
    );
    let mut old = with("iat", json!(now - HOUR));
    old["nbf"] = json!(now - HOUR);
    old["exp"] = json!(now - 1);
    assert_eq!(check(old), AuthError::Expired);
    let mut later = with("nbf", json!(now + HOUR));
    later["exp"] = json!(now + 2 * HOUR);
    assert_eq!(check(later), AuthError::NotYetValid);
    let forever = i64::MAX;
    for (name, value) in [
        ("iss", json!(null)),
        ("sub", json!(null)),
        ("sub", json!("0")),
        ("sub", json!("7 or 1=1")),
        ("sub", json!(["7"])),
        ("sid", json!(null)),
        ("sid", json!("")),
        ("sid", json!("a;staff")),
        ("exp", json!(null)),
        ("exp", json!("soon")),
        ("exp", json!(forever)),
        ("exp", json!(now + 25 * HOUR)),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("iat", json!(null)),
        ("iat", json!(i64::MIN)),
        ("nbf", json!(null)),
        ("nbf", json!(now - 10)),
        ("staff", json!("yes")),
        ("aud", json!("elsewhere")),
    ] {
        assert_eq!(check(with(name, value.clone())), AuthError::Malformed, "{name}: {value}");
    }
}

#[test]
fn time_is_checked_on_remembered_tokens() {
    let signer = signer();
    let verifier = verifier_of(&[&signer]);
    let token = signer.sign(&claims());
    let end = verifier.verify(&token).unwrap().expires_at;
    assert!(verifier.verify_at(&token, end - 1).is_ok());
    assert_eq!(verifier.verify_at(&token, end), Err(AuthError::Expired));
    assert_eq!(verifier.verify_at(&token, end - 900_000 - LEEWAY - 1), Err(AuthError::NotYetValid));
}

#[test]
fn a_pass_that_is_kept_is_no_better_than_its_token() {
    let (old, new) = (signer(), signer());
    let verifier = verifier_of(&[&old]);
    let pass = verifier.verify(&old.sign(&claims())).unwrap();
    let other = verifier.verify(&old.sign(&with("sid", json!("s-2")))).unwrap();
    assert_eq!(verifier.check(&pass), Ok(()));
    assert_eq!(verifier.check_at(&pass, pass.expires_at), Err(AuthError::Expired));
    verifier.revoke_session("s-1", pass.expires_at);
    assert_eq!(verifier.check(&pass), Err(AuthError::Revoked));
    assert_eq!(verifier.check(&other), Ok(()));
    verifier.set_keys(&jwks(&[&new]));
    assert_eq!(verifier.check(&other), Err(AuthError::UnknownKey));
}

#[test]
fn a_revoked_session_ends_also_for_remembered_tokens() {
    let signer = signer();
    let verifier = verifier_of(&[&signer]);
    let first = signer.sign(&claims());
    let other = signer.sign(&with("sid", json!("s-2")));
    assert!(verifier.verify(&first).is_ok() && verifier.verify(&other).is_ok());
    verifier.revoke_session("s-1", i64::MAX);
    assert_eq!(verifier.verify(&first), Err(AuthError::Revoked));
    assert_eq!(verifier.verify(&first), Err(AuthError::Revoked), "and stays so");
    assert!(verifier.verify(&other).is_ok());
    let unseen = signer.sign(&with("staff", json!(true)));
    assert_eq!(verifier.verify(&unseen), Err(AuthError::Revoked), "a token not seen before too");
}

#[test]
fn a_revoked_user_is_out_until_signed_in_again() {
    let signer = signer();
    let verifier = verifier_of(&[&signer]);
    let token = signer.sign(&claims());
    let issued = verifier.verify(&token).unwrap().issued_at;
    verifier.revoke_user(UserId::new(8), issued + 500);
    assert!(verifier.verify(&token).is_ok(), "someone else");
    verifier.revoke_user(UserId::new(7), issued + 500);
    assert_eq!(verifier.verify(&token), Err(AuthError::Revoked));
    let mut later = claims();
    for name in ["iat", "nbf"] {
        later[name] = json!(issued / 1000 + 1);
    }
    assert!(verifier.verify(&signer.sign(&later)).is_ok());
}

#[test]
fn a_dropped_key_ends_also_remembered_tokens() {
    let (old, new) = (signer(), signer());
    let verifier = verifier_of(&[&old]);
    let token = old.sign(&claims());
    assert!(verifier.verify(&token).is_ok());
    assert_eq!(verifier.set_keys(&jwks(&[&old, &new])), 2);
    assert!(verifier.verify(&token).is_ok() && verifier.verify(&new.sign(&claims())).is_ok());
    assert_eq!(verifier.set_keys(&jwks(&[&new])), 1);
    assert_eq!(verifier.verify(&token), Err(AuthError::UnknownKey));
}

#[test]
fn a_broken_jwks_changes_nothing_and_foreign_keys_are_passed_over() {
    let signer = signer();
    let verifier = verifier_of(&[&signer]);
    let mut short = signer.jwk();
    short["x"] = json!("AAAA");
    let mut encrypts = signer.jwk();
    encrypts["use"] = json!("enc");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"});
    for broken in
        [json!(null), json!([]), json!({"keys": 7}), json!({"keys": [secret, short, encrypts, 7]})]
    {
        assert_eq!(verifier.set_keys(&broken), 1);
        assert!(verifier.verify(&signer.sign(&claims())).is_ok());
    }
}

#[test]
fn long_texts_are_refused_unread() {
    let verifier = Verifier::new();
    assert_eq!(verifier.verify(&"a".repeat(LONGEST_TOKEN + 1)), Err(AuthError::Malformed));
}

proptest! {
    #[test]
    fn no_text_is_a_token(text in ".{0,300}") {
        prop_assert!(Verifier::new().verify(&text).is_err());
    }

    #[test]
    fn a_token_with_any_character_changed_is_refused(at in 0.0..1.0_f64, c in "[A-Za-z0-9_.=-]", remembered: bool) {
        let signer = signer();
        let verifier = verifier_of(&[&signer]);
        let token = signer.sign(&claims());
        if remembered {
            verifier.verify(&token).unwrap();
        }
        let at = (token.len() as f64 * at) as usize;
        let mut changed = token.clone();
        changed.replace_range(at..=at, &c);
        prop_assume!(changed != token);
        prop_assert!(verifier.verify(&changed).is_err());
        prop_assert!(verifier.verify(&token).is_ok());
    }
}
