//! The leak set through the real binary, on twin databases that differ only in classified values: answers, what is heard
//! of a call while it runs, the server's own log and the journal's records are the same for both.

use super::PASSWORD;
use super::twins::{MARKS, chance, leaks, twin};
use crate::support::twins::{Database, Left, ask, differences};

async fn left(first: bool, statements: &[&str]) -> Left {
    let stand = twin(first).await;
    let database = Database {
        kind: "mysql",
        url: stand.spec.url.to_string(),
        password: PASSWORD,
        columns: &stand.spec.columns,
        classes: &stand.spec.classes,
        more: "",
    };
    ask(&database, statements).await
}

fn shows(statement: &str, said: &str) -> bool {
    MARKS
        .iter()
        .any(|mark| said.contains(mark) && !statement.contains(mark))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_said_logged_or_kept_tells_the_twins_apart() {
    let chance = chance();
    let mut statements = leaks();
    statements.retain(|statement| !chance.is_match(statement));
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
        ok > 60 && ok < statements.len(),
        "{ok}: some are answered, some refused"
    );
    assert!(
        one.records.iter().all(|records| !records.is_empty()),
        "each is on record"
    );
}
