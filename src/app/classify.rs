//! `tollgate db classify`: which class a column that nobody listed may have, for people to review.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::Value;

use super::db::ViewsBy;
use crate::call::{MaskCounts, Refusal};
use crate::clock::{System, World};
use crate::config::{Config, Kind};
use crate::mask::Mask;
#[cfg(feature = "postgres")]
use crate::resource::sql::postgres::Look;
use crate::resource::sql::sqlite;
use crate::resource::sql::{ColumnsDefault, Unlisted};

/// What was found.
#[derive(Debug)]
pub struct Classified {
    /// Lines for the configuration, with a reason each; nothing of it is a value.
    pub text: String,
    /// Columns that nobody listed, as they are written there.
    pub unlisted: Vec<String>,
}

/// Looks at the columns of a resource that nobody listed. `look` reads some of their values as well: of a server `by` an
/// administrator, if there is one, since the role of the resource sees what it is granted, and the account of a MySQL
/// resource masks.
///
/// # Errors
/// No such database, or no way to it.
pub async fn db_classify(
    config: &Config,
    name: &str,
    by: Option<ViewsBy<'_>>,
    look: bool,
) -> Result<Classified> {
    let administered = by.is_some();
    let found = unlisted(config, name, by, look).await?;
    Ok(Classified {
        text: proposal(config, name, &found, administered),
        unlisted: found.into_iter().map(|one| one.column).collect(),
    })
}

/// As if nothing unlisted were shown: otherwise a column that nobody listed looks like one that is public.
async fn unlisted(config: &Config, name: &str, by: Option<ViewsBy<'_>>, look: bool) -> Result<Vec<Unlisted>> {
    #[cfg(not(any(feature = "postgres", feature = "mysql")))]
    let _ = by;
    let world: Arc<dyn World> = Arc::new(System::new());
    let said =
        |refusal: Refusal| anyhow::anyhow!("{} {}", refusal.message, refusal.detail.unwrap_or_default());
    match config.resource(name).map(|resource| &resource.kind) {
        Some(Kind::Sqlite(sqlite)) => {
            let spec = sqlite::Spec {
                name: name.to_owned(),
                path: sqlite.path.clone(),
                columns: sqlite.columns.clone(),
                columns_default: ColumnsDefault::Mask,
                classes: config.classes.clone(),
                tokens: super::databases::token_key(config, &sqlite.columns, &world)?,
                limits: config.limits.call,
            };
            let look = move || -> Result<Vec<Unlisted>> {
                let database = sqlite::Database::open(spec, world).map_err(|error| anyhow::anyhow!(error))?;
                database.unlisted(look).map_err(said)
            };
            tokio::task::spawn_blocking(look).await?
        }
        #[cfg(feature = "postgres")]
        Some(Kind::Postgres(postgres)) => {
            let mut postgres = postgres.clone();
            postgres.columns_default = ColumnsDefault::Mask;
            let look = match (look, &by) {
                (false, _) => Look::Away,
                (true, None) => Look::AsRole,
                (true, Some(_)) => Look::AsAdministrator,
            };
            if let Some(by) = by {
                let set = postgres.url.set_username(by.name);
                set.map_err(|()| anyhow::anyhow!("--as: not an account"))?;
                postgres.password = by.password.map(super::db::reference).transpose()?;
            }
            let database = super::databases::postgres_database(config, name, &postgres, &world)?;
            database.unlisted(look).await.map_err(said)
        }
        #[cfg(feature = "mysql")]
        Some(Kind::Mysql(mysql)) => {
            let database = super::databases::mysql_database(config, name, mysql, &world)?;
            let administrator = by.map(super::db::administrator).transpose()?;
            let found = database.unlisted(administrator.as_ref(), look).await;
            found.map_err(said)
        }
        Some(_) => {
            bail!(
                "`{name}` is not of a kind whose columns can be classified (\"postgres\", \"mysql\" or \"sqlite\")"
            )
        }
        None => bail!("there is no [[resource]] `{name}`"),
    }
}

/// A class, and why.
struct Proposed {
    class: &'static str,
    reason: String,
}

/// Words of names and remarks, and the class they speak for.
const WORDS: &[(&str, &[&str])] = &[
    ("email", &["email", "mail", "emails"]),
    (
        "phone",
        &["phone", "telephone", "mobile", "cell", "fax", "msisdn", "tel"],
    ),
    (
        "national_id",
        &[
            "ssn",
            "nino",
            "pesel",
            "passport",
            "taxid",
            "nationalid",
            "cpf",
            "sin",
            "vat",
        ],
    ),
    ("card", &["card", "cardno", "pan", "cvv", "cvc", "creditcard"]),
    ("iban", &["iban", "bic", "bank", "account"]),
    ("birth", &["birth", "birthday", "birthdate", "born", "dob", "age"]),
    (
        "secret",
        &[
            "password",
            "passwd",
            "pwd",
            "secret",
            "token",
            "apikey",
            "credential",
            "salt",
            "otp",
            "pin",
        ],
    ),
    (
        "name",
        &[
            "firstname",
            "lastname",
            "surname",
            "fullname",
            "givenname",
            "name",
            "username",
            "login",
        ],
    ),
    (
        "address",
        &[
            "address",
            "street",
            "zip",
            "zipcode",
            "postcode",
            "postal",
            "city",
            "latitude",
            "longitude",
            "lat",
            "lng",
        ],
    ),
    ("pay", &["salary", "income", "wage", "pay", "bonus"]),
    ("health", &["diagnosis", "health", "medical", "allergy", "blood"]),
    ("network", &["ip", "ipv4", "ipv6", "mac", "useragent"]),
    (
        "trait",
        &[
            "gender",
            "sex",
            "race",
            "religion",
            "ethnicity",
            "nationality",
            "disability",
            "marital",
        ],
    ),
    (
        "free_text",
        &[
            "note",
            "notes",
            "comment",
            "comments",
            "remark",
            "remarks",
            "message",
            "body",
            "description",
            "text",
        ],
    ),
];

/// Types whose values are no text and say little by themselves.
const PLAIN: &[&str] = &[
    "boolean",
    "bool",
    "timestamp",
    "datetime",
    "timestamp without time zone",
    "timestamp with time zone",
    "tinyint(1)",
];

fn proposed(one: &Unlisted, mask: &Mask) -> Option<Proposed> {
    by_content(one, mask)
        .or_else(|| by_words(&one.column, "its name"))
        .or_else(|| {
            one.comment
                .as_deref()
                .and_then(|text| by_words(text, "its comment"))
        })
        .or_else(|| plain(one))
}

/// The detector that found most.
fn by_content(one: &Unlisted, mask: &Mask) -> Option<Proposed> {
    let total = one.samples.count()?;
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    for sample in one.samples.each() {
        let mut counts = MaskCounts::default();
        mask.value(&mut Value::String(sample.to_owned()), &mut counts);
        let rules: BTreeSet<String> = counts.notes().into_iter().map(|note| note.rule).collect();
        for rule in rules {
            *hits.entry(rule).or_default() += 1;
        }
    }
    let (rule, many) = hits
        .into_iter()
        .max_by_key(|(rule, many)| (*many, std::cmp::Reverse(rule.clone())))?;
    let class = match rule.as_str() {
        "email" => "email",
        "payment-card" => "card",
        "iban" => "iban",
        _ => "secret",
    };
    Some(Proposed {
        class,
        reason: format!("the detector `{rule}` hit {many} of {total} samples"),
    })
}

fn by_words(text: &str, whose: &str) -> Option<Proposed> {
    let name = text.rsplit('.').next().unwrap_or(text);
    let mut spread = String::new();
    for c in name.chars().take(1000) {
        if c.is_uppercase() {
            spread.push(' ');
        }
        spread.extend(c.to_lowercase());
    }
    let words: Vec<&str> = spread
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let pairs: Vec<String> = words.windows(2).map(|pair| pair.concat()).collect();
    let is = |known: &&&str| words.contains(*known) || pairs.iter().any(|pair| pair == **known);
    WORDS.iter().find_map(|(class, known)| {
        let word = known.iter().find(is)?;
        Some(Proposed {
            class,
            reason: format!("{whose} says `{word}`"),
        })
    })
}

/// Keys that are numbers, and types that say little: where nothing else speaks for a class.
fn plain(one: &Unlisted) -> Option<Proposed> {
    let lower = one.declared_type.to_ascii_lowercase();
    // Some databases say how wide a number is shown: `int(11) unsigned`.
    let bare = lower.split(['(', ' ']).next().unwrap_or_default();
    let number = ["int", "integer", "bigint", "smallint", "mediumint", "uuid"].contains(&bare);
    let little = PLAIN.contains(&lower.as_str()) || ["timestamp", "datetime"].contains(&bare);
    let reason = match (one.key && number, little) {
        (true, _) => "a key made of numbers",
        (_, true) => "a type that says little by itself",
        _ => return None,
    };
    let looked = match one.samples.count() {
        Some(many) => format!("; no detector hit any of {many} samples"),
        None => String::new(),
    };
    Some(Proposed {
        class: "public",
        reason: format!("{reason} ({lower}){looked}"),
    })
}

/// Between quotes. Whoever may name a column must not write lines of the configuration, nor to the terminal.
fn quoted(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\\' | '"' => text.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

/// Lines for the configuration.
fn proposal(config: &Config, name: &str, found: &[Unlisted], administered: bool) -> String {
    let mask = super::mask();
    let mut text = format!(
        "# `{name}`: {} columns that nobody listed. Proposals, to be reviewed.\n",
        found.len()
    );
    let unread = found.iter().filter(|one| one.samples.count().is_none()).count();
    if unread > 0 && !administered {
        let _ = writeln!(
            text,
            "# Of {unread} of them no value could be read: --as names an administrator who looks at them."
        );
    }
    let (mut lines, mut classes) = (String::new(), BTreeSet::new());
    for one in found {
        let column = quoted(&one.column);
        match proposed(one, &mask) {
            Some(Proposed { class, reason }) => {
                if class != "public" && !config.classes.contains_key(class) {
                    classes.insert(class);
                }
                let _ = writeln!(lines, "\"{column}\" = \"{class}\"  # {reason}");
            }
            None => {
                let why = match one.samples.count() {
                    None => "its values could not be read".to_owned(),
                    Some(many) => format!("no detector hit any of {many} samples"),
                };
                let _ = writeln!(
                    lines,
                    "# \"{column}\" = \"…\"  # {} and nothing speaks for a class: {why}",
                    one.declared_type.replace(char::is_control, " ")
                );
            }
        }
    }
    if !classes.is_empty() {
        text.push_str("\n[classes]\n");
        for class in classes {
            let _ = writeln!(text, "{class} = \"constant\"");
        }
    }
    if !lines.is_empty() {
        text.push_str("\n[resource.columns]\n");
        text.push_str(&lines);
    }
    text
}
