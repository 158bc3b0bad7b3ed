//! What the account in use can do that reading behind masks never needs. What is allowed is listed; every other line
//! of the server's is a finding.

use super::probe::Texts;
use super::{Spec, tokens};

/// Each in words for the operator; empty for an account as it should be.
pub(super) fn findings(spec: &Spec, grants: &[Texts]) -> Vec<String> {
    let lines = grants.iter().filter_map(|row| row.first().cloned().flatten());
    lines.filter_map(|line| finding(spec, &line)).collect()
}

/// Databases that the account may see beside the one that statements name, in words for the operator: a right that was
/// given to everybody, in `mysql.db` or by a pattern of names, is in no line about the account.
pub(super) fn elsewhere(spec: &Spec, folded: bool, databases: &[Texts]) -> Vec<String> {
    let place = spec.place();
    let own = |name: &String| {
        let is = |known: &str| name == known || folded && name.to_lowercase() == known.to_lowercase();
        is(&place)
            || ["information_schema", "performance_schema"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
    };
    let named = databases.iter().filter_map(|row| row.first().cloned().flatten());
    named
        .filter(|name| !own(name))
        .map(|name| {
            format!(
                "the account can see the database {name}, perhaps by what is granted to PUBLIC or, in mysql.db, to everybody"
            )
        })
        .collect()
}

fn finding(spec: &Spec, line: &str) -> Option<String> {
    let Some((rights, rest)) = line
        .strip_prefix("GRANT ")
        .and_then(|line| line.split_once(" ON "))
    else {
        // A role; or what decides about rights in a way that we do not know.
        let words: Vec<&str> = line.split(' ').take(2).collect();
        return Some(format!(
            "the account has what is no plain grant: {}",
            words.join(" ")
        ));
    };
    // Names are quoted, so what follows the object begins after its last quotation mark.
    let (object, whom) = rest.split_once(" TO ").unwrap_or((rest, ""));
    if whom.contains("GRANT OPTION") {
        return Some(format!("the account may give away {rights} on {object}"));
    }
    let rights: Vec<&str> = rights.split(',').map(str::trim).collect();
    let fits = match object {
        "*.*" => rights == ["USAGE"],
        object if tokens::is_ours(spec, object) => rights == ["EXECUTE"],
        object => in_place(spec, object) && rights.iter().all(|right| reads(right)),
    };
    (!fits).then(|| {
        let rights = rights.join(", ");
        format!("the account has {rights} on {object}")
    })
}

/// `SELECT`, also of some columns, and what shows how a view was made.
fn reads(right: &str) -> bool {
    let name = right.split('(').next().unwrap_or_default().trim();
    // A list of columns was split at its commas: what follows is a quoted name.
    matches!(name, "SELECT" | "SHOW VIEW") || right.starts_with('`') && right.ends_with(['`', ')'])
}

/// Whether an object is the database that statements name, or in it.
fn in_place(spec: &Spec, object: &str) -> bool {
    let place = spec.place();
    let database = object.strip_prefix('`').and_then(|rest| rest.split_once("`."));
    let Some((database, _)) = database else {
        return false;
    };
    // `_` is a wildcard in the name of a granted database, unless it is escaped.
    database == place || database.replace("\\_", "_") == place
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    #[test]
    fn only_listed_rights_are_none_too_many() {
        for (line, fits) in [
            ("GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*D8'", true),
            ("GRANT SELECT, SHOW VIEW ON `shop_tollgate`.* TO `r`@`%`", true),
            ("GRANT SELECT ON `shop\\_tollgate`.* TO `r`@`%`", true),
            ("GRANT SELECT (`a`, `b`) ON `shop_tollgate`.`t` TO `r`@`%`", true),
            (
                "GRANT SELECT ON `shop_tollgate`.* TO `r`@`%` WITH GRANT OPTION",
                false,
            ),
            ("GRANT SELECT ON `shop`.* TO `r`@`%`", false),
            ("GRANT SELECT ON `shop%`.* TO `r`@`%`", false),
            ("GRANT SELECT ON `shop`.`t` TO `r`@`%`", false),
            ("GRANT SELECT, INSERT ON `shop_tollgate`.* TO `r`@`%`", false),
            (
                "GRANT SELECT (`a`), UPDATE (`b`) ON `shop_tollgate`.`t` TO `r`@`%`",
                false,
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION",
                false,
            ),
            ("GRANT FILE ON *.* TO `r`@`%`", false),
            ("GRANT PROCESS ON *.* TO `r`@`%`", false),
            ("GRANT `boss` TO `r`@`%`", false),
            ("GRANT EXECUTE ON FUNCTION `shop_tollgate`.`f` TO `r`@`%`", false),
            (
                "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION",
                false,
            ),
            ("SET DEFAULT ROLE `boss` FOR `r`@`%`", false),
        ] {
            let found = findings(&spec(), &[vec![Some(line.to_owned())]]);
            assert_eq!(found.is_empty(), fits, "{line}: {found:?}");
            assert!(
                !found.join("").contains("*D8"),
                "no hash of a password: {found:?}"
            );
        }
    }
}
