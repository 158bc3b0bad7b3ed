//! `tollgate.toml`.
