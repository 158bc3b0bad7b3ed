//! Two databases that differ only in classified values, and every change that could tell them apart by whether it
//! succeeds, by what it does or by what it says.

use serde_json::{Value, json};

use super::{ColumnsDefault, Stand, code};

/// Columns that nobody may tell, of the tables below.
const SECRET: &[&str] = &[
    "accounts.email",
    "accounts.ssn",
    "accounts.code",
    "accounts.balance",
    "made.secret",
    "children.parent",
    "followers.parent",
    "staff.boss",
    "moved.boss",
    "late.secret",
    "pairs.secret",
    "defaulted.secret",
    "notes.secret",
    "marked.secret",
    "whole.secret",
    "hidden_key.secret",
    "lax.secret",
    "lazy.secret",
    "spans.begins",
    "stamped.secret",
    "timed.secret",
    "deeper.secret",
    "chained.parent",
    "ranked.secret",
];

/// The first twin's secrets begin with `alpha`, the other's with `bravo`.
fn script(first: bool) -> String {
    let (mark, other, more, rank) = match first {
        true => ("alpha", 3, 7, "seq"),
        false => ("bravo", 4, 8, "10 - seq"),
    };
    format!(
        "CREATE TABLE accounts (id int PRIMARY KEY, email varchar(50) UNIQUE, ssn varchar(50), code varchar(50), balance int, level int,
           low varchar(50) AS (LOWER(ssn)) STORED UNIQUE, CHECK (balance >= level));
         INSERT INTO accounts (id, email, ssn, code, balance, level)
           SELECT seq, CONCAT('{mark}', seq), CONCAT('{mark}-', seq), '{mark}', {more}00 + seq, seq FROM seq_1_to_5;
         CREATE TABLE refs (id int PRIMARY KEY, email varchar(50), FOREIGN KEY (email) REFERENCES accounts (email)); INSERT INTO refs VALUES (1, NULL);
         CREATE TABLE made (id int PRIMARY KEY, a int, secret int, result int AS (1 / (a - secret)) STORED);
         INSERT INTO made (id, a, secret) VALUES (1, 0, {more});
         CREATE TABLE parents (id int PRIMARY KEY, code int UNIQUE, word varchar(50)); INSERT INTO parents SELECT seq, seq, 'p' FROM seq_1_to_9;
         CREATE TABLE children (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES parents (code) ON UPDATE CASCADE); INSERT INTO children VALUES (1, {other});
         CREATE TABLE heads (id int PRIMARY KEY, word varchar(50)); INSERT INTO heads SELECT seq, 'h' FROM seq_1_to_9;
         CREATE TABLE followers (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES heads (id) ON DELETE CASCADE); INSERT INTO followers VALUES (1, {other});
         CREATE TABLE bosses (id int PRIMARY KEY, code int UNIQUE, word varchar(50)); INSERT INTO bosses SELECT seq, seq, 'b' FROM seq_1_to_9;
         CREATE TABLE staff (id int PRIMARY KEY, boss int, FOREIGN KEY (boss) REFERENCES bosses (id)); INSERT INTO staff VALUES (1, {other});
         CREATE TABLE moved (id int PRIMARY KEY, boss int, FOREIGN KEY (boss) REFERENCES bosses (code)); INSERT INTO moved VALUES (1, {other});
         CREATE TABLE late (id int PRIMARY KEY, word varchar(50), secret varchar(50)); INSERT INTO late VALUES (1, 'x', '{mark}');
         SET check_constraint_checks = 0; ALTER TABLE late ADD CHECK (secret <> 'alpha'); SET check_constraint_checks = 1;
         CREATE TABLE pairs (id int PRIMARY KEY, word varchar(50), secret varchar(50), UNIQUE (word, secret));
         INSERT INTO pairs VALUES (1, 'x', '{mark}'), (2, 'y', '{mark}');
         CREATE TABLE defaulted (id int PRIMARY KEY, secret varchar(50) DEFAULT 'alpha' UNIQUE); INSERT INTO defaulted VALUES (1, '{mark}');
         CREATE TABLE notes (id int PRIMARY KEY AUTO_INCREMENT, word varchar(50), secret varchar(50)); INSERT INTO notes VALUES (1, 'x', '{mark}'), (2, 'y', 'zulu zulu');
         CREATE TABLE marked (id int PRIMARY KEY, word varchar(50), secret varchar(50)); INSERT INTO marked VALUES (1, 'x', '{mark}');
         CREATE TRIGGER asks BEFORE UPDATE ON marked FOR EACH ROW SET NEW.word = IF(OLD.secret = NEW.word, 1 / 0, NEW.word);
         CREATE TABLE whole (id int, word varchar(50), secret varchar(50)); INSERT INTO whole VALUES (1, 'x', '{mark}');
         CREATE TABLE hidden_key (secret varchar(50) PRIMARY KEY, word varchar(50)); INSERT INTO hidden_key VALUES ('{mark}', 'x');
         SET sql_mode = ''; CREATE TABLE lax (id int PRIMARY KEY, word varchar(50), secret int, result int AS (1 / (secret - 7)) STORED);
         INSERT INTO lax (id, word, secret) VALUES (1, 'x', {more});
         CREATE TABLE lazy (id int PRIMARY KEY, word varchar(50), secret int, result int AS (1 / (secret - 7)) VIRTUAL, KEY (result));
         INSERT INTO lazy (id, word, secret) VALUES (1, 'x', {more}); SET sql_mode = DEFAULT;
         CREATE TABLE spans (id int PRIMARY KEY, begins date, until date, PERIOD FOR p (begins, until)); INSERT INTO spans VALUES (1, '202{more}-01-01', '2040-01-01');
         CREATE TABLE stamped (id int PRIMARY KEY, secret varchar(50), changed timestamp DEFAULT '2001-01-01' ON UPDATE CURRENT_TIMESTAMP);
         INSERT INTO stamped VALUES (1, '{mark}', '2001-01-01');
         CREATE TABLE timed (id int PRIMARY KEY, word varchar(50), secret varchar(50), changed timestamp(6) DEFAULT '2001-01-01' ON UPDATE CURRENT_TIMESTAMP(6), UNIQUE (changed, secret));
         INSERT INTO timed VALUES (1, 'x', '{mark}', '2001-01-01'), (2, 'y', 'zulu', '2001-01-01');
         CREATE TABLE deeper (id int PRIMARY KEY, a int, b int AS (a + 1) STORED, secret int, result int AS (1 / (b - secret)) STORED);
         INSERT INTO deeper (id, a, secret) VALUES (1, 0, {more});
         CREATE TABLE links (id int PRIMARY KEY, a int, b int AS (a + 0) STORED UNIQUE); INSERT INTO links (id, a) SELECT seq, seq FROM seq_1_to_9;
         CREATE TABLE chained (id int PRIMARY KEY, parent int, FOREIGN KEY (parent) REFERENCES links (b)); INSERT INTO chained VALUES (1, {other});
         CREATE TABLE ranked (id int PRIMARY KEY, secret int UNIQUE); INSERT INTO ranked SELECT seq, {rank} FROM seq_1_to_9;
         CREATE TABLE open (id int PRIMARY KEY, word varchar(50), n int); INSERT INTO open VALUES (1, 'x', 1), (2, 'y', 2)"
    )
}

/// `{}` is a guess. Those that begin with a plus tell nothing and are made; those with a minus are refused; the rest
/// wait for people.
const ATTEMPTS: &[&str] = &[
    "INSERT INTO accounts (id, email) VALUES (100, '{}1')",
    "INSERT INTO accounts (id, email, ssn, code, balance, level) VALUES (104, '{}2', 'x', 'y', 1, 1)",
    "INSERT INTO accounts (id, ssn) VALUES (105, '{}-1')",
    "INSERT INTO accounts SET id = 107, email = '{}1'",
    "-INSERT INTO accounts (id, email) VALUES (102, '{}1') ON DUPLICATE KEY UPDATE level = 0",
    "-INSERT IGNORE INTO accounts (id, email) VALUES (103, '{}1')",
    "-REPLACE INTO accounts (id, email) VALUES (108, '{}1')",
    "-INSERT INTO accounts (id, email) VALUES (109, '{}1') RETURNING id",
    "UPDATE accounts SET email = '{}1' WHERE id = 2",
    "UPDATE accounts SET ssn = '{}-1' WHERE id = 2",
    "UPDATE accounts SET code = '{}' WHERE id = 2",
    "UPDATE accounts SET level = 750 WHERE id = 1 /* {} */",
    "-UPDATE accounts SET level = balance WHERE id = 1 /* {} */",
    "-UPDATE accounts SET level = 1 WHERE email = '{}1'",
    "-UPDATE accounts SET level = 1 WHERE low = '{}-1'",
    "-DELETE FROM accounts WHERE code = '{}'",
    "-DELETE FROM accounts WHERE id = 1 ORDER BY email = '{}1' LIMIT 1",
    "DELETE FROM accounts WHERE id = 5 /* {} */",
    "-INSERT INTO open (id, word) SELECT 50, email FROM accounts WHERE code = '{}'",
    "-UPDATE open SET n = 9 WHERE EXISTS (SELECT 1 FROM accounts WHERE accounts.email = '{}1')",
    "-UPDATE open SET n = (SELECT COUNT(*) FROM accounts WHERE code = '{}')",
    "-UPDATE open, accounts SET n = 9 WHERE accounts.id = open.id AND accounts.code = '{}'",
    "-DELETE open FROM open JOIN accounts ON accounts.id = open.id WHERE accounts.code = '{}'",
    "-DELETE FROM open WHERE id IN (SELECT id FROM accounts WHERE code = '{}')",
    "INSERT INTO refs VALUES (200, '{}1')",
    "UPDATE refs SET email = '{}1' WHERE id = 1",
    "UPDATE made SET a = 7 WHERE id = 1 /* {} */",
    "UPDATE made SET secret = 0 WHERE id = 1 /* {} */",
    "-UPDATE parents SET code = 30 WHERE id = 4 /* {} */",
    "DELETE FROM parents WHERE id = 3 /* {} */",
    "INSERT INTO children VALUES (5, 3) /* {} */",
    "-DELETE FROM heads WHERE id = 3 /* {} */",
    "DELETE FROM bosses WHERE id = 3 /* {} */",
    "UPDATE bosses SET code = 30 WHERE id = 4 /* {} */",
    "UPDATE staff SET boss = 44 WHERE id = 1 /* {} */",
    "UPDATE late SET word = '{}' WHERE id = 1",
    "UPDATE pairs SET word = 'y' WHERE id = 1 /* {} */",
    "UPDATE pairs SET secret = '{}' WHERE id = 2",
    "INSERT INTO pairs VALUES (3, 'x', '{}')",
    "INSERT INTO defaulted (id) VALUES (2) /* {} */",
    "-UPDATE marked SET word = '{}' WHERE id = 1",
    "-UPDATE whole SET word = '{}' WHERE id = 1",
    "-DELETE FROM whole WHERE id = 1 /* {} */",
    "-INSERT INTO hidden_key VALUES ('{}', 'y')",
    "-UPDATE hidden_key SET word = '{}'",
    "-UPDATE notes SET word = secret WHERE id = 1 /* {} */",
    "-UPDATE notes SET word = 'x' WHERE secret <=> '{}'",
    "-UPDATE notes SET word = (SELECT secret FROM marked LIMIT 1) /* {} */",
    "UPDATE lax SET word = 'y' WHERE id = 1 /* {} */",
    "UPDATE lazy SET word = 'y' WHERE id = 1 /* {} */",
    "+DELETE FROM lazy WHERE id = 1 /* {} */",
    "UPDATE spans SET until = '2027-06-01' WHERE id = 1 /* {} */",
    "UPDATE stamped SET secret = '{}' WHERE id = 1",
    "UPDATE timed SET word = 'z' WHERE id = 1 /* {} */",
    "UPDATE deeper SET a = 6 WHERE id = 1 /* {} */",
    "UPDATE links SET a = 30 WHERE id = 4 /* {} */",
    "+UPDATE notes SET secret = '{}' WHERE id = 2",
    "+UPDATE notes SET secret = '{}', word = 'w' WHERE id < 3",
    "+INSERT INTO notes (word, secret) VALUES ('n', '{}')",
    "+UPDATE open SET word = '{}' WHERE id = 1",
    "+UPDATE parents SET word = '{}' WHERE id < 5",
    "+DELETE FROM open WHERE word = '{}x'",
    "+UPDATE open SET n = 9 WHERE id IN (SELECT id FROM accounts WHERE level > 2) /* {} */",
    "+INSERT INTO open (id, n) SELECT id + 60, id FROM ranked LIMIT 2 /* {} */",
    "+UPDATE open SET word = (SELECT GROUP_CONCAT(id) FROM ranked) WHERE id = 2 /* {} */",
    "-INSERT INTO open (id, n) VALUES ('{}', 1)",
    "-UPDATE open SET n = 1 / 0 WHERE id = 1 /* {} */",
    "-INSERT INTO open (id, word) VALUES (1, '{}')",
];

async fn twin(first: bool) -> Stand {
    Stand::changing(&[&script(first)], |spec| {
        spec.columns_default = ColumnsDefault::Show;
        let secret = SECRET.iter().map(|name| ((*name).to_owned(), "email".to_owned()));
        spec.columns = secret.collect();
    })
    .await
}

/// All that anybody is told of an attempt: policies, reviewers and the agent.
async fn attempt(stand: &Stand, statement: &str) -> (Value, Value) {
    let facts = stand.inspect(statement).await.map_or_else(
        |refusal| json!([refusal.message, refusal.suggestion]),
        |facts| json!({"sql": facts.sql, "classified": facts.classified, "probe": facts.probe}),
    );
    let measured = match facts["probe"] == json!("measurable") {
        false => Value::Null,
        true => stand.measure(statement).await.map_or_else(
            |refusal| json!([refusal.message, refusal.suggestion, refusal.detail]),
            |effect| json!({"counts": effect.counts(), "rows": effect.rows, "sample": effect.sample}),
        ),
    };
    let made = stand.change(statement).await;
    (
        made.clone(),
        json!({"facts": facts, "measured": measured, "made": made}),
    )
}

#[tokio::test]
async fn no_change_tells_two_databases_apart_that_differ_in_classified_values() {
    let (one, other) = (twin(true).await, twin(false).await);
    let (mut wrong, mut taken) = (Vec::new(), 0);
    for attempted in ATTEMPTS {
        // Where it guesses nothing, once is enough.
        let guesses: &[&str] = match attempted.contains("/* {} */") {
            true => &["alpha"],
            false => &["alpha", "bravo", "zulu"],
        };
        for guess in guesses {
            let statement = attempted.trim_start_matches(['+', '-']).replace("{}", guess);
            let ((made, here), (_, there)) =
                tokio::join!(attempt(&one, &statement), attempt(&other, &statement));
            if here != there {
                wrong.push(format!("TOLD {statement}\n    {here}\n    {there}"));
            }
            let is = code(&made);
            let right = match attempted.chars().next() {
                Some('+') => is == "none",
                Some('-') => is == "statement_refused",
                _ => is == "not_permitted",
            };
            if !right {
                wrong.push(format!("{statement}\n    {here}"));
            }
            let hidden = ["alpha", "bravo"].iter().filter(|mark| *mark != guess);
            for mark in hidden {
                let shown = attempted.starts_with('+'); // a guess of before, which is public now
                if !shown && (here.to_string().contains(*mark) || there.to_string().contains(*mark)) {
                    wrong.push(format!("SHOWN {statement}\n    {here}\n    {there}"));
                }
            }
            taken += 1;
        }
    }
    assert!(taken >= 100, "{taken}");
    assert!(
        wrong.is_empty(),
        "{} of {taken}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
