//! The `tollgate` program; everything is in the library.

fn main() -> std::process::ExitCode {
    // Started by ourselves inside a sandbox, or on the way into one.
    tollgate::resource::shell::helper::main().unwrap_or_else(tollgate::cli::main)
}
