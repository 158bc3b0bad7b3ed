//! What is sent beside what was asked, by nothing of the guard's own: the library's tree of either, read with the
//! library's own dialect, with the names of relations as the agent wrote them.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::{Parser, ParserOptions};

use super::properties::statement;
use super::world::query;

fn read(text: &str) -> Option<Value> {
    let options = ParserOptions::new().with_unescape(false);
    let mut parser = Parser::new(&MySqlDialect {})
        .with_options(options)
        .try_with_sql(text)
        .ok()?;
    parser
        .parse_statements()
        .ok()
        .map(|parsed| serde_json::to_value(parsed).unwrap())
}

/// The names of common table expressions, in the order in which they are written.
fn ctes(tree: &Value, into: &mut Vec<String>) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| ctes(item, into)),
        Value::Object(fields) => {
            let name = fields.get("cte_tables").and_then(Value::as_array);
            for cte in name.into_iter().flatten() {
                into.push(cte["alias"]["name"]["value"].as_str().unwrap().to_lowercase());
            }
            fields.values().for_each(|value| ctes(value, into));
        }
        _ => {}
    }
}

/// The characters that a text between such marks stands for.
fn meant(text: &str, mark: char) -> String {
    let mut said = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => said.extend(characters.next()),
            _ if c == mark => said.extend(characters.next()), // twice
            _ => said.push(c),
        }
    }
    said
}

/// What both are read as: `names` are those of common table expressions, as they are here and as they are to be.
struct Plain<'n>(Vec<(&'n String, &'n String)>);

impl Plain<'_> {
    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => self.object(fields),
            other => other.clone(),
        }
    }

    fn object(&self, fields: &Map<String, Value>) -> Value {
        // A text in either kind of quotation marks is the same text.
        for (kind, mark) in [("SingleQuotedString", '\''), ("DoubleQuotedString", '"')] {
            if let Some(Value::String(text)) = fields.get(kind) {
                return json!({ "text": meant(text, mark) });
            }
        }
        let is_place = |name: &str| name == "span" || name == "quote_style" || name.ends_with("_token");
        let kept = fields.iter().filter(|(name, _)| !is_place(name));
        let kept = kept.map(|(name, value)| match (name.as_str(), value) {
            ("Table", Value::Object(table)) if table.contains_key("with_hints") => {
                (name.clone(), self.table(table))
            }
            ("CompoundIdentifier" | "ObjectName", Value::Array(parts)) => (name.clone(), self.last(parts, 2)),
            ("cte_tables", Value::Array(all)) => {
                (name.clone(), all.iter().map(|cte| self.cte(cte)).collect())
            }
            _ => (name.clone(), self.value(value)),
        });
        Value::Object(kept.collect())
    }

    fn last(&self, parts: &[Value], many: usize) -> Value {
        self.value(&json!(parts[parts.len().saturating_sub(many)..]))
    }

    fn known(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        let found = self.0.iter().find(|(here, _)| **here == lower);
        found.map_or(lower, |(_, there)| (*there).clone())
    }

    fn cte(&self, cte: &Value) -> Value {
        let mut cte = self.value(cte);
        let name = self.known(cte["alias"]["name"]["value"].as_str().unwrap());
        cte["alias"]["name"]["value"] = json!(name);
        cte
    }

    /// A relation by its last name, and with an alias only where that is another one.
    fn table(&self, table: &Map<String, Value>) -> Value {
        let mut plain = self.value(&Value::Object(table.clone()));
        let parts = table["name"].as_array().unwrap();
        let name = parts.last().unwrap()["Identifier"]["value"].as_str().unwrap();
        let name = self.known(name);
        let alias = &plain["alias"];
        let same = alias["name"]["value"]
            .as_str()
            .is_some_and(|alias| alias.to_lowercase() == name);
        let bare = alias["columns"].as_array().is_none_or(Vec::is_empty);
        if same && bare {
            plain["alias"] = Value::Null;
        }
        plain["name"] = json!(name);
        plain
    }
}

/// Whether the two are one statement, where the library can read what was asked.
fn same_outside(statement: &str, sql: &str) -> bool {
    let Some(asked) = read(statement) else {
        return false;
    };
    let sent = read(sql).unwrap_or_else(|| panic!("{statement}\n{sql}"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    ctes(&asked, &mut ours);
    ctes(&sent, &mut theirs);
    assert_eq!(ours.len(), theirs.len(), "{statement}\n{sql}");
    let same = Plain(Vec::new()).value(&asked);
    let back = Plain(theirs.iter().zip(&ours).collect()).value(&sent);
    assert_eq!(same, back, "{statement}\n{sql}");
    true
}

#[test]
fn what_differs_is_seen() {
    for (asked, sent) in [
        (
            "SELECT id FROM orders",
            "SELECT id FROM `shop_masked`.`customers`",
        ),
        (
            "SELECT id FROM orders",
            "SELECT total FROM `shop_masked`.`orders`",
        ),
        (
            "SELECT id FROM orders",
            "SELECT id FROM `shop_masked`.`orders` LIMIT 1",
        ),
        ("SELECT 'a' FROM orders", "SELECT 'b' FROM `shop_masked`.`orders`"),
        (
            "SELECT o.id FROM orders o",
            "SELECT o.id FROM `shop_masked`.`orders`",
        ),
    ] {
        let (asked, sent) = (read(asked).unwrap(), read(sent).unwrap());
        let plain = Plain(Vec::new());
        assert_ne!(plain.value(&asked), plain.value(&sent));
    }
}

/// Were nearly all of what is generated refused, what holds for the rest would hold for nothing.
#[test]
fn enough_of_what_is_generated_is_taken_and_nothing_differs_outside_of_names() {
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut compared, mut masked) = (0, 0, 0);
    let generated = statement();
    for _ in 0..600 {
        let text = generated.new_tree(&mut runner).unwrap().current();
        if let Ok(checked) = query(&text) {
            taken += 1;
            compared += usize::from(same_outside(&text, &checked.sql));
            masked += usize::from(!checked.classified.is_empty());
        }
    }
    assert!(
        taken >= 100 && masked >= 80 && compared * 10 >= taken * 9,
        "{taken} of 600, {masked} with masks, {compared} compared"
    );
}
