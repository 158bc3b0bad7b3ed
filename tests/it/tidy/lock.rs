//! What Cargo.lock may hold.

use super::{assert_none, root};

/// The most packages. Raising it is a decision: each is code that runs with our rights.
const BUDGET: usize = 632;

/// Packages that would bring a second TLS stack, a C library we do not need, or known trouble.
const BANNED: &[&str] = &[
    "openssl",
    "openssl-sys",
    "native-tls",
    "boring",
    "boring-sys",
    "aws-lc-rs",
    "aws-lc-sys",
    "libssh2-sys",
    "mbedtls",
    "wolfssl",
];

/// The oldest version of a package that is safe, and why.
const AT_LEAST: &[(&str, (u64, u64, u64), &str)] = &[
    (
        "rmcp",
        (1, 4, 0),
        "row 42: earlier ones do not check Host (CVE-2026-42559)",
    ),
    (
        "jsonwebtoken",
        (10, 3, 0),
        "earlier ones let a text in exp or nbf skip validation",
    ),
];

/// Packages of which there must be exactly one: two do not link, or are two TLS stacks.
const SINGLE: &[&str] = &[
    "rustls",
    "ring",
    "libsqlite3-sys",
    "libgit2-sys",
    "tokio",
    "serde",
];

struct Package {
    name: String,
    version: (u64, u64, u64),
    source: Option<String>,
}

fn packages() -> Vec<Package> {
    let text = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let lock: toml::Table = text.parse().unwrap();
    let field = |package: &toml::Value, key: &str| {
        package
            .get(key)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    lock["package"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| Package {
            name: field(package, "name").unwrap(),
            version: version(&field(package, "version").unwrap()),
            source: field(package, "source"),
        })
        .collect()
}

fn version(text: &str) -> (u64, u64, u64) {
    let core = text.split(['-', '+']).next().unwrap();
    let mut parts = core.split('.').map(|part| part.parse().unwrap());
    (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    )
}

#[test]
fn there_are_no_more_packages_than_we_look_after() {
    let count = packages().len();
    assert!(
        count <= BUDGET,
        "{count} packages in Cargo.lock, at most {BUDGET}"
    );
}

#[test]
fn no_banned_package_and_no_source_but_the_registry() {
    let mut wrong = Vec::new();
    for package in packages() {
        if BANNED.contains(&package.name.as_str()) {
            wrong.push(format!("{} is banned", package.name));
        }
        let from = package.source.as_deref().unwrap_or("this repository");
        let is_ours = package.source.is_none() && package.name == "tollgate";
        if !is_ours && !from.starts_with("registry+") {
            wrong.push(format!("{} comes from {from}", package.name));
        }
    }
    assert_none("Cargo.lock", &wrong);
}

/// Row 42 (rmcp before 1.4.0) among others.
#[test]
fn incident_42_known_bad_versions_are_not_locked() {
    let packages = packages();
    for (name, least, why) in AT_LEAST {
        let found: Vec<_> = packages.iter().filter(|package| package.name == *name).collect();
        assert!(
            !found.is_empty(),
            "{name} is not used any more; take it out of AT_LEAST"
        );
        for package in found {
            assert!(package.version >= *least, "{name} {:?}: {why}", package.version);
        }
    }
}

#[test]
fn there_is_one_of_what_must_not_be_there_twice() {
    let packages = packages();
    for name in SINGLE {
        let count = packages.iter().filter(|package| package.name == *name).count();
        assert_eq!(count, 1, "{name} is locked {count} times");
    }
}
