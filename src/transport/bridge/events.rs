//! Server-sent events (WHATWG HTML 9.2.6), as far as MCP uses them: the data of each event is one message.

/// Cuts a stream into events.
#[derive(Debug)]
pub(super) struct Events {
    longest: usize,
    /// The line under way.
    line: Vec<u8>,
    /// The data of the event under way.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return: a line feed belongs to it.
    after_return: bool,
}

/// An event longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Events {
    pub(super) fn new(longest: usize) -> Self {
        Self {
            longest,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_return: false,
        }
    }

    /// Takes a piece of the stream; gives the data of the events that it ends.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut ended = Vec::new();
        for byte in piece {
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => ended.extend(self.end_line()),
                _ => {
                    if self.line.len() + self.data.len() >= self.longest {
                        return Err(TooLong);
                    }
                    self.line.push(*byte);
                }
            }
        }
        Ok(ended)
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            // An event without data is only there to be resumed from.
            return (std::mem::take(&mut self.has_data) && !data.is_empty()).then_some(data);
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.has_data = true;
            self.data
                .extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        None // comments and other fields say nothing to us
    }
}
