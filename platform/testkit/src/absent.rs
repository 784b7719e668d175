//! What happens where an engine is not installed: a loud skip, or a failure where none is allowed.

use std::io::Write;

/// Says on standard error that `test` is skipped because there is no `engine`.
///
/// # Panics
/// With `ATELIER_REQUIRE_ENGINES=1`, where a skip is a failure.
pub fn skip(test: &str, engine: &str) {
    if std::env::var_os("ATELIER_REQUIRE_ENGINES").is_some_and(|v| v == "1") {
        panic!("{test}: ATELIER_REQUIRE_ENGINES=1, and there is no {engine} on this machine");
    }
    // Not `eprintln!`: the test harness would hide it.
    writeln!(std::io::stderr(), "SKIPPED {test}: no {engine} on this machine").ok();
}

/// [`skip`] for the test that runs on this thread.
pub(crate) fn skip_here<T>(engine: &str) -> Option<T> {
    let thread = std::thread::current();
    skip(thread.name().unwrap_or("a test"), engine);
    None
}

/// The server that a `start` answered, or the end of this test where there is none:
/// `let redis = engine_or_skip!(Redis::start().await);`
#[macro_export]
macro_rules! engine_or_skip {
    ($start:expr) => {
        match $start {
            Some(engine) => engine,
            None => return,
        }
    };
}
