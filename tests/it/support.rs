//! The world a test acts in: a site with real resources, an issuer whose tokens differ from the
//! organisation's in nothing but the name, and a running Tollgate.

pub(crate) mod agent;
#[cfg(feature = "postgres")]
pub(crate) mod certificates;
pub(crate) mod governed;
pub(crate) mod issuer;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
pub(crate) mod people;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
pub(crate) mod process;
#[cfg(feature = "postgres")]
pub(crate) mod proxy;
pub(crate) mod site;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) mod twins;
mod until;

pub(crate) use until::until;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");
