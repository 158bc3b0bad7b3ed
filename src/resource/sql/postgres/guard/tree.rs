//! A parsed statement as plain data, so that one walk meets every node and every field.
//!
//! The grammar's own types derive `Serialize`, and it is through that derive that they are read: a node or
//! a field that a later grammar adds turns up here under its name, and is refused because nobody listed it.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

/// A value in a parsed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree {
    /// An absent node.
    Nothing,
    /// A yes or no.
    Flag(bool),
    /// A number, also of an enumeration.
    Number(i64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// A node.
    Node(Node),
}

/// A node: its kind, and those fields that are not at their default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// `SelectStmt`, `AExpr` …, as `pg_query` spells it.
    pub(super) kind: &'static str,
    /// By name, in the grammar's order.
    pub(super) fields: Vec<(&'static str, Tree)>,
}

/// What a field that is not there is.
static NOTHING: Tree = Tree::Nothing;

impl Tree {
    fn is_default(&self) -> bool {
        match self {
            Self::Nothing | Self::Flag(false) | Self::Number(0) => true,
            Self::Text(text) => text.is_empty(),
            Self::List(list) => list.is_empty(),
            Self::Flag(true) | Self::Number(_) | Self::Node(_) => false,
        }
    }

    /// The node this is.
    pub(super) fn node(&self) -> Option<&Node> {
        match self {
            Self::Node(node) => Some(node),
            _ => None,
        }
    }

    /// The node this is, if it is one of that kind.
    pub(super) fn of_kind(&self, kind: &str) -> Option<&Node> {
        self.node().filter(|node| node.kind == kind)
    }

    /// The items of a list; none for anything else.
    pub(super) fn list(&self) -> &[Tree] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    /// The text of a `String` node, which names are lists of.
    pub(super) fn name(&self) -> Option<&str> {
        self.of_kind("String").map(|node| node.text("sval"))
    }
}

impl Node {
    /// A field; [`Tree::Nothing`] when it is at its default.
    pub(super) fn get(&self, field: &str) -> &Tree {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map_or(&NOTHING, |(_, value)| value)
    }

    /// A text field.
    pub(super) fn text(&self, field: &str) -> &str {
        match self.get(field) {
            Tree::Text(text) => text,
            _ => "",
        }
    }

    /// A number field.
    pub(super) fn number(&self, field: &str) -> i64 {
        match self.get(field) {
            Tree::Number(number) => *number,
            _ => 0,
        }
    }

    /// A flag.
    pub(super) fn flag(&self, field: &str) -> bool {
        *self.get(field) == Tree::Flag(true)
    }

    /// A list field.
    pub(super) fn list(&self, field: &str) -> &[Tree] {
        self.get(field).list()
    }

    /// A node field.
    pub(super) fn node(&self, field: &str) -> Option<&Node> {
        self.get(field).node()
    }

    /// A list of names; `None` where something else is among them.
    pub(super) fn names(&self, field: &str) -> Option<Vec<&str>> {
        self.list(field).iter().map(Tree::name).collect()
    }

    /// The byte of the statement where it begins.
    pub(super) fn location(&self) -> Option<usize> {
        usize::try_from(self.number("location")).ok()
    }
}

/// Where a node was in its text: no part of what it means.
pub(super) fn is_place(field: &str) -> bool {
    matches!(
        field,
        "location"
            | "name_location"
            | "stmt_location"
            | "stmt_len"
            | "list_start"
            | "list_end"
            | "rexpr_list_start"
            | "rexpr_list_end"
    )
}

/// A parsed thing as a tree; `None` for a type of value no statement has.
pub(super) fn of(parsed: &impl Serialize) -> Option<Tree> {
    parsed.serialize(Reader).ok()
}

/// A value that is none of those a parsed statement has.
#[derive(Debug)]
struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a value of a parsed statement")
    }
}

impl std::error::Error for Unread {}

impl ser::Error for Unread {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[derive(Debug, Clone, Copy)]
struct Reader;

struct Items(Vec<Tree>);
struct Fields(Node);

impl ser::SerializeSeq for Items {
    type Ok = Tree;
    type Error = Unread;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unread> {
        self.0.push(value.serialize(Reader)?);
        Ok(())
    }

    fn end(self) -> Result<Tree, Unread> {
        Ok(Tree::List(self.0))
    }
}

impl ser::SerializeStruct for Fields {
    type Ok = Tree;
    type Error = Unread;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Unread> {
        let value = value.serialize(Reader)?;
        if !value.is_default() {
            self.0.fields.push((key, value));
        }
        Ok(())
    }

    fn end(mut self) -> Result<Tree, Unread> {
        if self.0.kind != "Node" {
            return Ok(Tree::Node(self.0));
        }
        // The wrapper of any node: nothing of its own.
        Ok(self.0.fields.pop().map_or(Tree::Nothing, |(_, inner)| inner))
    }
}

macro_rules! unread {
    ($($method:ident($($kind:ty),*);)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<Tree, Unread> { Err(Unread) })*
    };
}

macro_rules! number {
    ($($method:ident($kind:ty);)*) => {
        $(fn $method(self, value: $kind) -> Result<Tree, Unread> { Ok(Tree::Number(i64::from(value))) })*
    };
}

impl Serializer for Reader {
    type Ok = Tree;
    type Error = Unread;
    type SerializeSeq = Items;
    type SerializeTuple = ser::Impossible<Tree, Unread>;
    type SerializeTupleStruct = ser::Impossible<Tree, Unread>;
    type SerializeTupleVariant = ser::Impossible<Tree, Unread>;
    type SerializeMap = ser::Impossible<Tree, Unread>;
    type SerializeStruct = Fields;
    type SerializeStructVariant = ser::Impossible<Tree, Unread>;

    number! {
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
    }

    unread! {
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_bytes(&[u8]);
        serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn serialize_u64(self, value: u64) -> Result<Tree, Unread> {
        i64::try_from(value).map(Tree::Number).map_err(|_| Unread)
    }

    fn serialize_bool(self, value: bool) -> Result<Tree, Unread> {
        Ok(Tree::Flag(value))
    }

    fn serialize_str(self, value: &str) -> Result<Tree, Unread> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn serialize_none(self) -> Result<Tree, Unread> {
        Ok(Tree::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Unread> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, Unread> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Tree, Unread> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Unread> {
        Ok(Items(Vec::new()))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields, Unread> {
        Ok(Fields(Node {
            kind: name,
            fields: Vec::new(),
        }))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unread> {
        Err(Unread)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Unread> {
        Err(Unread)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unread> {
        Err(Unread)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Unread> {
        Err(Unread)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unread> {
        Err(Unread)
    }
}
