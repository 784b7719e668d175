//! Where an engine is missing, its tests say so, and fail where none may be missing.

#![allow(clippy::unwrap_used, missing_docs)]

use std::process::{Command, Output};

/// Not a test of its own: [`a_skip_is_loud_or_a_failure`] runs it in another process.
#[test]
fn lacks_an_engine() {
    if std::env::var_os("TESTKIT_LACKS_AN_ENGINE").is_some() {
        testkit::skip("lacks_an_engine", "Enigma");
    }
}

#[test]
fn a_skip_is_loud_or_a_failure() {
    let run = |required: &str| -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lacks_an_engine"])
            .env("TESTKIT_LACKS_AN_ENGINE", "1")
            .env("ATELIER_REQUIRE_ENGINES", required)
            .output()
            .unwrap()
    };
    let skipped = run("0");
    let said = String::from_utf8(skipped.stderr).unwrap();
    assert!(skipped.status.success(), "{said}");
    // Not captured, as what a test prints would be.
    assert_eq!(said, "SKIPPED lacks_an_engine: no Enigma on this machine\n");
    let failed = run("1");
    assert!(!failed.status.success());
    assert!(String::from_utf8(failed.stdout).unwrap().contains("ATELIER_REQUIRE_ENGINES=1"));
}
