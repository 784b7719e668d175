# The few commands of everyday work. `just --list` shows them.

# Everything in one process, on 127.0.0.1:8080
run *ARGS:
    cargo run --release -- {{ARGS}}

# Every test, as in the README
test:
    cargo test --workspace

# What CI checks before the tests
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Write docs/openapi.json and the Postman collection anew
documents:
    UPDATE_DOCUMENTS=1 cargo test -p atelier --test documents

# Figures of bench/README.md
bench *ARGS:
    cargo run --release -p bench --bin {{ARGS}}
