//! The messages of OTLP that are sent here, as protocol buffers: the few fields they use, by their numbers.
//!
//! Written out because the generated types would bring a second `prost` and a gRPC stack; the test decodes what is sent
//! with the types that OpenTelemetry publishes for Python (`tests/peers/otlp`). Numbers are those of
//! `opentelemetry/proto` 1.x, which promises never to change them.

use std::collections::BTreeMap;

/// What our own data calls the semantic conventions it follows.
const SCOPE: &str = "tollgate";

/// 16 bytes.
pub(super) type TraceId = [u8; 16];
/// 8 bytes.
pub(super) type SpanId = [u8; 8];

/// Whose side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
}

/// One span that has ended. Times are Unix nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) link: Option<(TraceId, SpanId)>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<(&'static str, String)>,
    pub(super) is_error: bool,
}

/// One log line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) at: u64,
    /// 1 to 24, as the protocol counts.
    pub(super) severity: u8,
    pub(super) level: &'static str,
    pub(super) body: String,
    pub(super) target: &'static str,
    pub(super) within: Option<(TraceId, SpanId)>,
}

/// An `ExportTraceServiceRequest`.
pub(super) fn traces(resource: &BTreeMap<String, String>, spans: &[Span]) -> Vec<u8> {
    request(resource, |scope| {
        for one in spans {
            scope.message(2, |out| span(out, one));
        }
    })
}

/// An `ExportLogsServiceRequest`.
pub(super) fn logs(resource: &BTreeMap<String, String>, lines: &[Line]) -> Vec<u8> {
    request(resource, |scope| {
        for one in lines {
            scope.message(2, |out| line(out, one));
        }
    })
}

/// Traces and logs are wrapped alike: resource, scope, records.
fn request(resource: &BTreeMap<String, String>, records: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::default();
    out.message(1, |of_resource| {
        of_resource.message(1, |out| {
            for (key, value) in resource {
                out.message(1, |pair| attribute(pair, key, value));
            }
        });
        of_resource.message(2, |of_scope| {
            of_scope.message(1, |out| {
                out.bytes(1, SCOPE.as_bytes());
                out.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            records(of_scope);
        });
    });
    out.0
}

fn span(out: &mut Writer, span: &Span) {
    out.bytes(1, &span.trace);
    out.bytes(2, &span.id);
    if let Some(parent) = &span.parent {
        out.bytes(4, parent);
    }
    out.bytes(5, span.name.as_bytes());
    out.number(6, span.kind as u64);
    out.fixed64(7, span.start);
    out.fixed64(8, span.end);
    for (key, value) in &span.attributes {
        out.message(9, |pair| attribute(pair, key, value));
    }
    if let Some((trace, id)) = &span.link {
        out.message(13, |link| {
            link.bytes(1, trace);
            link.bytes(2, id);
        });
    }
    if span.is_error {
        out.message(15, |status| status.number(3, 2)); // STATUS_CODE_ERROR
    }
}

fn line(out: &mut Writer, line: &Line) {
    out.fixed64(1, line.at);
    out.number(2, u64::from(line.severity));
    out.bytes(3, line.level.as_bytes());
    out.message(5, |body| body.bytes(1, line.body.as_bytes()));
    out.message(6, |pair| {
        attribute(pair, "code.namespace", line.target);
    });
    if let Some((trace, span)) = &line.within {
        out.bytes(9, trace);
        out.bytes(10, span);
    }
    out.fixed64(11, line.at);
}

fn attribute(out: &mut Writer, key: &str, value: &str) {
    out.bytes(1, key.as_bytes());
    out.message(2, |out| out.bytes(1, value.as_bytes()));
}

/// How many records a response says were not taken: the first field of its first field.
pub(super) fn rejected(response: &[u8]) -> u64 {
    let partial = field(response, 1).and_then(|found| match found {
        Found::Bytes(bytes) => Some(bytes),
        Found::Number(_) => None,
    });
    match partial.and_then(|partial| field(partial, 1)) {
        Some(Found::Number(count)) => count,
        _ => 0,
    }
}

enum Found<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field of that number; nothing where the bytes are no message.
fn field(mut bytes: &[u8], wanted: u64) -> Option<Found<'_>> {
    loop {
        let tag = varint(&mut bytes)?;
        let found = match tag & 7 {
            0 => Found::Number(varint(&mut bytes)?),
            1 => Found::Bytes(take(&mut bytes, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Found::Bytes(take(&mut bytes, length)?)
            }
            5 => Found::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(found);
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_collector_did_not_take_is_read_from_any_answer() {
        assert_eq!(rejected(&[]), 0);
        assert_eq!(rejected(&[0x0a, 0x02, 0x08, 0x05]), 5);
        assert_eq!(rejected(&[0x0a, 0x05, 0x12, 0x01, b'x', 0x08, 0x03]), 3);
        for hostile in [&[0x0a, 0xff][..], &[0x0a, 0x02, 0x08], &[0xff; 40], b"<html>"] {
            assert_eq!(rejected(hostile), 0);
        }
    }

    #[test]
    fn numbers_are_written_as_the_format_wants_them() {
        let mut out = Writer::default();
        out.number(1, 300);
        out.fixed64(2, 1);
        assert_eq!(out.0, [0x08, 0xac, 0x02, 0x11, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
