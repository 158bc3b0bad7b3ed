//! A terminal, or what stands in for one: colour only where it is seen, lines that fit, and nothing that
//! came from an agent or a target can steer the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use crate::call::is_unseen;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always, e.g. into `less -R`
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether to colour what goes to a terminal, or to something else.
    pub(crate) fn on(self, terminal: bool) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match self {
            Self::Auto => terminal && !set("NO_COLOR") && !dumb,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// What a piece of text is, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Heading,
    Good,
    Bad,
    Careful,
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Careful => AnsiColor::Yellow.on_default(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// Where a command writes.
pub(crate) struct Out {
    to: Box<dyn Write>,
    color: bool,
    width: usize,
    /// The reader went away (`| head`): that is its right, and no error.
    closed: bool,
}

impl Out {
    /// Standard output.
    pub(crate) fn stdout(color: ColorChoice) -> Self {
        let terminal = io::stdout().is_terminal();
        Self::new(Box::new(io::stdout()), color, terminal)
    }

    /// Whether answers are in colour.
    pub(crate) fn is_coloured(&self) -> bool {
        self.color
    }

    /// Standard error.
    pub(crate) fn stderr(color: ColorChoice) -> Self {
        let terminal = io::stderr().is_terminal();
        Self::new(Box::new(io::stderr()), color, terminal)
    }

    fn new(to: Box<dyn Write>, color: ColorChoice, terminal: bool) -> Self {
        let columns = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self {
            to,
            color: color.on(terminal),
            width: columns.filter(|_| terminal).unwrap_or(100).clamp(40, 120),
            closed: false,
        }
    }

    /// Columns a line may take.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Text in a tone, with everything that could steer a terminal made visible.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        let text = printable(text);
        if !self.color || tone == Tone::Plain {
            return text.into_owned();
        }
        let style = tone.style();
        format!("{}{text}{}", style.render(), style.render_reset())
    }

    /// One line as it is: its parts come from [`Out::paint`] or from us.
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// A heading with an empty line before it.
    pub(crate) fn heading(&mut self, text: &str) -> io::Result<()> {
        let painted = self.paint(Tone::Heading, text);
        self.line("")?;
        self.line(&painted)
    }

    /// A mark and a text, wrapped so that further lines stand under the text.
    pub(crate) fn item(&mut self, tone: Tone, mark: &str, text: &str) -> io::Result<()> {
        let indent = mark.chars().count() + 3;
        let mut lead = format!("  {} ", self.paint(tone, mark));
        for line in wrapped(text, self.width.saturating_sub(indent)) {
            let line = format!("{lead}{}", printable(&line));
            self.line(&line)?;
            lead = " ".repeat(indent);
        }
        Ok(())
    }

    /// A remark under an item.
    pub(crate) fn remark(&mut self, indent: usize, text: &str) -> io::Result<()> {
        for line in wrapped(text, self.width.saturating_sub(indent)) {
            let line = format!("{}{}", " ".repeat(indent), self.paint(Tone::Faint, &line));
            self.line(&line)?;
        }
        Ok(())
    }

    /// A value for machines, which a terminal can be shown all the same: JSON escapes only the first 32
    /// control characters, so the other characters that steer are escaped here. It stays the same value.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        let mut safe = String::with_capacity(text.len() + 1);
        for c in text.chars() {
            if c == '\n' || !is_unseen(c) {
                safe.push(c); // a line break is between members: inside a string it is escaped already
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(safe, "\\u{unit:04x}");
                }
            }
        }
        safe.push('\n');
        self.bytes(safe.as_bytes())
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        match self.to.write_all(bytes).and_then(|()| self.to.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            done => done,
        }
    }

    /// Why a command failed, with every cause. Whether this could be written changes nothing.
    pub(crate) fn error(&mut self, error: &anyhow::Error) {
        let mut text = format!("{} ", self.paint(Tone::Bad, "error:"));
        let mut said = String::new();
        for cause in error.chain() {
            let cause = cause.to_string();
            if said.contains(&cause) {
                continue; // many errors repeat their source
            }
            if !said.is_empty() {
                text.push_str("\n  because: ");
            }
            text.push_str(&escaped(&cause, true));
            said.push_str(&cause);
        }
        let _ = self.line(&text);
    }
}

/// Text with every control, direction or invisible formatting character made visible.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, false)
}

/// As [`printable`], keeping line breaks: for text of several lines.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, true)
}

fn escaped(text: &str, keep_lines: bool) -> Cow<'_, str> {
    let steers = |c: char| is_unseen(c) && !(keep_lines && c == '\n') && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if steers(c) {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Breaks a text at spaces so that no line is longer than `width` characters, words excepted.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let longer = line.chars().count() + 1 + word.chars().count() > width;
            if !line.is_empty() && longer {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let mut out = Out::new(Box::new(Gone), ColorChoice::Never, false);
        out.line("first").unwrap();
        assert!(out.closed);
        out.line("second").unwrap();
    }

    #[test]
    fn what_an_agent_sent_cannot_steer_the_terminal() {
        let out = Out::new(Box::new(Gone), ColorChoice::Always, true);
        let shown = out.paint(Tone::Good, "a\u{1b}[2Jb\r\u{9b}31m\u{202e}c\u{e0041}");
        let inside = shown
            .trim_start_matches("\u{1b}[32m")
            .trim_end_matches("\u{1b}[0m");
        assert!(
            !inside.chars().any(|c| c.is_control() || c == '\u{202e}'),
            "{inside:?}"
        );
        assert_eq!(inside, "a\\u{1b}[2Jb\\r\\u{9b}31m\\u{202e}c\\u{e0041}");
        assert_eq!(printable_lines("a\nb\u{7}"), "a\nb\\u{7}");
        assert_eq!(printable("Zoë 中文 🙂"), "Zoë 中文 🙂");
    }

    /// Keeps what was written.
    #[derive(Clone, Default)]
    struct Sheet(std::rc::Rc<std::cell::RefCell<Vec<u8>>>);

    impl Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_of_what_an_agent_sent_cannot_steer_the_terminal_and_is_the_same_value() {
        let sheet = Sheet::default();
        let mut out = Out::new(Box::new(sheet.clone()), ColorChoice::Never, true);
        let value = serde_json::json!({"a\u{9b}2J": ["\u{1b}[2J\u{7f}\u{202e}\u{e0041}\n", "Zoë 🙂"]});
        out.json(&value).unwrap();
        let written = String::from_utf8(sheet.0.borrow().clone()).unwrap();
        assert!(written.chars().all(|c| c == '\n' || !is_unseen(c)), "{written:?}");
        assert!(written.contains("Zoë 🙂"));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&written).unwrap(),
            value
        );
    }

    #[test]
    fn lines_fit_and_nothing_is_lost() {
        let text = "one two three four five";
        let lines = wrapped(text, 9);
        assert_eq!(lines, ["one two", "three", "four five"]);
        assert_eq!(wrapped("", 9), [""]);
        assert_eq!(wrapped("unbreakable-word", 4), ["unbreakable-word"]);
    }
}
