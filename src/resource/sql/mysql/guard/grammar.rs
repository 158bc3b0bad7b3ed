//! The grammar of MySQL and MariaDB as the library knows it, without what it reads differently from the servers.

use std::any::TypeId;

use sqlparser::ast::{Expr, Statement};
use sqlparser::dialect::{Dialect, MySqlDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError, ParserOptions};

/// How deep the grammar follows brackets and subqueries, of which [`super::text`] allows fewer.
const RECURSION: usize = 300;

/// MySQL's grammar, without `BINARY x` (the library reads all that follows as its operand), without names that
/// begin with digits, and without words before strings.
#[derive(Debug)]
pub(super) struct Grammar;

/// The library's tree of one statement.
///
/// # Errors
/// What the library says; nothing of a string is in it where `text` is a skeleton.
pub(super) fn parse(text: &str) -> Result<Statement, ParserError> {
    let options = ParserOptions::new().with_unescape(false);
    let mut parser = Parser::new(&Grammar)
        .with_recursion_limit(RECURSION)
        .with_options(options)
        .try_with_sql(text)?;
    let statement = parser.parse_statement()?;
    match parser.next_token().token {
        sqlparser::tokenizer::Token::EOF => Ok(statement),
        token => Err(ParserError::ParserError(format!(
            "Expected: end of statement, found: {token}"
        ))),
    }
}

impl Dialect for Grammar {
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
