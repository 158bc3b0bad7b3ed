//! Reads XML into a tree, strictly: what is left out here is what attacks on SAML are made of.
//!
//! No document types and so no entities, no comments or processing instructions (canonicalisation drops
//! them, and then one reader sees `alice` where another sees `alice.evil`), no CDATA, no unknown prefix, no
//! other encoding, nothing deep or large. Names are always compared with their namespace.

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// Deeper than any SAML message; the verifier behind us walks trees recursively.
const DEPTH: usize = 32;
const ELEMENTS: usize = 8_000;
/// On one element, and namespace bindings in scope.
const ATTRIBUTES: usize = 64;

/// The namespaces that mean something here.
pub(super) mod ns {
    pub(crate) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
    pub(crate) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
    pub(crate) const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
    pub(crate) const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
    pub(crate) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
}

/// What may be in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allow {
    /// Elements, attributes and text: what strangers send.
    Data,
    /// Comments and processing instructions too, which are dropped: a file of the operator's.
    Comments,
}

/// Why a text is not a tree. Its words name no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault(pub(super) &'static str);

/// An element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Without namespace declarations.
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<Element>,
    /// The text directly in it, in one piece.
    pub(super) text: String,
}

/// An attribute; its namespace is empty unless it has a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) value: String,
}

impl Element {
    pub(super) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// An attribute without a namespace.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|attribute| attribute.namespace.is_empty() && attribute.name == name);
        found.map(|attribute| attribute.value.as_str())
    }

    pub(super) fn named<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Element> + 'a {
        self.children
            .iter()
            .filter(move |child| child.is(namespace, name))
    }

    /// The one child of this name; `None` where there is none, or more.
    pub(super) fn one(&self, namespace: &str, name: &str) -> Option<&Element> {
        let mut found = self.children.iter().filter(|child| child.is(namespace, name));
        found.next().filter(|_| found.next().is_none())
    }

    /// The text of an element that holds nothing else.
    pub(super) fn plain(&self) -> Option<&str> {
        self.children.is_empty().then_some(self.text.as_str())
    }

    /// This element and everything below it, in document order.
    pub(super) fn all(&self) -> Vec<&Element> {
        let mut found = Vec::new();
        let mut next = vec![self];
        while let Some(element) = next.pop() {
            found.push(element);
            next.extend(element.children.iter().rev());
        }
        found
    }
}

/// The root element of `text`, whose line ends are already single (XML 1.0 2.11).
///
/// # Errors
/// What it has that it must not have.
pub(super) fn read(text: &str, allow: Allow) -> Result<Element, Fault> {
    if !text.chars().all(is_char) {
        return Err(Fault("has characters that XML does not allow"));
    }
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    reader.resolver_mut().set_max_namespace_bindings(ATTRIBUTES);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0_usize;
    loop {
        let at_start = reader.buffer_position() == 0;
        match reader.read_event().map_err(|_| MALFORMED)? {
            Event::Start(start) => {
                count += 1;
                if root.is_some() || open.len() >= DEPTH || count > ELEMENTS {
                    return Err(Fault("is too deep or too large, or has two roots"));
                }
                open.push(element(&reader, &start)?);
            }
            Event::End(_) => {
                let done = open.pop().ok_or(MALFORMED)?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => root = Some(done),
                }
            }
            Event::Text(written) => match open.last_mut() {
                Some(parent) => parent.text.push_str(&written),
                None if written.chars().all(is_space) => {}
                None => return Err(MALFORMED),
            },
            Event::GeneralRef(reference) => {
                let parent = open.last_mut().ok_or(MALFORMED)?;
                referred(&reference, &mut parent.text)?;
            }
            Event::Decl(declaration) if at_start => declared(&declaration)?,
            Event::Comment(_) | Event::PI(_) if allow == Allow::Comments => {}
            Event::Comment(_) => return Err(Fault("has a comment")),
            Event::PI(_) => return Err(Fault("has a processing instruction")),
            Event::DocType(_) => return Err(Fault("has a document type (DTD)")),
            Event::CData(_) => return Err(Fault("has a CDATA section")),
            Event::Eof => break,
            Event::Decl(_) | Event::Empty(_) => return Err(MALFORMED),
        }
    }
    root.filter(|_| open.is_empty()).ok_or(MALFORMED)
}

const MALFORMED: Fault = Fault("is not well-formed XML");

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element, Fault> {
    let (namespace, name) = reader.resolver().resolve_element(start.name());
    let mut element = Element {
        namespace: resolved(&namespace)?.unwrap_or_default(),
        name: name.as_ref().to_owned(),
        attributes: Vec::new(),
        children: Vec::new(),
        text: String::new(),
    };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| MALFORMED)?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        if element.attributes.len() >= ATTRIBUTES {
            return Err(Fault("has too many attributes"));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|_| Fault("refers to an entity or a character that is not allowed"))?;
        if !value.chars().all(is_char) {
            return Err(Fault("has characters that XML does not allow"));
        }
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        let namespace = resolved(&namespace)?.unwrap_or_default();
        let name = name.as_ref();
        let twice = |other: &Attribute| other.namespace == namespace && other.name == name;
        if element.attributes.iter().any(twice) {
            return Err(MALFORMED); // two prefixes, one namespace
        }
        element.attributes.push(Attribute {
            name: name.to_owned(),
            namespace,
            value: value.into_owned(),
        });
    }
    Ok(element)
}

fn resolved(namespace: &ResolveResult<'_>) -> Result<Option<String>, Fault> {
    match namespace {
        ResolveResult::Bound(bound) => Ok(Some(bound.as_ref().to_owned())),
        ResolveResult::Unbound => Ok(None),
        ResolveResult::Unknown(_) => Err(Fault("uses a namespace prefix that is not declared")),
    }
}

fn referred(reference: &BytesRef<'_>, text: &mut String) -> Result<(), Fault> {
    let not_allowed = Fault("refers to an entity or a character that is not allowed");
    match reference.resolve_char_ref().map_err(|_| not_allowed)? {
        Some(char) if is_char(char) => text.push(char),
        Some(_) => return Err(not_allowed),
        None => text.push_str(resolve_predefined_entity(reference).ok_or(not_allowed)?),
    }
    Ok(())
}

fn declared(declaration: &BytesDecl<'_>) -> Result<(), Fault> {
    let version = declaration.version().map_err(|_| MALFORMED)?;
    let encoding = match declaration.encoding() {
        None => true,
        Some(Ok(encoding)) => encoding.eq_ignore_ascii_case("utf-8"),
        Some(Err(_)) => false,
    };
    let fits = version == "1.0" && encoding;
    fits.then_some(()).ok_or(Fault("is not XML 1.0 in UTF-8"))
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

/// `Char` of XML 1.0 2.2.
fn is_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> &'static str {
        read(text, Allow::Data).unwrap_err().0
    }

    #[test]
    fn names_are_resolved_and_texts_are_whole() {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<p:a xmlns:p=\"urn:x\" b=\"1&amp;2\" p:b=\"3\">\
                    x&lt;y&#x41;<c xmlns=\"urn:y\"/>z</p:a>\n";
        let root = read(text, Allow::Data).unwrap();
        assert!(root.is("urn:x", "a"));
        assert_eq!(root.text, "x<yAz");
        assert_eq!(root.attribute("b"), Some("1&2"));
        assert!(root.one("urn:y", "c").is_some() && root.one("urn:x", "c").is_none());
        assert_eq!(root.plain(), None);
        assert_eq!(root.all().len(), 2);
    }

    #[test]
    fn whatever_readers_disagree_about_is_refused() {
        assert_eq!(fault("<!DOCTYPE a><a/>"), "has a document type (DTD)");
        assert_eq!(
            fault("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"),
            "has a document type (DTD)"
        );
        assert_eq!(fault("<a>b<!-- c -->d</a>"), "has a comment");
        assert_eq!(fault("<a><?b c?></a>"), "has a processing instruction");
        assert_eq!(fault("<a><![CDATA[b]]></a>"), "has a CDATA section");
        let not_allowed = "refers to an entity or a character that is not allowed";
        assert_eq!(fault("<a>&b;</a>"), not_allowed);
        assert_eq!(fault("<a b='&c;'/>"), not_allowed);
        assert_eq!(fault("<a>&#0;</a>"), not_allowed);
        assert_eq!(fault("<p:a/>"), "uses a namespace prefix that is not declared");
        assert_eq!(
            fault("<a p:b='1'/>"),
            "uses a namespace prefix that is not declared"
        );
        assert_eq!(fault("<?xml version='1.1'?><a/>"), "is not XML 1.0 in UTF-8");
        assert_eq!(
            fault("<?xml version='1.0' encoding='utf-7'?><a/>"),
            "is not XML 1.0 in UTF-8"
        );
        assert_eq!(fault("<a>\u{1}</a>"), "has characters that XML does not allow");
        for malformed in [
            "",
            "a",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/>b",
            "b<a/>",
            "<a b='1' b='2'/>",
            "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
            " <?xml version='1.0'?><a/>",
            "<a b=1/>",
            "<a>&</a>",
        ] {
            assert!(read(malformed, Allow::Data).is_err(), "{malformed}");
        }
        assert!(read("<a/><a/>", Allow::Data).is_err());
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(read(&nested(DEPTH), Allow::Data).is_ok());
        assert!(read(&nested(DEPTH + 1), Allow::Data).is_err());
        let wide = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n));
        assert!(read(&wide(ELEMENTS - 1), Allow::Data).is_ok());
        assert!(read(&wide(ELEMENTS), Allow::Data).is_err());
        let many = |n: usize| {
            let list: String = (0..n).map(|i| format!(" a{i}='x'")).collect();
            format!("<a{list}/>")
        };
        assert!(read(&many(ATTRIBUTES), Allow::Data).is_ok());
        assert!(read(&many(ATTRIBUTES + 1), Allow::Data).is_err());
    }

    #[test]
    fn an_operators_file_may_have_comments() {
        let root = read("<!-- ours --><a>b<!-- c -->d</a>", Allow::Comments).unwrap();
        assert_eq!(root.text, "bd");
        assert!(read("<!DOCTYPE a><a/>", Allow::Comments).is_err());
    }
}
