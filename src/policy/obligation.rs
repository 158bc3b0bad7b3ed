//! Obligations: a `forbid … unless` that names itself as satisfied, and one annotation that says
//! how to satisfy it.
//!
//! The shape is checked to the letter, because everything else about obligations rests on it: a
//! gateway that does not know an obligation refuses (the `forbid` stays), satisfying one can never
//! grant anything (a `permit` cannot look at `satisfied`), and satisfying one cannot uncover
//! another.

use cedar_policy::{Effect, Policy};
use serde_json::{Value, json};

use super::ObligationKind;

/// What a policy's annotations may be called.
pub(super) const ANNOTATIONS: [&str; 12] = [
    "id",
    "explain",
    "approval",
    "bound",
    "unattended",
    "grantable",
    "escalate",
    "break_glass",
    "risk",
    "confirm",
    "limit_rows",
    "limit_seconds",
];

/// The annotations that make a policy an obligation.
const KINDS: [&str; 4] = ["approval", "confirm", "limit_rows", "limit_seconds"];

/// The longest `@explain`, in characters; it is shown to agents.
const EXPLAIN_MAX: usize = 300;

/// What was wrong and what to write instead.
pub(super) type Wrong = (String, String);

/// Reads the obligation of a policy, if it is one, and refuses every half-obligation.
///
/// `mentions` is how often the policy's conditions speak of `context.satisfied`; `conditions` are
/// those conditions in Cedar's JSON form.
pub(super) fn read(
    policy: &Policy,
    id: &str,
    conditions: &[Value],
    mentions: usize,
) -> Result<Option<ObligationKind>, Wrong> {
    let given: Vec<&str> = KINDS
        .into_iter()
        .filter(|kind| policy.annotation(kind).is_some())
        .collect();
    let kind = match given.as_slice() {
        [] if mentions == 0 => return Ok(None),
        [] => {
            return Err((
                "it speaks of `context.satisfied`, but no annotation says how that is satisfied".to_owned(),
                format!(
                    "Only an obligation may: add one of @approval, @confirm, @limit_rows, @limit_seconds to a {}",
                    shape(id)
                ),
            ));
        }
        [kind] => *kind,
        several => {
            return Err((
                format!("it has several obligations: @{}", several.join(", @")),
                "Write one policy for each, every one with an @id of its own.".to_owned(),
            ));
        }
    };
    if policy.effect() == Effect::Permit {
        return Err((
            format!("@{kind} is on a permit, which would grant access instead of asking for something"),
            format!("Write it as a {}", shape(id)),
        ));
    }
    let wanted = json!({"contains": {
        "left": {".": {"left": {"Var": "context"}, "attr": "satisfied"}},
        "right": {"Value": id},
    }});
    let unless: Vec<&Value> = conditions
        .iter()
        .filter(|condition| condition.get("kind").is_some_and(|kind| kind == "unless"))
        .collect();
    let exact = matches!(unless.as_slice(), [only] if only.get("body") == Some(&wanted));
    if !exact || mentions != 1 {
        return Err((
            format!("@{kind} is not on an obligation of the one shape that is understood"),
            format!("Write it as a {}", shape(id)),
        ));
    }
    value(policy, kind).map(Some)
}

fn shape(id: &str) -> String {
    format!(
        "forbid (…) when {{ … }} unless {{ context.satisfied.contains(\"{id}\") }}; with no other `unless` and no other mention of `satisfied`."
    )
}

fn value(policy: &Policy, kind: &str) -> Result<ObligationKind, Wrong> {
    let text = policy.annotation(kind).unwrap_or_default();
    match kind {
        "confirm" if text.is_empty() => Ok(ObligationKind::Confirm),
        "confirm" => Err((
            format!("@confirm takes no value, and has \"{text}\""),
            "Write @confirm alone; words for the person go into @explain(\"…\").".to_owned(),
        )),
        "limit_rows" => number(kind, text).map(ObligationKind::LimitRows),
        "limit_seconds" => number(kind, text).map(ObligationKind::LimitSeconds),
        _ => approval(text).map(ObligationKind::Approval),
    }
}

/// A plain decimal number from 1 on: no sign, no space, no leading zero.
fn number(kind: &str, text: &str) -> Result<u64, Wrong> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse::<u64>().ok().filter(|_| plain).ok_or_else(|| {
        (
            format!("@{kind}(\"{text}\") is not a whole number from 1 on"),
            format!("Write for example @{kind}(\"1000\")."),
        )
    })
}

/// `2 dba, 1 security`: distinct people, counted in Rust.
fn approval(text: &str) -> Result<Vec<(u32, String)>, Wrong> {
    let wrong = |what: String| {
        (
            format!("@approval(\"{text}\"): {what}"),
            "Write how many distinct people of which group, for example @approval(\"2 dba, 1 security\")."
                .to_owned(),
        )
    };
    let mut asked: Vec<(u32, String)> = Vec::new();
    for part in text.split(',') {
        let (count, group) = part
            .trim()
            .split_once(' ')
            .ok_or_else(|| wrong(format!("`{}` is not a number and a group", part.trim())))?;
        let count = number("approval", count)
            .ok()
            .and_then(|count| u32::try_from(count).ok())
            .ok_or_else(|| wrong(format!("`{count}` is not a whole number from 1 on")))?;
        let group = group.trim();
        if group.is_empty() || group.contains(char::is_whitespace) {
            return Err(wrong(format!("`{group}` is not a group")));
        }
        if asked.iter().any(|(_, other)| other == group) {
            return Err(wrong(format!("group `{group}` is named twice")));
        }
        asked.push((count, group.to_owned()));
    }
    Ok(asked)
}

/// `@explain`: shown to agents and people, so short, and of visible characters only.
pub(super) fn explain(policy: &Policy) -> Result<Option<String>, Wrong> {
    let Some(text) = policy.annotation("explain") else {
        return Ok(None);
    };
    let visible = text.chars().all(|c| !c.is_control()) && !text.trim().is_empty();
    if !visible || text.chars().count() > EXPLAIN_MAX {
        return Err((
            "@explain must be one line of text".to_owned(),
            format!("Say in at most {EXPLAIN_MAX} characters what to do instead."),
        ));
    }
    Ok(Some(text.to_owned()))
}
