//! What the role can do that the role of an agent should not.

use super::Spec;
use super::link::Link;
use super::loader::rows;
use crate::call::Refusal;

/// Roles of the server's own whose members read, write or run what no grant names.
const PREDEFINED: &[&str] = &[
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_database_owner",
    "pg_create_subscription",
    "pg_maintain",
];

const SUPERUSER: &str = "the role is a superuser: no grant binds it";

/// What no role of ours should be able to do, in words for the operator; empty for one as it should be.
///
/// # Errors
/// What the connection says.
pub(super) async fn excess(link: &mut Link) -> Result<Vec<String>, Refusal> {
    let attributes: Vec<(bool, bool, bool, bool)> = rows(
        link,
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolreplication FROM pg_catalog.pg_roles
         WHERE rolname = CURRENT_USER",
        &[],
    )
    .await?;
    let mut findings = Vec::new();
    let (superuser, bypass, creates, replicates) =
        attributes.into_iter().next().unwrap_or((true, true, true, true));
    for (is, words) in [
        (superuser, SUPERUSER),
        (bypass, "the role has BYPASSRLS: no row-level security binds it"),
        (creates, "the role has CREATEROLE: it can give itself rights"),
        (
            replicates,
            "the role has REPLICATION: it can copy the whole server",
        ),
    ] {
        if is {
            findings.push(words.to_owned());
        }
    }
    if superuser {
        return Ok(findings); // the rest is true of every superuser
    }
    let member: Vec<(String,)> = rows(
        link,
        "SELECT rolname::pg_catalog.text FROM pg_catalog.pg_roles
         WHERE rolname <> CURRENT_USER AND pg_catalog.pg_has_role(CURRENT_USER, oid, 'MEMBER')
            AND (rolname LIKE 'pg\\_%' OR rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication)
         ORDER BY rolname",
        &[],
    )
    .await?;
    for (name,) in member {
        if !name.starts_with("pg_") || PREDEFINED.contains(&name.as_str()) {
            findings.push(format!("the role is a member of {name}"));
        }
    }
    Ok(findings)
}

/// The same of a role that reads: it does not own what it reads either.
///
/// # Errors
/// What the connection says.
pub(super) async fn findings(link: &mut Link, spec: &Spec) -> Result<Vec<String>, Refusal> {
    let mut findings = excess(link).await?;
    if findings.iter().any(|found| found == SUPERUSER) {
        return Ok(findings); // the rest is true of every superuser
    }
    let owned: Vec<(String, String)> = rows(
        link,
        "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = ANY($1) AND c.relkind IN ('r','p','v','m','f')
            AND pg_catalog.pg_has_role(CURRENT_USER, c.relowner, 'MEMBER')
         ORDER BY 1, 2 LIMIT 1",
        &spec.schemas,
    )
    .await?;
    for (schema, name) in owned {
        findings.push(format!(
            "the role owns what it reads, {schema}.{name} for one: no grant and no row-level security binds an owner"
        ));
    }
    Ok(findings)
}
