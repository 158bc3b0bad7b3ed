//! What a step of the store's tables may do: only add, so that a replica of the version before goes on beside a newer one
//! (docs/store.md, "Upgrading").

use std::collections::BTreeSet;

use super::{assert_none, root};

/// The statements of a script, in capitals, without comments. A trigger's body is part of it.
fn statements(script: &str) -> Vec<String> {
    let lines = script
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code));
    let code: String = lines.collect::<Vec<_>>().join(" ").to_uppercase();
    let (mut found, mut one) = (Vec::new(), String::new());
    let (mut quoted, mut body) = (false, false);
    for (place, c) in code.char_indices() {
        quoted ^= c == '\'';
        body ^= code.get(place..).is_some_and(|rest| rest.starts_with("$$"));
        let so_far = one.trim();
        let inside =
            so_far.starts_with("CREATE TRIGGER") && so_far.contains(" BEGIN") && !so_far.ends_with("END");
        if c == ';' && !quoted && !body && !inside {
            found.push(so_far.split_whitespace().collect::<Vec<_>>().join(" "));
            one.clear();
        } else {
            one.push(c);
        }
    }
    assert_eq!(one.trim(), "", "a statement without an end");
    found
}

/// The name behind some words, if a statement begins with them.
fn behind<'a>(statement: &'a str, words: &str) -> Option<&'a str> {
    let rest = statement.strip_prefix(words)?.trim_start();
    rest.split([' ', '(']).next()
}

/// The table that an index or a trigger is on.
fn on(statement: &str) -> Option<&str> {
    statement.split_once(" ON ")?.1.split([' ', '(']).next()
}

/// What of a script takes something away from the version before, or asks more of it.
fn wrong(script: &str) -> Vec<String> {
    let statements = statements(script);
    let made: BTreeSet<&str> = statements
        .iter()
        .filter_map(|one| behind(one, "CREATE TABLE"))
        .collect();
    let own = |table: Option<&str>| table.is_some_and(|table| made.contains(table));
    let refuses: BTreeSet<&str> = statements
        .iter()
        .filter(|one| one.contains("RAISE EXCEPTION"))
        .filter_map(|one| behind(one, "CREATE FUNCTION"))
        .collect();
    let adds = |one: &&String| {
        let one = one.as_str();
        if one.starts_with("CREATE TABLE") || one.starts_with("CREATE FUNCTION") {
            true
        } else if one.starts_with("CREATE INDEX") {
            !one.contains(" CONCURRENTLY ")
        } else if one.starts_with("CREATE UNIQUE INDEX") {
            own(on(one))
        } else if one.starts_with("CREATE TRIGGER") {
            let refuses =
                one.contains("RAISE(") || refuses.iter().any(|name| one.contains(&format!("{name}()")));
            !refuses || own(on(one))
        } else if one.starts_with("INSERT ") {
            own(one
                .split_once(" INTO ")
                .and_then(|(_, rest)| rest.split([' ', '(']).next()))
        } else if let Some((_, set)) = one
            .strip_prefix("UPDATE ")
            .and_then(|rest| rest.split_once(" SET "))
        {
            // A value is set to itself, for what fires then.
            set.split_once(" = ")
                .is_some_and(|(column, value)| column == value)
        } else if let Some((_, column)) = one
            .strip_prefix("ALTER TABLE ")
            .and_then(|rest| rest.split_once(" ADD COLUMN "))
        {
            let needed = column.contains("NOT NULL") && !column.contains("DEFAULT");
            let tight = ["UNIQUE", "CHECK", "REFERENCES", "PRIMARY KEY", ","];
            !needed && !tight.iter().any(|word| column.contains(word))
        } else {
            false
        }
    };
    statements.iter().filter(|one| !adds(one)).cloned().collect()
}

#[test]
fn a_step_of_the_store_only_adds() {
    let mut found = Vec::new();
    let mut names: [Vec<String>; 2] = Default::default();
    for (folder, names) in ["migrations", "migrations/postgres"].into_iter().zip(&mut names) {
        for entry in std::fs::read_dir(root().join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|ext| ext != "sql") {
                continue;
            }
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let script = std::fs::read_to_string(&path).expect("UTF-8");
            found.extend(
                wrong(&script)
                    .into_iter()
                    .map(|one| format!("{folder}/{name}: {one}")),
            );
            names.push(name);
        }
        names.sort();
        assert!(names.len() >= 11, "{names:?}");
    }
    assert_none(
        "a replica of the version before would fail at it: docs/store.md, Upgrading",
        &found,
    );
    assert_eq!(names[0], names[1], "both engines take the same steps");
    let store = std::fs::read_to_string(root().join("src/store.rs")).expect("the store");
    for (folder, names) in ["", "postgres/"].into_iter().zip(&names) {
        for name in names {
            let listed = format!("include_str!(\"../migrations/{folder}{name}\")");
            assert!(
                store.contains(&listed),
                "{folder}{name} is no step of src/store.rs"
            );
        }
    }
}

#[test]
fn what_takes_away_or_tightens_is_found() {
    for bad in [
        "DROP TABLE approval;",
        "UPDATE approval SET terms = sealed;",
        "ALTER TABLE approval DROP COLUMN terms;",
        "ALTER TABLE approval RENAME TO request;",
        "ALTER TABLE approval RENAME COLUMN terms TO words;",
        "ALTER TABLE approval ADD COLUMN more TEXT NOT NULL;",
        "ALTER TABLE approval ADD COLUMN more TEXT CHECK (more <> '');",
        "ALTER TABLE approval ADD COLUMN more TEXT, DROP COLUMN terms;",
        "ALTER TABLE approval ALTER COLUMN terms SET NOT NULL;",
        "CREATE UNIQUE INDEX one ON approval (subject);",
        "CREATE TRIGGER no BEFORE INSERT ON approval BEGIN SELECT RAISE(ABORT, 'no; never'); END;",
        "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;\n\
         CREATE TRIGGER no BEFORE INSERT ON approval FOR EACH ROW EXECUTE FUNCTION no();",
        "UPDATE approval SET terms = '';",
        "DELETE FROM approval;",
        "INSERT INTO approval (id) VALUES ('x');",
        "CREATE TABLE more (id TEXT); -- fine\nTRUNCATE approval;",
    ] {
        assert_eq!(wrong(bad).len(), 1, "{bad}");
    }
    for good in [
        "CREATE TABLE more (id TEXT NOT NULL); CREATE UNIQUE INDEX one ON more (id); INSERT INTO more (id) VALUES ('a;b');",
        "ALTER TABLE approval ADD COLUMN more BIGINT NOT NULL DEFAULT 0;",
        "CREATE TABLE more (id TEXT); CREATE TRIGGER no BEFORE UPDATE ON more BEGIN SELECT RAISE(ABORT, 'no'); END;",
        "CREATE INDEX one ON approval (subject); -- DROP TABLE approval;",
    ] {
        assert_eq!(wrong(good), [""; 0], "{good}");
    }
}
