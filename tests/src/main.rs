//! The system under test.

fn main() -> std::process::ExitCode {
    atelier::cli::main()
}
