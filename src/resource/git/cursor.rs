//! Where a list or search goes on. A cursor is a place in an order, not a right: it is checked
//! against the request and the commit it comes with, and names nothing that the walk would not show.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::path::{MAX_PATH, TreePath};
use crate::call::{Code, Hash, Refusal, Request};

/// A place behind which to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    /// The commit it belongs to.
    #[serde(rename = "c")]
    commit: String,
    /// The request it belongs to.
    #[serde(rename = "q")]
    request: String,
    /// The last path given or looked into.
    #[serde(rename = "p")]
    path: String,
    /// The last line given of that file; absent when the file is done.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

/// What a cursor of a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Go on behind this path …
    pub(super) path: TreePath,
    /// … or inside it, behind this line.
    pub(super) line: Option<u64>,
}

impl Cursor {
    /// Makes the cursor for `request` at a shown path.
    pub(super) fn at(request: &Request, commit: &str, path: String, line: Option<u64>) -> String {
        let cursor = Self {
            commit: commit.to_owned(),
            request: identity(request),
            path,
            line,
        };
        URL_SAFE_NO_PAD.encode(json!(cursor).to_string())
    }

    /// Reads the cursor a request came with.
    ///
    /// # Errors
    /// `invalid_arguments`: not one of ours, for another request, or for another commit.
    pub(super) fn read(text: &str, request: &Request, commit: &str) -> Result<Place, Refusal> {
        let refuse = |message: &str| {
            Refusal::new(
                Code::InvalidArguments,
                message,
                "Start again without `cursor`; to go on, repeat the same arguments with the next_cursor of the answer.",
            )
        };
        let unreadable = || refuse("`cursor` is not one that this tool gave");
        if text.len() > MAX_PATH * 6 {
            return Err(unreadable());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| unreadable())?;
        let cursor: Self = serde_json::from_slice(&bytes).map_err(|_| unreadable())?;
        if cursor.request != identity(request) {
            return Err(refuse("`cursor` belongs to a request with other arguments"));
        }
        if cursor.commit != commit {
            return Err(refuse("`cursor` is for an older commit: the branch moved"));
        }
        let path = TreePath::parse(&cursor.path).map_err(|_| unreadable())?;
        Ok(Place {
            path,
            line: cursor.line,
        })
    }
}

/// What two requests of one walk have in common: everything but the page.
fn identity(request: &Request) -> String {
    let parts = match request {
        Request::FileList(list) => json!([list.path, list.reference, list.recursive.unwrap_or(false)]),
        Request::FileSearch(search) => {
            json!([
                search.pattern,
                search.regex.unwrap_or(false),
                search.glob,
                search.reference
            ])
        }
        _ => json!(null),
    };
    Hash::of_json(&parts).hex().chars().take(16).collect()
}
