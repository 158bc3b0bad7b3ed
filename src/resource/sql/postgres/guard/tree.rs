//! A parsed statement as plain data, so that one walk meets every node and every field.

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
    /// Whether it is what a field that is not there is.
    pub(super) fn is_default(&self) -> bool {
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

    /// The same, without what is around it.
    pub(super) fn take(self, field: &str) -> Tree {
        let mut fields = self.fields.into_iter();
        fields
            .find(|(name, _)| *name == field)
            .map_or(Tree::Nothing, |(_, value)| value)
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
