//! What is sent beside what was asked, by nothing of the guard's own but the grammar: both are read as the grammar's
//! JSON, masks are put back into the relations they stand for, and then the two are one text.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

use super::super::grammar;
use super::properties::statement;
use super::world::{CATALOG, query};

/// Where things stand in a text.
const PLACES: &[&str] = &[
    "location",
    "stmt_location",
    "stmt_len",
    "list_start",
    "list_end",
    "rexpr_list_start",
    "rexpr_list_end",
];

fn read(text: &str) -> Value {
    let said = grammar::parse(text, |bytes| serde_json::from_slice::<Value>(bytes).unwrap());
    said.unwrap_or_else(|error| panic!("{text}\n{error:?}"))
}

/// The column that an item of a select list gives.
fn gives(item: &Value) -> Option<&str> {
    let target = &item["ResTarget"];
    let named = target["name"].as_str();
    named.or_else(|| {
        let fields = target["val"]["ColumnRef"]["fields"].as_array()?;
        fields.last()?["String"]["sval"].as_str()
    })
}

/// The relation whose masks a query is: nothing but its columns, in their order, where some of them are classified.
fn masks(query: &Value) -> Option<Value> {
    let select = query["SelectStmt"].as_object()?;
    let plain = ["targetList", "fromClause", "limitOption", "op"];
    if select.keys().any(|key| !plain.contains(&key.as_str())) {
        return None;
    }
    let [from] = select.get("fromClause")?.as_array()?.as_slice() else {
        return None;
    };
    let relation = from.get("RangeVar")?;
    let key = (
        relation["schemaname"].as_str()?.to_owned(),
        relation["relname"].as_str()?.to_owned(),
    );
    let given: Vec<Option<&str>> = select.get("targetList")?.as_array()?.iter().map(gives).collect();
    CATALOG.with(|catalog| {
        let known = catalog.relations.get(&key)?;
        let classified = known.columns.iter().any(|column| column.class.is_some());
        let same = known
            .columns
            .iter()
            .map(|column| Some(column.name.as_str()))
            .eq(given);
        (classified && same && relation.get("alias").is_none()).then(|| relation.clone())
    })
}

/// Names without their schemas, nothing without a place, and masks as the relations they stand for.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            if let Some(item) = fields.get("RangeSubselect")
                && let Some(mut relation) = masks(&item["subquery"])
            {
                relation["alias"] = item["alias"].clone();
                return plain(&json!({ "RangeVar": relation }));
            }
            let kept = fields.iter().filter(|(name, _)| !PLACES.contains(&name.as_str()));
            let kept = kept.map(|(name, value)| match name.as_str() {
                "RangeVar" | "relation" => (name.clone(), relation(value)),
                "funcname" | "names" => (name.clone(), last(value, 1)),
                "fields" => (name.clone(), last(value, 2)),
                _ => (name.clone(), plain(value)),
            });
            Value::Object(kept.collect())
        }
        other => other.clone(),
    }
}

/// The last parts of a name.
fn last(value: &Value, many: usize) -> Value {
    let Some(parts) = value.as_array() else {
        return plain(value);
    };
    plain(&json!(parts[parts.len().saturating_sub(many)..]))
}

/// A relation under the name that it has in the rest of the statement.
fn relation(value: &Value) -> Value {
    let Value::Object(mut fields) = plain(value) else {
        return plain(value);
    };
    fields.remove("schemaname");
    let own = fields.get("relname").cloned().unwrap_or_default();
    let alias = fields.get("alias").and_then(Value::as_object);
    if alias.is_some_and(|alias| alias.get("aliasname") == Some(&own) && is_bare(alias)) {
        fields.remove("alias");
    }
    Value::Object(fields)
}

fn is_bare(alias: &Map<String, Value>) -> bool {
    !alias.contains_key("colnames")
}

/// That nothing differs outside of masks.
pub(super) fn same_outside(statement: &str, sql: &str) {
    let (asked, sent) = (plain(&read(statement)["stmts"]), plain(&read(sql)["stmts"]));
    assert_eq!(asked, sent, "{statement}\n{sql}");
}

#[test]
fn what_differs_is_seen() {
    for (asked, sent) in [
        (
            "SELECT id FROM departments",
            "SELECT id FROM \"public\".\"orders\"",
        ),
        (
            "SELECT id FROM departments",
            "SELECT name FROM \"public\".\"departments\"",
        ),
        (
            "SELECT id FROM crm.orders",
            "SELECT id FROM (SELECT \"id\" FROM \"crm\".\"orders\") AS orders",
        ),
        (
            "SELECT id FROM departments",
            "SELECT id FROM \"public\".\"departments\" LIMIT 1",
        ),
        (
            "SELECT lower(name) FROM departments",
            "SELECT upper(name) FROM \"public\".\"departments\"",
        ),
    ] {
        let (asked, sent) = (plain(&read(asked)["stmts"]), plain(&read(sent)["stmts"]));
        assert_ne!(asked, sent);
    }
}

/// Were nearly all of what is generated refused, what holds for the rest would hold for nothing.
#[test]
fn enough_of_what_is_generated_is_taken_and_nothing_differs_outside_of_masks() {
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut masked) = (0, 0);
    let generated = statement();
    for _ in 0..600 {
        let text = generated.new_tree(&mut runner).unwrap().current();
        if let Ok(checked) = query(&text) {
            same_outside(&text, &checked.sql);
            taken += 1;
            masked += usize::from(!checked.classified.is_empty());
        }
    }
    assert!(
        taken >= 150 && masked >= 100,
        "{taken} of 600, {masked} with masks"
    );
}
