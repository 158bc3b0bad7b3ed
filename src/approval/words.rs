//! What agents read about approvals. Who decides is never among it: only what the policy explains.

use crate::call::refusal::Code;
use crate::call::{Refusal, is_unseen};

/// How much of a reviewer's reason is kept and passed on, in characters.
pub(super) const REASON: usize = 500;

/// Nobody could decide here.
pub(super) fn unavailable<'a>(explains: impl Iterator<Item = &'a str>) -> Refusal {
    let mut message =
        "This call needs the approval of other people, which this server cannot collect.".to_owned();
    for explain in explains {
        message.push(' ');
        message.push_str(explain);
    }
    Refusal::new(
        Code::ApprovalUnavailable,
        message,
        "Do not retry. Ask for something smaller, or ask your person to arrange it with the operator.",
    )
}

/// There is nothing that could be granted.
pub(super) fn one_by_one() -> Refusal {
    Refusal::new(
        Code::ApprovalUnavailable,
        "Calls like this are approved one by one here, never for a while.",
        "Make the call itself when you need it: people are asked about it then.",
    )
}

/// A reviewer said no; what they wrote is passed on as theirs.
pub(super) fn denied(reason: Option<&str>) -> Refusal {
    let message = match reason.map(cleaned).filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("A reviewer refused this call. Their words: \"{reason}\""),
        None => "A reviewer refused this call.".to_owned(),
    };
    Refusal::new(
        Code::ApprovalDenied,
        message,
        "Do not send it again unchanged. Take the reviewer's words to your person, or ask for something else.",
    )
}

pub(super) fn expired(granted: bool) -> Refusal {
    let message = if granted {
        "This call was approved and not carried out in time, so the approval is void."
    } else {
        "Nobody decided about this call in time, and silence is a refusal."
    };
    Refusal::new(
        Code::ApprovalExpired,
        message,
        "Ask your person whether it is still wanted; the same call then opens a new request.",
    )
}

pub(super) fn withdrawn() -> Refusal {
    Refusal::new(
        Code::ApprovalDenied,
        "The request for this call was withdrawn, or replaced by a newer one.",
        "Ask your person whether it is still wanted; the same call then opens a new request.",
    )
}

/// The people of a grant may not approve any more.
pub(super) fn void() -> Refusal {
    Refusal::new(
        Code::ApprovalExpired,
        "Calls like this were approved for a while, and those who approved them may not any more.",
        "Send the same call again: people are asked about it.",
    )
    .retry()
}

/// Who approved may not any more, or not as who they were.
pub(super) fn void_approval() -> Refusal {
    Refusal::new(
        Code::ApprovalExpired,
        "This call was approved, and not enough of those who approved it count any more.",
        "Send the same call again: people are asked about it.",
    )
    .retry()
}

/// It was granted where, or when, no security key was needed.
pub(super) fn unkeyed() -> Refusal {
    Refusal::new(
        Code::ApprovalDenied,
        "This call was approved without a security key, and approvals need one here.",
        "Ask your person to withdraw the request; the same call then opens a new one.",
    )
}

/// The answer belongs to the session that asked.
pub(super) fn elsewhere() -> Refusal {
    Refusal::new(
        Code::NotFound,
        "This call was approved and carried out for another session, and its answer was given there.",
        "Do not repeat it. Look at the target to see what it did.",
    )
}

/// One call was approved, and it is one of the session that asked.
pub(super) fn of_its_session() -> Refusal {
    Refusal::new(
        Code::NotFound,
        "People approved one call of the session that asked ahead, and none of yours.",
        "Make it in that session, or make the call here: people are asked about it then.",
    )
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(
        Code::OutcomeUnknown,
        "This call was approved and started, and nobody knows what became of it.",
        "Do not repeat it. Look at the target first, and tell your operator the approval's id.",
    )
}

pub(super) fn too_many(most: u32) -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!("{most} calls of yours wait for people's decisions, which is the most one person may have."),
        "Wait for one of them with approval_wait, or let your person withdraw one.",
    )
    .retry()
}

pub(super) fn too_often(most: u32) -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!("People were asked {most} times on your behalf within an hour, which is the most one person may have them asked."),
        "Wait until an hour after the first of them. A new session or another way to ask changes nothing.",
    )
    .retry()
}

/// Asked ahead for no time at all.
pub(super) fn no_minutes() -> Refusal {
    Refusal::new(
        Code::InvalidArguments,
        "`minutes` must be 1 or more.",
        "Say for how many minutes at most you want it, or leave `minutes` out.",
    )
}

/// Asked ahead again and again, with nothing that people could grant.
pub(super) fn measured_enough(most: u32) -> Refusal {
    Refusal::new(
        Code::LimitExceeded,
        format!(
            "{most} times in this hour it was measured what a call would do that you asked about ahead, and nothing came \
             of it that people could be asked."
        ),
        "Make the call itself when you need it: people are asked about it then. Ask ahead again in an hour.",
    )
}

/// The journal must have a decision before anybody acts on it.
pub(super) fn unrecorded() -> Refusal {
    Refusal::new(
        Code::AuditUnavailable,
        "The approval cannot be recorded now, so nothing was carried out.",
        "Try again in a minute. If it stays so, tell your operator the call_id.",
    )
    .retry()
}

/// Somebody's words on one line, without what acts on a screen, cut.
pub(super) fn cleaned(words: &str) -> String {
    let mut out: String = words
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !is_unseen(*c))
        .map(|c| if c == '"' { '\'' } else { c })
        .take(REASON)
        .collect();
    out.truncate(out.trim_end().len());
    out
}
