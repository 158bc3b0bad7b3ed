//! A tree as the library serialises it, for whoever looks through all of it without knowing its types: names of fields
//! and of variants, texts, and what is in what. Where something stood in the text, which is most of it, is left out.

use std::fmt;

use serde::Serialize;
use serde::ser::{
    Error, Impossible, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// What a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing with anything in it: none, a number, a truth value, a variant that is only a name.
    Plain,
    Text(String),
    Items(Vec<Form>),
    /// Those of a structure that are not plain; of a variant, one with its name.
    Fields(Vec<(&'static str, Form)>),
}

/// Types of what only tells where something stood; nothing of a statement's meaning is in them.
const PLACES: [&str; 2] = ["AttachedToken", "Span"];

impl Form {
    /// # Errors
    /// A value that has no such form.
    pub(super) fn of(value: &impl Serialize) -> Result<Self, Formless> {
        value.serialize(Forming)
    }

    /// A field, if it has such a one.
    pub(super) fn get(&self, field: &str) -> Option<&Self> {
        match self {
            Self::Fields(fields) => fields
                .iter()
                .find_map(|(name, form)| (*name == field).then_some(form)),
            _ => None,
        }
    }

    /// Its text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn variant(name: &'static str, form: Self) -> Self {
        Self::Fields(vec![(name, form)])
    }
}

/// A value that has no form here.
#[derive(Debug)]
pub(super) struct Formless;

impl fmt::Display for Formless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of no known form")
    }
}

impl std::error::Error for Formless {}

impl Error for Formless {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Forming;

/// Items of a list or of a variant.
struct List(Option<&'static str>, Vec<Form>);

/// Fields of a structure or of a variant.
struct Record {
    variant: Option<&'static str>,
    /// None of what is left out.
    fields: Option<Vec<(&'static str, Form)>>,
}

impl List {
    fn push(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Formless> {
        self.1.push(value.serialize(Forming)?);
        Ok(())
    }

    fn done(self) -> Form {
        let items = Form::Items(self.1);
        match self.0 {
            Some(variant) => Form::variant(variant, items),
            None => items,
        }
    }
}

impl Record {
    fn push(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Result<(), Formless> {
        let Some(fields) = &mut self.fields else {
            return Ok(());
        };
        match value.serialize(Forming)? {
            Form::Plain => {} // most of them: a tree has room for much that no statement here has
            form => fields.push((name, form)),
        }
        Ok(())
    }

    fn done(self) -> Form {
        let fields = self.fields.map_or(Form::Plain, Form::Fields);
        match self.variant {
            Some(variant) => Form::variant(variant, fields),
            None => fields,
        }
    }
}

macro_rules! plain {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<Form, Formless> {
            Ok(Form::Plain)
        })*
    };
}

impl Serializer for Forming {
    type Ok = Form;
    type Error = Formless;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Impossible<Form, Formless>;
    type SerializeStruct = Record;
    type SerializeStructVariant = Record;

    plain!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_bytes: &[u8], serialize_unit_struct: &'static str);

    fn serialize_char(self, one: char) -> Result<Form, Formless> {
        Ok(Form::Text(one.to_string()))
    }

    fn serialize_str(self, text: &str) -> Result<Form, Formless> {
        Ok(Form::Text(text.to_owned()))
    }

    fn serialize_none(self) -> Result<Form, Formless> {
        Ok(Form::Plain)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Form, Formless> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Form, Formless> {
        Ok(Form::Plain)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Form, Formless> {
        Ok(Form::Plain)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Form, Formless> {
        match PLACES.contains(&name) {
            true => Ok(Form::Plain),
            false => value.serialize(self),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Form, Formless> {
        Ok(Form::variant(variant, value.serialize(self)?))
    }

    fn serialize_seq(self, many: Option<usize>) -> Result<List, Formless> {
        Ok(List(None, Vec::with_capacity(many.unwrap_or(0).min(1024))))
    }

    fn serialize_tuple(self, _: usize) -> Result<List, Formless> {
        Ok(List(None, Vec::new()))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List, Formless> {
        Ok(List(None, Vec::new()))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List, Formless> {
        Ok(List(Some(variant), Vec::new()))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Formless> {
        Err(Formless) // no tree of this grammar has one
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Record, Formless> {
        let fields = (!PLACES.contains(&name)).then(Vec::new);
        Ok(Record {
            variant: None,
            fields,
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Record, Formless> {
        Ok(Record {
            variant: Some(variant),
            fields: Some(Vec::new()),
        })
    }
}

impl SerializeSeq for List {
    type Ok = Form;
    type Error = Formless;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Formless> {
        self.push(value)
    }

    fn end(self) -> Result<Form, Formless> {
        Ok(self.done())
    }
}

impl SerializeTuple for List {
    type Ok = Form;
    type Error = Formless;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Formless> {
        self.push(value)
    }

    fn end(self) -> Result<Form, Formless> {
        Ok(self.done())
    }
}

impl SerializeTupleStruct for List {
    type Ok = Form;
    type Error = Formless;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Formless> {
        self.push(value)
    }

    fn end(self) -> Result<Form, Formless> {
        Ok(self.done())
    }
}

impl SerializeTupleVariant for List {
    type Ok = Form;
    type Error = Formless;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Formless> {
        self.push(value)
    }

    fn end(self) -> Result<Form, Formless> {
        Ok(self.done())
    }
}

impl SerializeStruct for Record {
    type Ok = Form;
    type Error = Formless;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Formless> {
        self.push(name, value)
    }

    fn end(self) -> Result<Form, Formless> {
        Ok(self.done())
    }
}

impl SerializeStructVariant for Record {
    type Ok = Form;
    type Error = Formless;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Formless> {
        self.push(name, value)
    }

    fn end(self) -> Result<Form, Formless> {
        Ok(self.done())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{grammar, lexer};
    use super::*;

    /// The same in JSON, where places are left out as well.
    fn in_json(value: &Value) -> Form {
        match value {
            Value::String(text) => Form::Text(text.clone()),
            Value::Array(items) => Form::Items(items.iter().map(in_json).collect()),
            Value::Object(fields) => {
                let each = fields
                    .iter()
                    .map(|(name, value)| (&*name.clone().leak(), in_json(value)));
                Form::Fields(each.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Form::Plain,
        }
    }

    /// Whether all of one is in the other, but for places and for what is only a name.
    fn same(json: &Form, form: &Form) -> bool {
        match (json, form) {
            (Form::Items(ones), Form::Items(others)) => {
                ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| same(one, other))
            }
            (Form::Fields(ones), Form::Fields(others)) => {
                let all = |(name, one): &(&str, Form)| match form.get(name) {
                    Some(other) => same(one, other),
                    None => same(one, &Form::Plain),
                };
                let known = |(name, _): &(&str, Form)| json.get(name).is_some();
                ones.iter().all(all) && others.iter().all(known)
            }
            (Form::Text(_), Form::Plain) => true, // a variant's name
            (Form::Fields(fields), Form::Plain) => {
                let place = |field: &str| fields.iter().any(|(name, _)| *name == field);
                place("start") && place("end") || place("token") && place("span")
            }
            (one, other) => one == other,
        }
    }

    #[test]
    fn nothing_of_a_tree_is_left_out_but_where_it_stood() {
        for text in [
            "SELECT a, `b`.c AS d, count(*) FROM t AS x JOIN u USING (id) WHERE a IN (SELECT 1 FROM v) ORDER BY 2 LIMIT 3",
            "WITH s AS (SELECT 1 AS one UNION ALL SELECT 2) SELECT * FROM s, LATERAL (SELECT one) AS l FOR UPDATE",
            "SELECT CASE WHEN a THEN -1.5 ELSE X'00' END, SUM(a) OVER (PARTITION BY b ROWS UNBOUNDED PRECEDING) FROM t",
            "INSERT INTO t (a, b) VALUES (1, 's0'), (NULL, TRUE)",
            "UPDATE t SET a = (SELECT max(b) FROM u) WHERE id = 1",
            "DELETE FROM t WHERE a LIKE 's0' ESCAPE 's1'",
        ] {
            let tree = grammar::parse(&lexer::scan(text, &[]).unwrap()).unwrap();
            let json = in_json(&serde_json::to_value(&tree).unwrap());
            let form = Form::of(&tree).unwrap();
            assert!(same(&json, &form), "{text}: {form:?}");
        }
    }
}
