//! An answer of rows as it leaves over HTTP: the bytes that are on record, and not what a second writer makes of them.
//!
//! The protocol library takes trees of values, which a large answer would have to be made into, be written from and be
//! taken apart again. So it is given a stand-in, the call's own id, where the text and the structured content belong;
//! in the document it makes, the bytes take the place of both. Nobody knows that id before the call has arrived, so
//! nothing that was sent can hold it, and a document with anything but two stand-ins is not sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use memchr::memmem;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

use crate::call::CallId;
use crate::mask::{Masked, Written};

/// An answer that waits for the document it belongs into.
#[derive(Debug)]
pub(super) struct Whole {
    stand_in: String,
    written: Written,
}

/// What the protocol library is given for an answer, and the answer.
pub(super) fn apart(call_id: &CallId, masked: Masked) -> (CallToolResult, Whole) {
    let content = vec![ContentBlock::text(call_id.as_str())];
    let mut result = match masked.is_error() {
        true => CallToolResult::error(content),
        false => CallToolResult::success(content),
    };
    result.structured_content = Some(Value::from(call_id.as_str()));
    let whole = Whole {
        stand_in: Value::from(call_id.as_str()).to_string(),
        written: masked.into_written(),
    };
    (result, whole)
}

impl Whole {
    /// The document with the answer in it; `None` when it is not the one the stand-ins were put into.
    pub(super) fn within(self, document: &Bytes) -> Option<Pieces> {
        let found: Vec<usize> = memmem::find_iter(document, &self.stand_in).collect();
        let [text, structured] = *found.as_slice() else {
            return None;
        };
        let is_member = |at: usize, name: &str| {
            document
                .get(..at)
                .is_some_and(|before| before.ends_with(name.as_bytes()))
        };
        if !is_member(text, "\"text\":") || !is_member(structured, "\"structuredContent\":") {
            return None;
        }
        let length = self.stand_in.len();
        let mut pieces = VecDeque::from([document.slice(..text), self.written.text.into()]);
        pieces.push_back(document.slice(text + length..structured));
        pieces.extend(self.written.structured.into_iter().map(Bytes::from));
        pieces.push_back(document.slice(structured + length..));
        Some(Pieces(pieces))
    }
}

/// A document in pieces, none of which is copied.
#[derive(Debug)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;
    use crate::call::RawOutput;
    use crate::call::answer::Rows;
    use crate::mask::Mask;

    fn id() -> CallId {
        CallId::new(1_700_000_000_000, &[7; 10])
    }

    fn masked() -> Masked {
        let rows = Rows {
            columns: vec!["n".to_owned(), "\"t\"".to_owned()],
            types: Vec::new(),
            rows: vec![
                vec![json!(1.0), json!("a\tb\u{7f}\u{e9} \"c\"")],
                vec![json!(null), json!({"base64": "AAEC", "bytes": 3})],
            ],
            row_count: 2,
        };
        Mask::new().output(&id(), RawOutput::of_rows(rows))
    }

    #[tokio::test]
    async fn a_document_holds_what_the_library_would_have_written_itself() {
        let (result, whole) = apart(&id(), masked());
        let expected = serde_json::to_vec(&super::super::wire::answer(masked())).unwrap();
        let document = Bytes::from(serde_json::to_vec(&result).unwrap());
        let pieces = whole.within(&document).unwrap();
        assert_eq!(pieces.size_hint().exact(), Some(expected.len() as u64));
        let sent = pieces.collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&sent), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn no_other_document_is_filled() {
        let stand_in = json!(id().as_str());
        for document in [
            json!({}),
            json!({"text": stand_in}),
            json!({"structuredContent": stand_in}),
            json!({"text": stand_in, "structuredContent": stand_in, "more": stand_in}),
            json!({"structuredContent": stand_in, "text": stand_in}),
            json!({"text": stand_in, "id": stand_in}),
        ] {
            let (_, whole) = apart(&id(), masked());
            let bytes = Bytes::from(document.to_string());
            assert!(whole.within(&bytes).is_none(), "{document}");
        }
    }
}
