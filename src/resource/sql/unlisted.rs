//! Columns that nobody listed, and a look at what is in them: for whoever classifies them.

/// The most rows that are looked at per table.
pub(crate) const ROWS: usize = 200;
/// The most characters of one value.
pub(crate) const CHARACTERS: usize = 200;
/// The most bytes that one value may have to be looked at.
pub(crate) const VALUE: usize = 64 * 1024;

/// A column that nobody listed.
#[derive(Debug, Clone)]
pub struct Unlisted {
    /// As it is written in `[resource.columns]`.
    pub column: String,
    /// Its declared type.
    pub declared_type: String,
    /// Whether it is a key, or refers to one.
    pub key: bool,
    /// What the database says of it.
    pub comment: Option<String>,
    /// The beginnings of some of its values, or that these could not be read.
    pub samples: Samples,
}

/// Values, for detectors alone: nothing shows them.
#[derive(Clone, Default)]
pub struct Samples(Option<Vec<String>>);

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Samples({:?})", self.count())
    }
}

impl Samples {
    /// Of these values.
    pub(crate) fn of(values: Vec<String>) -> Self {
        Self(Some(values))
    }

    /// How many there are; none if they could not be read.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.0.as_ref().map(Vec::len)
    }

    /// Each in turn.
    pub(crate) fn each(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().map(String::as_str)
    }
}
