//! The grammar's answer, read from its JSON into a [`Tree`].
//!
//! As Protocol Buffers, which is the library's other form of it, the same answer takes the library several times as
//! long to write: for every node it looks at every kind of node there is.
//!
//! Strict where other readers are lenient, since there is one writer: a name that is not in the table, one that
//! comes twice or out of its order, another kind of value, bytes that are left over: each is no answer.

use super::messages::{self, Field, Holds, Known, Message};
use super::tree::{Node, Tree};

/// How deep messages may lie in each other, as readers of the library's other form have it by default.
const DEEPEST: u32 = 100;

/// A `ParseResult`; `None` for what is none, or is nested too deeply.
pub(super) fn read(bytes: &[u8]) -> Option<Node> {
    let mut rest = Rest(bytes);
    let node = message(&mut rest, &messages::PARSE_RESULT, DEEPEST)?;
    rest.0.is_empty().then_some(node)
}

/// What is left to read.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    /// Whether the next byte is this one, which is then read.
    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Whether a word comes next, which is then read.
    fn word(&mut self, word: &[u8]) -> bool {
        match self.0.strip_prefix(word) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// The bytes of a string up to its first quote or backslash, which is not read.
    fn plain(&mut self) -> Option<&'b [u8]> {
        let end = self.0.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (plain, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        Some(plain)
    }

    /// A name of ours, or one of a few words: nothing in it is escaped.
    fn name(&mut self) -> Option<&'b [u8]> {
        let quoted = self.eat(b'"');
        let name = self.plain().filter(|_| quoted)?;
        self.eat(b'"').then_some(name)
    }

    /// The name of a member.
    fn key(&mut self) -> Option<&'b [u8]> {
        let name = self.name()?;
        self.eat(b':').then_some(name)
    }

    /// A text of the agent's.
    fn text(&mut self) -> Option<String> {
        if !self.eat(b'"') {
            return None;
        }
        let mut text = str::from_utf8(self.plain()?).ok()?.to_owned();
        while !self.eat(b'"') {
            text.push(self.escaped()?);
            text.push_str(str::from_utf8(self.plain()?).ok()?);
        }
        Some(text)
    }

    /// A character after a backslash.
    fn escaped(&mut self) -> Option<char> {
        let ([b'\\', which], rest) = self.0.split_first_chunk()? else {
            return None;
        };
        self.0 = rest;
        Some(match which {
            b'"' => '"',
            b'\\' => '\\',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                // Of ASCII alone.
                let (digits, rest) = self.0.split_first_chunk::<4>()?;
                self.0 = rest;
                let digits = str::from_utf8(digits).ok()?;
                let code = u8::from_str_radix(digits.strip_prefix("00")?, 16).ok()?;
                char::from(code)
            }
            _ => return None,
        })
    }

    fn number(&mut self) -> Option<i64> {
        let negative = self.eat(b'-');
        let mut number: Option<i64> = None;
        while let Some((digit @ b'0'..=b'9', rest)) = self.0.split_first() {
            self.0 = rest;
            let digit = i64::from(digit - b'0');
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
        }
        number.map(|number| if negative { -number } else { number })
    }

    /// An object, whatever is in it.
    fn skip(&mut self) -> Option<()> {
        if self.0.first() != Some(&b'{') {
            return None;
        }
        let mut depth = 0_usize;
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => {
                    self.plain()?;
                    while !self.eat(b'"') {
                        self.0 = self.0.get(2..)?; // a backslash, and what it escapes
                        self.plain()?;
                    }
                }
                _ => {}
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// A message from its bracket to its bracket.
fn message(rest: &mut Rest<'_>, message: &'static Message, depth: u32) -> Option<Node> {
    let mut node = Node {
        kind: message.kind,
        fields: Vec::new(),
    };
    if !rest.eat(b'{') {
        return None;
    }
    if rest.eat(b'}') {
        return Some(node);
    }
    let mut fields = message.fields.iter();
    loop {
        let label = rest.key()?;
        // In the order of the table; those that are at their default are not written.
        let field = fields.find(|field| field.label.as_bytes() == label)?;
        let value = value(rest, field.holds, depth)?;
        single(&mut node, field, value)?;
        if rest.eat(b'}') {
            return Some(node);
        }
        if !rest.eat(b',') {
            return None;
        }
    }
}

/// A field that comes once, unless it is at its default. Several labels may stand for one name, of which one is there.
fn single(node: &mut Node, field: &Field, value: Tree) -> Option<()> {
    if node.fields.last().is_some_and(|(name, _)| *name == field.name) {
        return None;
    }
    if !value.is_default() {
        node.fields.push((field.name, value));
    }
    Some(())
}

fn value(rest: &mut Rest<'_>, holds: Holds, depth: u32) -> Option<Tree> {
    Some(match holds {
        Holds::Flag if rest.word(b"true") => Tree::Flag(true),
        Holds::Flag if rest.word(b"false") => Tree::Flag(false),
        Holds::Flag => return None,
        Holds::Number => Tree::Number(rest.number()?),
        Holds::Choice(words) => {
            let word = rest.name()?;
            let at = words.iter().position(|known| known.as_bytes() == word)?;
            Tree::Number(i64::try_from(at).ok()?.checked_add(1)?)
        }
        Holds::Text => Tree::Text(rest.text()?),
        Holds::Node => any(rest, depth.checked_sub(1)?)?,
        Holds::List => list(rest, |rest| any(rest, depth.checked_sub(1)?))?,
        Holds::One(kind) => Tree::Node(message(rest, kind, depth.checked_sub(1)?)?),
        Holds::Many(kind) => list(rest, |rest| {
            message(rest, kind, depth.checked_sub(1)?).map(Tree::Node)
        })?,
        Holds::Other => {
            rest.skip()?;
            Tree::Node(Node {
                kind: "Other",
                fields: Vec::new(),
            })
        }
    })
}

fn list<'b>(rest: &mut Rest<'b>, item: impl Fn(&mut Rest<'b>) -> Option<Tree>) -> Option<Tree> {
    if !rest.eat(b'[') {
        return None;
    }
    let mut items = Vec::new();
    if rest.eat(b']') {
        return Some(Tree::List(items));
    }
    loop {
        items.push(item(rest)?);
        if rest.eat(b']') {
            return Some(Tree::List(items));
        }
        if !rest.eat(b',') {
            return None;
        }
    }
}

/// Any node, in an object of its own: one member, whose label tells the kind. None at all is `null` or an empty one.
fn any(rest: &mut Rest<'_>, depth: u32) -> Option<Tree> {
    if rest.word(b"null") || rest.word(b"{}") {
        return Some(Tree::Nothing);
    }
    if !rest.eat(b'{') {
        return None;
    }
    let label = rest.key()?;
    let depth = depth.checked_sub(1)?;
    let node = match messages::known(label)? {
        Known::Listed(kind) => message(rest, kind, depth)?,
        Known::Unlisted(kind) => {
            rest.skip()?;
            Node {
                kind,
                fields: Vec::new(),
            }
        }
    };
    rest.eat(b'}').then_some(Tree::Node(node))
}
