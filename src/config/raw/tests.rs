//! docs/configuration.md and the structs name the same keys.

use std::collections::BTreeSet;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor, value};
use serde::forward_to_deserialize_any;

use super::{
    Approval, Audit, Channel, Facade, File, Issuer, Limits, Policies, Resource, Server, Store, Tools,
};

/// A deserializer that only listens to which fields a struct asks for.
struct Listener<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Listener<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("only structs"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(Self::Error::custom("heard"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn keys<T: DeserializeOwned>() -> BTreeSet<&'static str> {
    let mut fields: &'static [&'static str] = &[];
    assert!(T::deserialize(Listener(&mut fields)).is_err());
    fields.iter().copied().collect()
}

/// The keys of the tables under a heading.
fn documented<'a>(page: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let (_, after) = page.split_once(heading).expect(heading);
    let section = after.split("\n## ").next().unwrap();
    let cell = |line: &'a str| line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
    let mentioned = section
        .lines()
        .find(|line| line.starts_with("Kept for a later version"));
    let later = mentioned
        .into_iter()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    section.lines().filter_map(cell).chain(later).collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let page = include_str!("../../../docs/configuration.md");
    let approval = keys::<Approval>()
        .into_iter()
        .filter(|key| *key != "channel")
        .collect();
    let facade = keys::<Facade>()
        .into_iter()
        .filter(|key| *key != "client")
        .collect();
    let sections: [(&str, BTreeSet<&str>); 11] = [
        ("## `[server]`", keys::<Server>()),
        ("## `[store]`", keys::<Store>()),
        ("## `[[issuer]]`", keys::<Issuer>()),
        ("## `[facade]`", facade),
        ("## `[policies]`", keys::<Policies>()),
        ("## `[tools]`", keys::<Tools>()),
        ("## `[limits]`", keys::<Limits>()),
        ("## `[[resource]]`", keys::<Resource>()),
        ("## `[audit]`", keys::<Audit>()),
        ("## `[approval]`", approval),
        ("## `[[approval.channel]]`", keys::<Channel>()),
    ];
    for (heading, keys) in sections {
        assert_eq!(documented(page, heading), keys, "{heading}");
    }
    for section in keys::<File>() {
        let headings = [format!("## `[{section}]`"), format!("## `[[{section}]]`")];
        assert!(headings.iter().any(|heading| page.contains(heading)), "{section}");
    }
}

#[test]
fn the_template_of_init_names_no_key_that_is_gone() {
    let text = include_str!("../../cli/init/tollgate.toml");
    let mut live = String::new();
    for line in text.lines() {
        // A commented line that is TOML is an offer; it has to be understood when somebody takes it.
        let offer = line.strip_prefix("# ").unwrap_or(line);
        let is_toml = offer.starts_with('[') || offer.contains(" = ");
        live.push_str(if is_toml { offer } else { line });
        live.push('\n');
    }
    let live = live.replacen("columns_default", "#", 1);
    let parsed: Result<File, _> = toml::from_str(&live);
    assert!(parsed.is_ok(), "{}", parsed.unwrap_err());
}
