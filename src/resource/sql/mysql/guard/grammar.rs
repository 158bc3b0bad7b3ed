//! The grammar of MySQL and MariaDB as the library knows it, without what it reads differently from the servers.

use std::any::TypeId;

use sqlparser::ast::{Expr, Ident, Statement};
use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError, ParserOptions};
use sqlparser::tokenizer::{Location, Span, Token as Read, TokenWithSpan};

use super::lexer::{Kind, Token};

/// How deep the grammar follows brackets and subqueries, of which [`super::text`] allows fewer.
const RECURSION: usize = 300;

/// MySQL's grammar, without `BINARY x` (the library reads all that follows as its operand), without names that
/// begin with digits, and without words before strings.
#[derive(Debug)]
struct Grammar {
    /// Whether [`plain`] is asked first.
    quick: bool,
}

/// The library's tree of one statement. It is given our tokens: where it would read a text differently from the server,
/// there is none for it to read.
///
/// # Errors
/// What the library says; nothing of a string is in it where the tokens are a skeleton.
pub(super) fn parse(tokens: &[Token<'_>]) -> Result<Statement, ParserError> {
    let mut all = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let token = read(token).ok_or_else(|| ParserError::TokenizerError("Unknown sign".to_owned()))?;
        all.push(placed(at, token));
    }
    statement(&Grammar { quick: true }, all)
}

/// Where a token stands is its number: by that, parameters are told from each other.
fn placed(at: usize, token: Read) -> TokenWithSpan {
    let place = Location::new(1, at as u64 + 1);
    let span = Span::new(place, place);
    TokenWithSpan { token, span }
}

fn statement(grammar: &Grammar, tokens: Vec<TokenWithSpan>) -> Result<Statement, ParserError> {
    let options = ParserOptions::new().with_unescape(false);
    let mut parser = Parser::new(grammar)
        .with_recursion_limit(RECURSION)
        .with_options(options)
        .with_tokens_with_locations(tokens);
    let statement = parser.parse_statement()?;
    match parser.next_token().token {
        Read::EOF => Ok(statement),
        token => Err(ParserError::ParserError(format!(
            "Expected: end of statement, found: {token}"
        ))),
    }
}

/// A token as the library calls it.
fn read(token: &Token<'_>) -> Option<Read> {
    let text = || token.text.clone().into_owned();
    Some(match token.kind {
        Kind::Word => Read::make_word(&token.text, None),
        Kind::Quoted => Read::make_word(&token.text, Some('`')),
        Kind::Text => Read::SingleQuotedString(text()),
        Kind::Number => Read::Number(text(), false),
        Kind::Hex => Read::HexStringLiteral(text()),
        Kind::Bits => Read::SingleQuotedByteStringLiteral(text()),
        Kind::Parameter(_) => Read::Placeholder("?".to_owned()),
        Kind::Operator => operator(&token.text)?,
    })
}

fn operator(text: &str) -> Option<Read> {
    Some(match text {
        "(" => Read::LParen,
        ")" => Read::RParen,
        "," => Read::Comma,
        "." => Read::Period,
        ";" => Read::SemiColon,
        "+" => Read::Plus,
        "-" => Read::Minus,
        "*" => Read::Mul,
        "/" => Read::Div,
        "%" => Read::Mod,
        "=" => Read::Eq,
        "<" => Read::Lt,
        ">" => Read::Gt,
        "!" => Read::ExclamationMark,
        "~" => Read::Tilde,
        "^" => Read::Caret,
        "&" => Read::Ampersand,
        "|" => Read::Pipe,
        "<=>" => Read::Spaceship,
        "->>" => Read::LongArrow,
        "->" => Read::Arrow,
        "<=" => Read::LtEq,
        ">=" => Read::GtEq,
        "<>" | "!=" => Read::Neq,
        "<<" => Read::ShiftLeft,
        ">>" => Read::ShiftRight,
        "&&" => Read::Overlap,
        "||" => Read::StringConcat,
        _ => return None,
    })
}

/// What begins with a name alone or a plain value, which is most of any statement: the library finds the same, after it has
/// looked whether a name is that of a type before a string.
fn plain(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let name = match &parser.peek_nth_token_ref(0).token {
        Read::Number(..) | Read::SingleQuotedString(_) | Read::Placeholder(_) => None,
        Read::Word(word) if word.keyword == Keyword::NoKeyword => Some(Ident {
            value: word.value.clone(),
            quote_style: word.quote_style,
            span: Span::empty(),
        }),
        _ => return None,
    };
    let Some(name) = name else {
        return Some(parser.parse_value().map(Expr::Value));
    };
    match parser.peek_nth_token_ref(1).token {
        // A call; a string whose character set the name would be.
        Read::LParen
        | Read::SingleQuotedString(_)
        | Read::HexStringLiteral(_)
        | Read::SingleQuotedByteStringLiteral(_) => None,
        _ => {
            parser.advance_token();
            Some(Ok(Expr::Identifier(name)))
        }
    }
}

impl Dialect for Grammar {
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        if self.quick { plain(parser) } else { None }
    }

    fn dialect(&self) -> TypeId {
        TypeId::of::<MySqlDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_' || !ch.is_ascii()
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.is_identifier_start(ch) || ch.is_ascii_digit() || ch == '$'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn identifier_quote_style(&self, _: &str) -> Option<char> {
        Some('`')
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expr: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        MySqlDialect {}.parse_infix(parser, expr, precedence)
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        true
    }

    fn supports_insert_set(&self) -> bool {
        true
    }

    fn is_table_factor_alias(&self, explicit: bool, keyword: &Keyword, parser: &mut Parser<'_>) -> bool {
        MySqlDialect {}.is_table_factor_alias(explicit, keyword, parser)
    }

    fn supports_table_hints(&self) -> bool {
        true
    }

    fn requires_single_line_comment_whitespace(&self) -> bool {
        true
    }

    fn supports_match_against(&self) -> bool {
        true
    }

    fn supports_select_modifiers(&self) -> bool {
        true
    }

    fn supports_update_order_by(&self) -> bool {
        true
    }

    fn supports_data_type_signed_suffix(&self) -> bool {
        true
    }

    fn supports_cross_join_constraint(&self) -> bool {
        true
    }

    fn supports_double_ampersand_operator(&self) -> bool {
        true
    }

    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }

    fn supports_left_associative_joins_without_parens(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use sqlparser::tokenizer::Tokenizer;

    use super::super::{lexer, text};
    use super::*;

    const CASES: [&str; 4] = [
        include_str!("../../../../../tests/it/mysql/data/reads.sql"),
        include_str!("../../../../../tests/it/mysql/data/leaks.sql"),
        include_str!("../../../../../tests/it/mysql/data/bypass.sql"),
        include_str!("../../../../../tests/it/mysql/data/changes.sql"),
    ];
    /// Every sign, beside what it could be taken for.
    const SIGNS: &str = "SELECT a+b-c*d/e%f=g<h>i<=j>=k<>l!=m<=>n<<o>>p&q|r^s&&t||u, !v, ~w, -1, - -1, a->'$.b', a->>'$.c', \
        .5, 1.5, 1e3, 2E-4, 0x1F, X'1f', B'01', ?, `a b`.`c`, t.*, (1, 2), date, date '2020-01-01', char(1), n, interval";

    /// What the library makes of the same as a text, by its own tokens, without our own way through names and values.
    #[test]
    fn the_library_reads_our_tokens_as_it_would_read_their_text() {
        let mut read = 0;
        let lines = CASES.iter().flat_map(|cases| cases.lines()).chain([SIGNS]);
        for line in lines {
            let line = line.split_once(": ").map_or(line, |(_, rest)| rest);
            let Ok(tokens) = lexer::scan(line, &[]) else {
                continue;
            };
            let skeleton = text::skeleton(&tokens);
            let written = text::written(&skeleton, |token| format!("'{}'", token.text));
            let grammar = Grammar { quick: false };
            let theirs = Tokenizer::new(&grammar, &written).with_unescape(false).tokenize();
            let mut theirs = theirs.unwrap_or_else(|error| panic!("{written}: {error}"));
            theirs.retain(|token| !matches!(token, Read::Whitespace(_)));
            let ours: Vec<Read> = skeleton.iter().map(|token| super::read(token).unwrap()).collect();
            assert_eq!(ours, theirs, "{written}");
            let theirs = theirs.into_iter().enumerate();
            let theirs = theirs.map(|(at, token)| placed(at, token)).collect();
            let (slow, quick) = (statement(&grammar, theirs), parse(&skeleton));
            assert_eq!(
                slow.as_ref().ok(),
                quick.as_ref().ok(),
                "{written}: {slow:?} {quick:?}"
            );
            read += usize::from(quick.is_ok());
        }
        assert!(read > 200, "{read} statements");
    }
}
