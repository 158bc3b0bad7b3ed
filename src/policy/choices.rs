//! What a policy chooses beside `@approval`: how an approval is used, and what becomes of a request when those
//! who are asked have no time.

use cedar_policy::Policy;
use serde::{Deserialize, Serialize};

use super::ObligationKind;
use super::obligation::Wrong;
use crate::call::{Approver, Bound, User, UserKind};

/// The longest time that `@grantable` and `@escalate` take, in seconds.
const LONGEST: u64 = 24 * 3600;
/// Most uses of one grant.
const MOST_USES: u64 = 1_000;

/// `@grantable("30m, 20 uses, 100 rows")`: people may approve the same call for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grantable {
    /// For at most so long.
    pub seconds: u64,
    /// So many times at most, beside the call that was approved.
    pub uses: u32,
    /// Each changing, or reading, at most so many rows; without it as many as the approved call changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// One part of `@escalate("oncall after 10m")`: whom else a request is put to that waits too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Who may fill any of the seats then.
    pub group: String,
    /// Seconds after the request was made.
    pub seconds: u64,
}

/// Everything that may stand beside `@approval`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choices {
    /// `@bound("keys")` (the default) or `@bound("count")`.
    pub(super) bound: Bound,
    /// `@unattended`: an approved call may run although its client has left.
    pub(super) unattended: bool,
    /// `@grantable`.
    pub(super) grantable: Option<Grantable>,
    /// `@escalate`, in the order of time.
    pub(super) escalate: Vec<Escalation>,
    /// `@break_glass`: the group whose members may go on with their own request.
    pub(super) break_glass: Option<String>,
    /// `@risk("high")`: people decide it on its page alone, freshly signed in.
    pub(super) high_risk: bool,
}

impl Choices {
    /// The groups that are named.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        let escalate = self.escalate.iter().map(|one| one.group.as_str());
        escalate.chain(self.break_glass.as_deref())
    }

    /// Whether a person may go on with their own request alone: it is theirs, and they were in the group when they
    /// signed in to say so.
    pub(super) fn breaks(&self, by: &Approver, requester: &User) -> bool {
        let same = by.issuer == requester.issuer && by.subject == requester.subject;
        let group = self.break_glass.as_ref();
        same && requester.kind == UserKind::Person && group.is_some_and(|group| by.groups.contains(group))
    }
}

/// Reads what only means something beside `@approval`.
pub(super) fn read(policy: &Policy, obligation: Option<&ObligationKind>) -> Result<Choices, Wrong> {
    let names = [
        "bound",
        "unattended",
        "grantable",
        "escalate",
        "break_glass",
        "risk",
    ];
    let asks_people = matches!(obligation, Some(ObligationKind::Approval(_)));
    if let Some(idle) = names.into_iter().find(|name| policy.annotation(name).is_some())
        && !asks_people
    {
        return Err((
            format!("@{idle} says how an approval is used, and there is no @approval"),
            "Put it beside @approval(\"…\"), or leave it out.".to_owned(),
        ));
    }
    if let Some(other) = policy.annotation("unattended").filter(|value| !value.is_empty()) {
        return Err((
            format!("@unattended takes no value, and has \"{other}\""),
            "Write @unattended alone.".to_owned(),
        ));
    }
    if let Some(other) = policy.annotation("risk").filter(|value| *value != "high") {
        return Err((
            format!("@risk(\"{other}\") is not known"),
            "Write @risk(\"high\") to have it decided on its page alone, or leave it out.".to_owned(),
        ));
    }
    Ok(Choices {
        high_risk: policy.annotation("risk").is_some(),
        bound: bound(policy.annotation("bound"))?,
        unattended: policy.annotation("unattended").is_some(),
        grantable: policy.annotation("grantable").map(grantable).transpose()?,
        escalate: policy.annotation("escalate").map_or(Ok(Vec::new()), escalate)?,
        break_glass: policy.annotation("break_glass").map(break_glass).transpose()?,
    })
}

fn bound(text: Option<&str>) -> Result<Bound, Wrong> {
    match text {
        None | Some("keys") => Ok(Bound::Keys),
        Some("count") => Ok(Bound::Count),
        Some(other) => Err((
            format!("@bound(\"{other}\") is not known"),
            "Write @bound(\"keys\") (only the approved rows) or @bound(\"count\") (not more rows than approved)."
                .to_owned(),
        )),
    }
}

fn grantable(text: &str) -> Result<Grantable, Wrong> {
    let wrong = |what: String| {
        (
            format!("@grantable(\"{text}\"): {what}"),
            "Write how long and how often at most, and how many rows each time if it may be more than the \
             approved call changes, for example @grantable(\"30m, 20 uses\") or @grantable(\"1h, 5 uses, 100 rows\")."
                .to_owned(),
        )
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (time, uses, rows) = match parts.as_slice() {
        [time, uses] => (time, uses, None),
        [time, uses, rows] => (time, uses, Some(rows)),
        _ => return Err(wrong("it has not two or three parts".to_owned())),
    };
    let counted = |part: &str, unit: &str| {
        let count = part.strip_suffix(unit).and_then(|count| number(count.trim_end()));
        count.ok_or_else(|| wrong(format!("`{part}` is not a number of {unit}")))
    };
    let uses = counted(uses, "uses")?;
    let uses = u32::try_from(uses).ok().filter(|_| uses <= MOST_USES);
    Ok(Grantable {
        seconds: duration(time).ok_or_else(|| wrong(format!("`{time}` is not a time up to 24h")))?,
        uses: uses.ok_or_else(|| wrong(format!("it allows more than {MOST_USES} uses")))?,
        rows: rows.map(|rows| counted(rows, "rows")).transpose()?,
    })
}

fn escalate(text: &str) -> Result<Vec<Escalation>, Wrong> {
    let wrong = |what: String| {
        (
            format!("@escalate(\"{text}\"): {what}"),
            "Write which group after which time, for example @escalate(\"oncall after 10m\") or \
             @escalate(\"oncall after 10m, managers after 30m\")."
                .to_owned(),
        )
    };
    let mut all: Vec<Escalation> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (group, time) = part
            .split_once(" after ")
            .ok_or_else(|| wrong(format!("`{part}` is not a group and a time")))?;
        let seconds =
            duration(time.trim()).ok_or_else(|| wrong(format!("`{time}` is not a time up to 24h")))?;
        let group = group.trim();
        if group.is_empty() || group.contains(char::is_whitespace) {
            return Err(wrong(format!("`{group}` is not a group")));
        }
        if all.iter().any(|one| one.group == group) {
            return Err(wrong(format!("group `{group}` is named twice")));
        }
        all.push(Escalation {
            group: group.to_owned(),
            seconds,
        });
    }
    all.sort_by_key(|one| one.seconds);
    Ok(all)
}

fn break_glass(text: &str) -> Result<String, Wrong> {
    if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == ',') {
        return Ok(text.to_owned());
    }
    Err((
        format!("@break_glass(\"{text}\") does not name one group"),
        "Write the one group whose members may go on with their own request, for example @break_glass(\"oncall\")."
            .to_owned(),
    ))
}

/// `90s`, `30m`, `2h`: seconds, from 1 to a day.
fn duration(text: &str) -> Option<u64> {
    let units = [('s', 1), ('m', 60), ('h', 3600)];
    let (count, unit) = units
        .into_iter()
        .find_map(|(letter, unit)| Some((text.strip_suffix(letter)?, unit)))?;
    let seconds = number(count)?.checked_mul(unit)?;
    (seconds <= LONGEST).then_some(seconds)
}

/// A plain decimal number from 1 on.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain)
}
