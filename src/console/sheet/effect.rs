//! What a request would do, as a reviewer sees it: counts, the schema, some rows before and after.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::{plain, pretty};
use crate::approval::review::Sheet;
use crate::call::Bound;
use crate::console::html::{exact, text};

/// Most rows of a sample that are drawn; the rest is counted.
const SAMPLES: usize = 50;

/// What would change, as far as it was measured, and what an approval of it allows.
pub(super) fn effect(out: &mut String, shown: &Sheet) {
    let measured = shown
        .effect
        .as_ref()
        .and_then(|effect| effect.get("irreversible"));
    let by_its_text = shown.facts.pointer("/sql/irreversible");
    if [measured, by_its_text].contains(&Some(&Value::Bool(true))) {
        out.push_str("<section class=\"care\"><p><strong>This cannot be undone.</strong> What it removes or replaces cannot be brought back from what is on record.</p></section>");
    }
    out.push_str("<section><h2>What would change</h2>");
    let Some(effect) = &shown.effect else {
        out.push_str("<p>Nothing was measured for this request: judge it by its exact text.</p>");
        command(out, shown.facts.get("shell"));
        terms(out, shown);
        out.push_str("</section>");
        return;
    };
    let before = out.len();
    rows(out, effect.get("rows"));
    schema(out, effect.get("schema"));
    samples(out, effect.get("sample"), &masked(&shown.facts));
    unmeasured(out, effect.get("unmeasured"));
    let known = ["rows", "schema", "sample", "irreversible", "unmeasured"];
    let other: Map<String, Value> = effect
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !other.is_empty() {
        let _ = write!(out, "<pre>{}</pre>", exact(&pretty(&Value::Object(other))));
    }
    if out.len() == before {
        out.push_str("<p>It was measured, and no row and no schema object would change.</p>");
    }
    terms(out, shown);
    out.push_str("</section>");
}

/// Of a command nobody knows what it would do; what bounds it is known.
fn command(out: &mut String, shell: Option<&Value>) {
    let Some(shell) = shell.filter(|shell| !shell.is_null()) else {
        return;
    };
    if shell.get("kind").and_then(Value::as_str) == Some("script") {
        out.push_str("<p><strong>A script.</strong> It can do whatever its text says inside its sandbox: no network, and no files but its work folder.</p>");
    }
    let writable = shell.get("change").and_then(Value::as_bool) == Some(true);
    out.push_str(if writable {
        "<p><strong>It may write</strong> in the work folder of the person who asks, and what it writes stays there.</p>"
    } else {
        "<p>It cannot write in the work folder.</p>"
    });
}

/// What an approval allows beyond the plain case: the very rows, while the caller waits.
fn terms(out: &mut String, shown: &Sheet) {
    if shown.bound == Bound::Count && shown.effect.is_some() {
        out.push_str("<p><strong>Counts only.</strong> The policy binds your approval to these numbers, not to these rows: when it runs, other rows may be meant.</p>");
    }
    if shown.unattended {
        out.push_str("<p><strong>Runs by itself.</strong> Once approved, the server carries it out, whether or not anybody still waits for it.</p>");
    }
    if shown.ahead {
        out.push_str("<p><strong>Asked ahead.</strong> The agent asks you to approve such calls for a while. Nothing runs by itself when you do; but this very call, if the agent makes it meanwhile, waits for you here and runs then.</p>");
    }
}

/// Columns whose values nobody sees here, as `table.column`.
fn masked(facts: &Value) -> BTreeSet<&str> {
    let classified = facts.get("classified").and_then(Value::as_array);
    let columns = classified.into_iter().flatten();
    columns
        .filter_map(|one| one.get("column").and_then(Value::as_str))
        .collect()
}

/// Relation → kind of change → how many, as a number or with the keys beside it.
fn rows(out: &mut String, rows: Option<&Value>) {
    let Some(rows) = rows.and_then(Value::as_object).filter(|rows| !rows.is_empty()) else {
        return;
    };
    out.push_str("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Rows by table\"><table><thead><tr><th scope=\"col\">Rows of</th><th scope=\"col\" class=\"number\">new</th><th scope=\"col\" class=\"number\">changed</th><th scope=\"col\" class=\"number\">removed</th></tr></thead><tbody>");
    for (table, changes) in rows {
        let count = |kind: &str| {
            let kind = changes.get(kind);
            let counted = kind.and_then(|kind| kind.as_u64().or_else(|| kind.get("count")?.as_u64()));
            counted.unwrap_or(0)
        };
        let _ = write!(out, "<tr><td><bdi>{}</bdi></td>", text(table));
        for kind in ["inserted", "updated", "deleted"] {
            let _ = write!(out, "<td class=\"number\">{}</td>", count(kind));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

fn schema(out: &mut String, schema: Option<&Value>) {
    let Some(schema) = schema
        .and_then(Value::as_object)
        .filter(|schema| !schema.is_empty())
    else {
        return;
    };
    out.push_str("<h3>Schema</h3><ul>");
    for (object, change) in schema {
        let _ = write!(
            out,
            "<li><bdi>{}</bdi>: {}</li>",
            text(object),
            text(&plain(change))
        );
    }
    out.push_str("</ul>");
}

/// What is known of a change that was not tried: the catalogue's words and estimates, and the text that runs.
fn unmeasured(out: &mut String, known: Option<&Value>) {
    let Some(known) = known.and_then(Value::as_object).filter(|known| !known.is_empty()) else {
        return;
    };
    out.push_str("<p><strong>Not measured.</strong> It was not tried, because trying it would keep others waiting. This is what the catalogue says; its numbers are estimates, and bind nobody.</p><ul>");
    for (object, words) in known {
        let _ = write!(
            out,
            "<li><bdi>{}</bdi>: <bdi>{}</bdi></li>",
            text(object),
            text(&plain(words))
        );
    }
    out.push_str("</ul>");
}

/// Rows before and after, one table each: first what differs, marked. What is masked may differ unseen,
/// and is said to.
fn samples(out: &mut String, samples: Option<&Value>, masked: &BTreeSet<&str>) {
    let Some(samples) = samples
        .and_then(Value::as_array)
        .filter(|samples| !samples.is_empty())
    else {
        return;
    };
    let _ = write!(
        out,
        "<h3>{} of these rows, masked</h3>",
        samples.len().min(SAMPLES)
    );
    for sample in samples.iter().take(SAMPLES) {
        row(out, sample, masked);
    }
    if let Some(more) = samples.len().checked_sub(SAMPLES).filter(|more| *more > 0) {
        let _ = write!(out, "<p class=\"faint\">… and {more} more</p>");
    }
}

fn row(out: &mut String, sample: &Value, masked: &BTreeSet<&str>) {
    let of = |name: &str| sample.get(name).and_then(Value::as_object);
    let (before, after) = (of("before"), of("after"));
    let what = match (before, after) {
        (None, _) => "new",
        (_, None) => "removed",
        _ => "changed",
    };
    let table = sample.get("table").map(plain).unwrap_or_default();
    let key = sample.get("key").map(plain).unwrap_or_default();
    let _ = write!(
        out,
        "<p><bdi>{}</bdi> <code>{}</code>: {what}</p><div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"A row before and after\"><table><thead><tr><th scope=\"col\">Column</th><th scope=\"col\">Before</th><th scope=\"col\">After</th></tr></thead><tbody>",
        text(&table),
        text(&key)
    );
    let columns = before.into_iter().chain(after).flat_map(Map::keys);
    let columns: BTreeSet<&String> = columns.collect();
    let (differing, same): (Vec<&String>, Vec<&String>) = columns
        .into_iter()
        .partition(|column| cell(before, column) != cell(after, column));
    for column in &differing {
        let (old, new) = (cell(before, column), cell(after, column));
        let _ = write!(
            out,
            "<tr><td><bdi>{}</bdi></td><td>{}</td><td>{}</td></tr>",
            text(column),
            marked("del", &old),
            marked("ins", &new)
        );
    }
    for column in &same {
        let hidden = masked.contains(format!("{table}.{column}").as_str());
        let _ = write!(
            out,
            "<tr class=\"same\"><td><bdi>{}</bdi></td><td>{}</td><td>{}{}</td></tr>",
            text(column),
            cell(before, column),
            cell(after, column),
            if hidden { " (masked: may differ)" } else { "" }
        );
    }
    out.push_str("</tbody></table></div>");
    if differing.is_empty() {
        out.push_str(
            "<p>Nothing that may be shown differs: what changes in this row is masked. Read the statement.</p>",
        );
    }
}

fn cell(row: Option<&Map<String, Value>>, column: &str) -> String {
    row.and_then(|row| row.get(column))
        .map_or_else(String::new, |value| text(&plain(value)))
}

fn marked(element: &str, html: &str) -> String {
    if html.is_empty() {
        return String::new();
    }
    format!("<{element}>{html}</{element}>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn drawn(sample: &Value, masked: &[&str]) -> String {
        let mut out = String::new();
        row(&mut out, sample, &masked.iter().copied().collect());
        out
    }

    #[test]
    fn what_differs_comes_first_and_what_is_masked_says_so() {
        let before = json!({"city": "Lyon", "email": "***", "zone": 1});
        let after = json!({"city": "Lyon", "email": "***", "zone": 2});
        let html = drawn(
            &json!({"table": "t", "key": 1, "before": before, "after": after}),
            &["t.email"],
        );
        let at = |words: &str| html.find(words).unwrap_or_else(|| panic!("{words}: {html}"));
        assert!(at("<ins>2</ins>") < at("Lyon"));
        assert!(at("*** (masked: may differ)") > at("email"));
        assert_eq!(html.matches("may differ").count(), 1);
        assert!(!html.contains("Nothing that may be shown differs"));
    }

    #[test]
    fn a_change_that_nobody_may_see_is_said() {
        let same = json!({"email": "***"});
        let html = drawn(
            &json!({"table": "t", "key": 1, "before": same, "after": same}),
            &[],
        );
        assert!(html.contains("Nothing that may be shown differs"), "{html}");
    }

    #[test]
    fn what_was_not_tried_says_so() {
        let mut out = String::new();
        unmeasured(&mut out, Some(&json!({"orders": "estimated: <b>about 3 rows"})));
        assert!(
            out.contains("Not measured.") && out.contains("&lt;b&gt;about 3"),
            "{out}"
        );
        out.clear();
        unmeasured(&mut out, None);
        assert!(out.is_empty());
    }

    #[test]
    fn a_command_says_what_bounds_it() {
        let mut out = String::new();
        command(&mut out, Some(&json!({"kind": "script", "change": true})));
        assert!(out.contains("A script.") && out.contains("It may write"), "{out}");
        out.clear();
        command(&mut out, Some(&json!({"kind": "inspection", "change": false})));
        assert!(
            !out.contains("A script.") && out.contains("cannot write"),
            "{out}"
        );
    }
}
