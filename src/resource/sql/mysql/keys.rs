//! Rows by their primary keys: how a key is read as texts, and how it is written in a statement again.

use super::catalog::{Column, Relation};
use super::ground::Columns;
use super::link::{literal, quoted};

/// The primary key of a table, every column public.
#[derive(Debug, Clone)]
pub(super) struct RowKey {
    columns: Vec<(String, How)>,
}

/// How a column of a key is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Digits, a sign, a point.
    Number,
    /// The server's own text of it.
    Plain,
    /// Hexadecimal, of the text in UTF-8.
    Text,
    /// Hexadecimal.
    Bytes,
}

/// One row's.
pub(super) type Key = Vec<String>;

impl How {
    fn of(column: &Column) -> Option<Self> {
        Some(match column.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => Self::Number,
            "date" | "datetime" | "timestamp" | "time" | "uuid" | "inet4" | "inet6" | "enum" => Self::Plain,
            "char" | "varchar" => Self::Text,
            "binary" | "varbinary" => Self::Bytes,
            _ => return None, // what is not equal to its own text (FLOAT), or is only known in part (TEXT)
        })
    }
}

impl RowKey {
    /// `None`: a table without a key, or one that nobody may know, or whose values cannot be written as they are.
    pub(super) fn of(relation: &Relation) -> Option<Self> {
        let key = relation.columns.iter().filter(|column| column.primary_key);
        let columns: Option<Vec<(String, How)>> = key
            .map(|column| match column.class {
                None => Some((column.name.clone(), How::of(column)?)),
                Some(_) => None,
            })
            .collect();
        let columns = columns.filter(|columns| !columns.is_empty())?;
        Some(Self { columns })
    }

    /// Whether one of these columns is of it.
    pub(super) fn is_given_by(&self, columns: &Columns) -> bool {
        let mut own = self.columns.iter();
        own.any(|(name, _)| columns.contains(&name.to_lowercase()))
    }

    /// The names of its columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// What is selected to read it; `item` is the table's alias with its point, or nothing.
    pub(super) fn read(&self, item: &str) -> String {
        let each = self.columns.iter().map(|(name, how)| {
            let name = format!("{item}{}", quoted(name));
            match how {
                How::Number | How::Plain => format!("CAST({name} AS CHAR)"),
                How::Text => format!("HEX(CONVERT({name} USING utf8mb4))"),
                How::Bytes => format!("HEX({name})"),
            }
        });
        each.collect::<Vec<_>>().join(", ")
    }

    /// How many texts that gives.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// A condition that is true of these rows alone. `None`: a text is not of the form of its column.
    pub(super) fn is_one_of(&self, item: &str, keys: &[Key]) -> Option<String> {
        let names = self
            .columns
            .iter()
            .map(|(name, _)| format!("{item}{}", quoted(name)));
        let names = names.collect::<Vec<_>>().join(", ");
        let rows: Option<Vec<String>> = keys
            .iter()
            .map(|key| {
                let cells = self
                    .columns
                    .iter()
                    .zip(key)
                    .map(|((_, how), cell)| write(*how, cell));
                let cells: Option<Vec<String>> = cells.collect();
                let cells = cells.filter(|cells| cells.len() == self.width())?;
                Some(format!("({})", cells.join(", ")))
            })
            .collect();
        Some(format!("({names}) IN ({})", rows?.join(", ")))
    }
}

/// A value, of what the server gave, so that nothing in it can be more than a value.
fn write(how: How, cell: &str) -> Option<String> {
    let hex = |cell: &str| cell.chars().all(|c| c.is_ascii_hexdigit());
    match how {
        How::Number => {
            let plain = !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || "-.".contains(c));
            plain.then(|| cell.to_owned())
        }
        How::Plain => Some(literal(cell)),
        How::Text if hex(cell) => Some(format!("CONVERT(X'{cell}' USING utf8mb4)")),
        How::Bytes if hex(cell) => Some(format!("X'{cell}'")),
        How::Text | How::Bytes => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kinds: &[(&str, bool)]) -> Option<RowKey> {
        let columns = kinds.iter().enumerate().map(|(at, (kind, public))| Column {
            name: format!("k`{at}"),
            declared_type: (*kind).to_owned(),
            data_type: (*kind).to_owned(),
            not_null: true,
            primary_key: true,
            references: None,
            generated: false,
            class: (!public).then(|| ("c".to_owned(), crate::resource::sql::MaskStyle::Constant)),
        });
        RowKey::of(&Relation {
            name: "t".to_owned(),
            view: false,
            engine: None,
            made: None,
            indexes: Vec::new(),
            ordered: false,
            columns: columns.collect(),
        })
    }

    #[test]
    fn a_key_is_known_only_if_all_of_it_is_public_and_of_a_plain_type() {
        assert!(key(&[("int", true), ("varchar", true)]).is_some());
        for kinds in [
            &[][..],
            &[("int", true), ("varchar", false)],
            &[("float", true)],
            &[("text", true)],
        ] {
            assert!(key(kinds).is_none(), "{kinds:?}");
        }
    }

    #[test]
    fn no_value_is_more_than_a_value() {
        let both = key(&[("int", true), ("varchar", true)]).unwrap();
        let rows =
            |number: &str, text: &str| both.is_one_of("c.", &[vec![number.to_owned(), text.to_owned()]]);
        assert_eq!(
            rows("-7", "C3A5").as_deref(),
            Some("(c.`k``0`, c.`k``1`) IN ((-7, CONVERT(X'C3A5' USING utf8mb4)))")
        );
        assert_eq!(rows("1 OR 1", "C3"), None);
        assert_eq!(rows("1", "C3' OR 1"), None);
        assert_eq!(both.is_one_of("", &[vec!["1".to_owned()]]), None);
        let plain = key(&[("date", true)]).unwrap();
        assert_eq!(
            plain.is_one_of("", &[vec!["x' OR \\".to_owned()]]).as_deref(),
            Some("(`k``0`) IN (('x'' OR \\\\'))")
        );
    }
}
