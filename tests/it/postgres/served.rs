//! The leak set through the real binary, on twin databases that differ only in classified values: answers, what is heard
//! of a call while it runs, the server's own log and the journal's records are the same for both.

use super::PASSWORD;
use super::twins::{LEAKS, cases, chance, shows, spec_of, twin};
use crate::support::twins::{Database, Left, ask, differences};

async fn left(first: bool, statements: &[&str]) -> Left {
    let stand = twin(first).await;
    let spec = spec_of(&stand.server);
    let database = Database {
        kind: "postgres",
        url: spec.url.to_string(),
        password: PASSWORD,
        columns: &spec.columns,
        classes: &spec.classes,
        more: "schemas = [\"public\", \"crm\"]\nfunctions = [\"public.slug\"]",
    };
    ask(&database, statements).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_logged_or_kept_tells_the_twins_apart() {
    let chance = chance();
    let statements = cases(LEAKS).into_iter().map(|(_, statement)| statement);
    let statements: Vec<&str> = statements
        .filter(|statement| !chance.is_match(statement))
        .collect();
    assert!(statements.len() >= 200, "{}", statements.len());
    let (one, other) = tokio::join!(left(true, &statements), left(false, &statements));
    let wrong = differences((&one, &other), &statements, shows);
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let ok = one
        .answers
        .iter()
        .filter(|answer| answer["isError"] == false)
        .count();
    assert!(
        ok > 100 && ok < statements.len(),
        "{ok}: some are answered, some refused"
    );
    assert!(
        one.records.iter().all(|records| !records.is_empty()),
        "each is on record"
    );
}
