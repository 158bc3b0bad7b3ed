//! The world a test acts in: a site with real resources, an issuer whose tokens differ from the
//! organisation's in nothing but the name, and a running Tollgate.

pub(crate) mod issuer;
pub(crate) mod site;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");
