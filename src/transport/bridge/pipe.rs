//! Lines in, lines out.

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

/// What comes next.
pub(super) enum Line {
    /// A line that is not empty.
    Message(Vec<u8>),
    /// A line was too long and is gone.
    TooLong,
    /// The input ended.
    End,
}

/// Lines of bounded length.
pub(super) struct Lines<R> {
    read: BufReader<R>,
    line: Vec<u8>,
    longest: usize,
    /// The rest of a line that was too long is being skipped.
    discarding: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(read: R, longest: usize) -> Self {
        Self {
            read: BufReader::new(read),
            line: Vec::new(),
            longest,
            discarding: false,
        }
    }

    /// The next line. Can be dropped at any await and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Line {
        loop {
            let Ok(available) = self.read.fill_buf().await else {
                return Line::End;
            };
            if available.is_empty() {
                return Line::End; // what is left without a line end is not a message
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let (taken, _) = available.split_at(end.map_or(available.len(), |at| at + 1));
            let size = taken.len();
            let too_long = !self.discarding && self.line.len().saturating_add(size) > self.longest;
            if too_long {
                self.line.clear();
                self.discarding = true;
            } else if !self.discarding {
                self.line.extend_from_slice(taken);
            }
            self.read.consume(size);
            let whole = end.is_some() && !self.discarding;
            if end.is_some() {
                self.discarding = false;
            }
            if too_long {
                return Line::TooLong;
            }
            if whole {
                let line = std::mem::take(&mut self.line);
                let text = line.trim_ascii();
                if !text.is_empty() {
                    return Line::Message(text.to_vec());
                }
            }
        }
    }
}

/// The one task that writes; ends when the output is closed.
pub(super) async fn write_lines<W: AsyncWrite + Unpin>(mut write: W, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut line) = lines.recv().await {
        line.push(b'\n');
        let written = async {
            write.write_all(&line).await?;
            write.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}

/// A message as one line: line breaks stand only between the tokens of JSON, never inside a string.
/// `None` for what is no JSON.
pub(super) fn one_line(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).ok()?;
    for byte in &mut bytes {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    Some(bytes)
}
