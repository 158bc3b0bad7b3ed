//! Trees by way of the types that `pg_query` derives from its schema: for schema changes, which are written anew through
//! these types, and as a second opinion on what [`super::json`] reads.

use std::fmt;

use serde::Serialize;
use serde::ser::{self, Serializer};

use super::tree::{Node, Tree};

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
