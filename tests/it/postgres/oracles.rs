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
    "made.result",
    "slots.room",
    "children.parent",
    "followers.parent",
    "notes.secret",
    "late.secret",
    "nulls.secret",
    "defaulted.secret",
    "stale.secret",
    "whole.secret",
    "part.secret",
];

/// The first twin's secrets begin with `alpha`, the other's with `bravo`.
fn script(first: bool) -> String {
    let (mark, other, more) = match first {
        true => ("alpha", 3, 7),
        false => ("bravo", 4, 8),
    };
    format!(
        "CREATE TABLE accounts (id int PRIMARY KEY, email text UNIQUE, ssn text, code text, balance int, level int, CHECK (balance >= level));
         CREATE UNIQUE INDEX ON accounts (lower(ssn)); CREATE UNIQUE INDEX ON accounts (level) WHERE code = 'alpha';
         INSERT INTO accounts SELECT n, '{mark}' || n, '{mark}-' || n, '{mark}', {more}00 + n, n FROM generate_series(1, 5) n;
         CREATE TABLE refs (id int PRIMARY KEY, email text REFERENCES accounts (email)); INSERT INTO refs VALUES (1, NULL);
         CREATE TABLE made (id int PRIMARY KEY, a int, secret int, result int GENERATED ALWAYS AS (1 / (a - secret)) STORED);
         INSERT INTO made VALUES (1, 0, {more});
         CREATE TABLE slots (id int PRIMARY KEY, room text, EXCLUDE (room WITH =)); INSERT INTO slots VALUES (1, '{mark}');
         CREATE TABLE parents (id int PRIMARY KEY, word text); INSERT INTO parents SELECT n, 'p' FROM generate_series(1, 9) n;
         CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON UPDATE CASCADE); INSERT INTO children VALUES (1, {other});
         CREATE TABLE heads (id int PRIMARY KEY, word text); INSERT INTO heads SELECT n, 'h' FROM generate_series(1, 9) n;
         CREATE TABLE followers (id int PRIMARY KEY, parent int REFERENCES heads ON DELETE CASCADE); INSERT INTO followers VALUES (1, {other});
         CREATE TABLE notes (id int PRIMARY KEY, word text, secret text); INSERT INTO notes VALUES (1, 'x', '{mark}'), (2, 'y', 'zulu');
         ALTER TABLE notes ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON notes USING (secret = 'alpha');
         CREATE TABLE late (id int PRIMARY KEY, word text, secret text); INSERT INTO late VALUES (1, 'x', '{mark}');
         ALTER TABLE late ADD CHECK (secret <> 'alpha') NOT VALID;
         CREATE TABLE asked (id int PRIMARY KEY, word text); INSERT INTO asked VALUES (1, 'x');
         CREATE FUNCTION is_known() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF EXISTS (SELECT FROM accounts WHERE code = NEW.word)
           THEN RAISE EXCEPTION ''known''; END IF; RETURN NEW; END';
         CREATE TRIGGER asks BEFORE INSERT OR UPDATE ON asked FOR EACH ROW EXECUTE FUNCTION is_known();
         CREATE TABLE far (id int PRIMARY KEY, word text);
         CREATE FUNCTION passes_on() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO refs VALUES (NEW.id, NEW.word); RETURN NEW; END';
         CREATE TRIGGER passes AFTER INSERT ON far FOR EACH ROW EXECUTE FUNCTION passes_on();
         CREATE TABLE nulls (id int PRIMARY KEY, secret text, UNIQUE NULLS NOT DISTINCT (secret));
         INSERT INTO nulls VALUES (1, nullif('{mark}', 'alpha'));
         CREATE DOMAIN coded AS text DEFAULT 'alpha'; CREATE TABLE defaulted (id int PRIMARY KEY, secret coded UNIQUE);
         INSERT INTO defaulted VALUES (1, '{mark}');
         CREATE FUNCTION is_free(word text) RETURNS boolean LANGUAGE sql AS 'SELECT NOT EXISTS (SELECT FROM public.accounts WHERE code = word)';
         CREATE FUNCTION differs(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT NOT EXISTS (SELECT FROM public.accounts WHERE code = $1)';
         CREATE FUNCTION is_listed(word text) RETURNS boolean LANGUAGE sql AS 'SELECT NOT EXISTS (SELECT FROM public.accounts WHERE code = word)';
         CREATE FUNCTION is_written(word text) RETURNS boolean LANGUAGE sql RETURN NOT EXISTS (SELECT FROM public.accounts WHERE code = word);
         CREATE OPERATOR <<>> (LEFTARG = text, RIGHTARG = text, FUNCTION = differs);
         CREATE DOMAIN free AS text CHECK (is_free(VALUE)); CREATE DOMAIN frees AS free[]; CREATE DOMAIN apart AS text CHECK (VALUE <<>> 'x');
         CREATE TABLE by_domain (id int PRIMARY KEY, word free); CREATE TABLE by_list (id int PRIMARY KEY, words frees);
         CREATE TABLE by_apart (id int PRIMARY KEY, word apart);
         CREATE TABLE by_operator (id int PRIMARY KEY, word text CHECK (word <<>> 'x'));
         CREATE TABLE by_check (id int PRIMARY KEY, word text CHECK (is_listed(word)));
         CREATE TABLE by_body (id int PRIMARY KEY, word text CHECK (is_written(word)));
         CREATE TABLE by_when (id int PRIMARY KEY, word text); INSERT INTO by_when VALUES (1, 'alpha');
         CREATE TRIGGER same BEFORE UPDATE ON by_when FOR EACH ROW WHEN (is_free(NEW.word)) EXECUTE FUNCTION suppress_redundant_updates_trigger();
         CREATE TABLE stale (id int PRIMARY KEY, word text, secret text CHECK (secret IS DISTINCT FROM current_setting('shop.closed', true)));
         INSERT INTO stale VALUES (1, 'x', '{mark}'); ALTER DATABASE shop SET shop.closed = 'alpha';
         CREATE TABLE whole (id int, word text, secret text) PARTITION BY RANGE (id);
         CREATE TABLE part (secret text UNIQUE, word text, id int); ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (0) TO (100);
         INSERT INTO whole VALUES (1, 'x', '{mark}'), (2, 'y', 'zulu zulu');
         CREATE TABLE open (id int PRIMARY KEY, word text, n int); INSERT INTO open VALUES (1, 'x', 1), (2, 'y', 2)"
    )
}

/// `{}` is a guess. Those that begin with a plus tell nothing and are made; those with a minus are refused; the rest
/// wait for people.
const ATTEMPTS: &[&str] = &[
    "INSERT INTO accounts (id, email) VALUES (100, '{}1')",
    "INSERT INTO accounts (id, email) VALUES (101, '{}1') ON CONFLICT DO NOTHING",
    "-INSERT INTO accounts (id, email) VALUES (102, '{}1') ON CONFLICT (email) DO NOTHING",
    "-INSERT INTO accounts (id, email) VALUES (103, '{}1') ON CONFLICT (email) DO UPDATE SET level = 0",
    "INSERT INTO accounts VALUES (104, '{}2', 'x', 'y', 1, 1) RETURNING id",
    "INSERT INTO accounts (id, ssn) VALUES (105, '{}-1')",
    "INSERT INTO accounts (id, code, level) VALUES (106, '{}', 2)",
    "UPDATE accounts SET email = '{}1' WHERE id = 2",
    "UPDATE accounts SET ssn = '{}-1' WHERE id = 2",
    "UPDATE accounts SET code = '{}' WHERE id = 2",
    "UPDATE accounts SET level = 750 WHERE id = 1 /* {} */",
    "UPDATE accounts SET level = 3 WHERE id = 2 /* {} */",
    "-UPDATE accounts SET level = balance WHERE id = 1 /* {} */",
    "-UPDATE accounts SET level = 1 WHERE email = '{}1'",
    "-DELETE FROM accounts WHERE code = '{}'",
    "-INSERT INTO open (id, word) SELECT 50, email FROM accounts WHERE code = '{}'",
    "-UPDATE open SET n = 9 WHERE EXISTS (SELECT 1 FROM accounts WHERE accounts.email = '{}1')",
    "-DELETE FROM open USING accounts WHERE accounts.id = open.id AND accounts.code = '{}'",
    "INSERT INTO refs VALUES (200, '{}1')",
    "UPDATE refs SET email = '{}1' WHERE id = 1",
    "UPDATE made SET a = 7 WHERE id = 1 /* {} */",
    "INSERT INTO slots VALUES (2, '{}')",
    "UPDATE slots SET room = '{}' WHERE id = 1",
    "DELETE FROM parents WHERE id = 3 /* {} */",
    "UPDATE parents SET id = 30 WHERE id = 4 /* {} */",
    "DELETE FROM heads WHERE id = 3 /* {} */",
    "INSERT INTO children VALUES (5, 3) /* {} */",
    "DELETE FROM notes WHERE id = 1 /* {} */",
    "UPDATE notes SET word = '{}' WHERE id = 1",
    "UPDATE late SET word = '{}' WHERE id = 1",
    "INSERT INTO asked VALUES (9, '{}')",
    "UPDATE asked SET word = '{}' WHERE id = 1",
    "INSERT INTO far VALUES (300, '{}1')",
    "INSERT INTO whole (id, secret) VALUES (3, '{}')",
    "UPDATE whole SET secret = '{}' WHERE id = 2",
    "INSERT INTO nulls (id) VALUES (2) /* {} */",
    "INSERT INTO defaulted (id) VALUES (2) /* {} */",
    "-INSERT INTO by_domain VALUES (1, '{}')",
    "-INSERT INTO by_list VALUES (1, ARRAY['{}'])",
    "-INSERT INTO by_apart VALUES (1, '{}')",
    "-INSERT INTO open (id, word) VALUES (70, '{}'::apart)",
    "-INSERT INTO by_operator VALUES (1, '{}')",
    "INSERT INTO by_check VALUES (1, '{}')",
    "INSERT INTO by_body VALUES (1, '{}')",
    "-UPDATE by_when SET word = '{}' WHERE id = 1",
    "UPDATE stale SET word = '{}' WHERE id = 1",
    "+UPDATE open SET word = '{}' WHERE id = 1 RETURNING *",
    "+INSERT INTO open VALUES (1, '{}', 5) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING n",
    "+UPDATE parents SET word = '{}' WHERE id < 5",
    "+UPDATE refs SET id = 1 WHERE id = 1 /* {} */",
    "-INSERT INTO open (id, n) VALUES ('{}', 1)",
    "-UPDATE open SET n = n / (n - n) WHERE id = 1 /* {} */",
    "-INSERT INTO open (id, word) VALUES (1, '{}')",
];

async fn twin(first: bool) -> Stand {
    Stand::changing(&script(first), |spec| {
        spec.columns_default = ColumnsDefault::Show;
        spec.columns
            .extend(SECRET.iter().map(|name| ((*name).to_owned(), "email".to_owned())));
        spec.functions.extend(
            [
                "public.is_known",
                "public.passes_on",
                "public.is_listed",
                "public.is_written",
            ]
            .map(str::to_owned),
        );
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
            |effect| json!({"counts": effect.counts(), "sample": effect.sample}),
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
        for guess in ["alpha", "bravo", "zulu"] {
            let statement = attempted.trim_start_matches(['+', '-']).replace("{}", guess);
            let (made, here) = attempt(&one, &statement).await;
            let (_, there) = attempt(&other, &statement).await;
            if here != there {
                wrong.push(format!("TOLD {statement}\n    {here}\n    {there}"));
            }
            let is = code(&made);
            let right = match attempted.chars().next() {
                Some('+') => is == "none",
                Some('-') => matches!(is.as_str(), "statement_refused" | "limit_exceeded"),
                _ => is == "not_permitted",
            };
            if !right {
                wrong.push(format!("{statement}\n    {here}"));
            }
            let hidden = ["alpha", "bravo"].iter().filter(|mark| **mark != guess);
            for mark in hidden {
                if here.to_string().contains(*mark) || there.to_string().contains(*mark) {
                    let shown = attempted.starts_with('+'); // a guess of before, which is public now
                    if !shown {
                        wrong.push(format!("SHOWN {statement}\n    {here}\n    {there}"));
                    }
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
