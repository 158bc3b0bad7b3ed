//! Expressions: every kind of them that a statement may have.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident,
    Interval, ObjectName, TypedString, UnaryOperator, Value, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowSpec, WindowType,
};

use super::from::string;
use super::functions;
use super::refusals::plainer;
use super::refused;
use super::types;
use super::walk::{Done, Walk, name_parts};

impl Walk<'_> {
    /// Each of them.
    ///
    /// # Errors
    /// `statement_refused` for what is not available.
    pub(super) fn all(&mut self, expressions: &mut [Expr]) -> Done {
        expressions
            .iter_mut()
            .try_for_each(|expression| self.expression(expression))
    }

    fn some(&mut self, expression: Option<&mut Box<Expr>>) -> Done {
        expression.map_or(Ok(()), |expression| self.expression(expression))
    }

    /// Any expression, in the scopes it stands in.
    ///
    /// # Errors
    /// `statement_refused` for what is not available.
    pub(super) fn expression(&mut self, expression: &mut Expr) -> Done {
        match expression {
            Expr::Identifier(name) => self.word(name),
            Expr::CompoundIdentifier(parts) => self.column(parts),
            Expr::Nested(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => self.expression(inner),
            Expr::Tuple(items) => self.all(items),
            Expr::Value(value) => match &value.value {
                Value::Placeholder(_) => {
                    self.compared.elsewhere(value);
                    Ok(())
                }
                Value::Boolean(_) => Ok(()),
                Value::HexStringLiteral(_) | Value::SingleQuotedByteStringLiteral(_) => Ok(()),
                _ => string(value),
            },
            Expr::UnaryOp { op, expr } => match op {
                UnaryOperator::Plus
                | UnaryOperator::Minus
                | UnaryOperator::Not
                | UnaryOperator::BangNot
                | UnaryOperator::BitwiseNot => self.expression(expr),
                _ => Err(plainer("This operator")),
            },
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::Exists { subquery, negated: _ } | Expr::Subquery(subquery) => self.query(subquery),
            Expr::InSubquery {
                expr,
                subquery,
                negated: _,
            } => {
                self.expression(expr)?;
                self.query(subquery)
            }
            Expr::InList {
                expr,
                list,
                negated: _,
            } => {
                self.expression(expr)?;
                self.all(list)
            }
            Expr::Function(function) => self.function(function),
            _ => self.special(expression),
        }
    }

    fn binary(&mut self, left: &mut Expr, op: &BinaryOperator, right: &mut Expr) -> Done {
        if *op == BinaryOperator::Eq && self.compared.takes(left, right) {
            return self.expression(left);
        }
        match op {
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::MyIntegerDivide
            | BinaryOperator::Gt
            | BinaryOperator::Lt
            | BinaryOperator::GtEq
            | BinaryOperator::LtEq
            | BinaryOperator::Spaceship
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::Xor
            | BinaryOperator::BitwiseOr
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::BitwiseXor
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight
            | BinaryOperator::Arrow
            | BinaryOperator::LongArrow => {
                self.expression(left)?;
                self.expression(right)
            }
            // It joins texts elsewhere, and is OR here.
            BinaryOperator::StringConcat => Err(refused(
                "`||` is not available: it is OR here.",
                "Write CONCAT(a, b) to join texts, or OR.",
            )),
            _ => Err(plainer("This operator")),
        }
    }

    /// What is written with words of its own.
    fn special(&mut self, expression: &mut Expr) -> Done {
        match expression {
            Expr::Between {
                expr,
                negated: _,
                low,
                high,
            } => [expr, low, high]
                .into_iter()
                .try_for_each(|each| self.expression(each)),
            Expr::Case {
                case_token: _,
                end_token: _,
                operand,
                conditions,
                else_result,
            } => {
                self.some(operand.as_mut())?;
                for CaseWhen { condition, result } in conditions {
                    self.expression(condition)?;
                    self.expression(result)?;
                }
                self.some(else_result.as_mut())
            }
            Expr::Collate { expr, collation } => {
                collation_is_plain(collation)?;
                self.expression(expr)
            }
            Expr::Cast { .. } | Expr::Convert { .. } | Expr::TypedString(_) => self.cast(expression),
            Expr::Interval(interval) => self.interval(interval),
            Expr::MatchAgainst {
                columns,
                match_value,
                opt_search_modifier: _,
            } => {
                for column in columns {
                    let mut parts = name_parts(column)?;
                    self.column(&mut parts)?;
                    *column = ObjectName::from(parts);
                }
                match match_value.value {
                    Value::Placeholder(_) => {
                        self.compared.elsewhere(match_value);
                        Ok(())
                    }
                    _ => string(match_value),
                }
            }
            _ => self.matched(expression),
        }
    }

    /// Comparisons written with words.
    fn matched(&mut self, expression: &mut Expr) -> Done {
        match expression {
            Expr::Like {
                negated: _,
                any: false,
                expr,
                pattern,
                escape_char,
            } => {
                self.expression(expr)?;
                self.expression(pattern)?;
                self.some(escape_char.as_mut())
            }
            Expr::RLike {
                negated: _,
                expr,
                pattern,
                regexp: _,
            } => {
                self.expression(expr)?;
                self.expression(pattern)
            }
            Expr::AnyOp {
                left,
                compare_op: _,
                right,
                is_some: _,
            }
            | Expr::AllOp {
                left,
                compare_op: _,
                right,
            } => {
                self.expression(left)?;
                self.expression(right)
            }
            _ => self.shaped(expression),
        }
    }

    /// Functions with a grammar of their own.
    fn shaped(&mut self, expression: &mut Expr) -> Done {
        let name = match expression {
            Expr::Extract {
                field,
                syntax: _,
                expr,
            } => {
                is_unit(field)?;
                self.expression(expr)?;
                "extract"
            }
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
                if !matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime)) {
                    return Err(plainer("This form of CEIL or FLOOR"));
                }
                self.expression(expr)?;
                "ceil"
            }
            Expr::Position { expr, r#in } => {
                self.expression(expr)?;
                self.expression(r#in)?;
                "position"
            }
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                special: _,
                shorthand: _,
            } => {
                self.expression(expr)?;
                self.some(substring_from.as_mut())?;
                self.some(substring_for.as_mut())?;
                "substring"
            }
            Expr::Trim {
                trim_where: _,
                trim_what,
                expr,
                trim_characters: None,
            } => {
                self.some(trim_what.as_mut())?;
                self.expression(expr)?;
                "trim"
            }
            _ => return Err(plainer("This expression")),
        };
        self.functions.insert(name.to_owned());
        Ok(())
    }

    fn cast(&mut self, expression: &mut Expr) -> Done {
        let (expr, data_type) = match expression {
            Expr::Cast {
                kind: CastKind::Cast,
                expr,
                data_type,
                format: None,
            } => (expr, Some(data_type)),
            Expr::Convert {
                is_try: false,
                expr,
                data_type,
                charset,
                target_before_value: false,
                styles,
            } if styles.is_empty() => {
                if let Some(charset) = charset {
                    collation_is_plain(charset)?;
                }
                (expr, data_type.as_mut())
            }
            Expr::TypedString(TypedString {
                data_type,
                value,
                uses_odbc_syntax: false,
            }) => {
                let name = data_type.to_string();
                let known = ["DATE", "TIME", "TIMESTAMP"].contains(&name.as_str());
                return if known {
                    string(value)
                } else {
                    Err(plainer("A type before a string"))
                };
            }
            _ => return Err(plainer("This form of a cast")),
        };
        if data_type.is_some_and(|data_type| !types::allowed(data_type)) {
            return Err(refused(
                "This type is not available in a cast.",
                "Cast to CHAR, BINARY, SIGNED, UNSIGNED, DECIMAL, DOUBLE, DATE, TIME, DATETIME or JSON.",
            ));
        }
        self.expression(expr)
    }

    fn interval(&mut self, interval: &mut Interval) -> Done {
        let Interval {
            value,
            leading_field,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        } = interval
        else {
            return Err(plainer("This form of INTERVAL"));
        };
        match leading_field {
            Some(field) => is_unit(field)?,
            None => return Err(plainer("INTERVAL without a unit")),
        }
        self.expression(value)
    }

    /// A bare word: a column, or one of the few that are functions.
    fn word(&mut self, name: &Ident) -> Done {
        match name.quote_style {
            Some('`') => {}
            None if functions::is_time(&name.value) => {
                self.functions.insert(name.value.to_lowercase());
                return Ok(());
            }
            None if functions::is_withheld(&name.value) => return Err(withheld(&name.value.to_lowercase())),
            None => not_reserved(name)?,
            Some(_) => return Err(plainer("This form of a name")),
        }
        self.scopes
            .touch(self.catalog, None, &name.value, &mut self.columns);
        Ok(())
    }

    /// A qualified column.
    fn column(&mut self, parts: &mut [Ident]) -> Done {
        if parts
            .iter()
            .any(|part| !matches!(part.quote_style, None | Some('`')))
        {
            return Err(plainer("This form of a name"));
        }
        match parts {
            [name] => self.word(name),
            [rest @ .., name] => {
                // The next number of a sequence is written like a column.
                if functions::is_withheld(&name.value) && name.quote_style.is_none() {
                    return Err(withheld(&name.value.to_lowercase()));
                }
                let item = self.qualifier(rest)?;
                self.scopes
                    .touch(self.catalog, Some(&item), &name.value, &mut self.columns);
                Ok(())
            }
            [] => Err(plainer("A name of no parts")),
        }
    }

    fn function(&mut self, function: &mut Function) -> Done {
        let Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            within_group,
            filter,
            null_treatment,
            over,
        } = function;
        let parts = name_parts(name)?;
        let called = match parts.as_slice() {
            [called] if called.quote_style.is_none() => called.value.to_lowercase(),
            _ => {
                return Err(refused(
                    "A function by a qualified name or in backticks is not available.",
                    "Call the server's own functions by their plain names.",
                ));
            }
        };
        if !(functions::allowed(&called) || self.on_duplicate && called == "values") {
            return Err(withheld(&called));
        }
        let foreign = *uses_odbc_syntax || *parameters != FunctionArguments::None;
        if foreign || filter.is_some() || null_treatment.is_some() {
            return Err(refused(
                "FILTER and IGNORE NULLS are not of MySQL or MariaDB.",
                "Write SUM(CASE WHEN … THEN … END).",
            ));
        }
        match args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => return Err(plainer("A query as a function's argument")),
            FunctionArguments::List(list) => self.arguments(&called, list)?,
        }
        self.functions.insert(called);
        self.ordered(within_group)?;
        match over {
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
            Some(WindowType::NamedWindow(_)) | None => Ok(()),
        }
    }

    fn arguments(&mut self, called: &str, list: &mut FunctionArgumentList) -> Done {
        let FunctionArgumentList {
            duplicate_treatment,
            args,
            clauses,
        } = list;
        if !matches!(duplicate_treatment, None | Some(DuplicateTreatment::Distinct)) {
            return Err(plainer("ALL in a function"));
        }
        for (at, arg) in args.iter_mut().enumerate() {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(unit)))
                    if at == 0 && unit.quote_style.is_none() && functions::takes_unit(called) =>
                {
                    if !functions::is_unit(&unit.value) {
                        return Err(plainer("This unit of time"));
                    }
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => self.expression(expression)?,
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if called == "count" => {}
                _ => return Err(plainer("This argument of a function")),
            }
        }
        for clause in clauses {
            match clause {
                FunctionArgumentClause::OrderBy(items) => self.ordered(items)?,
                FunctionArgumentClause::Separator(value) => string(value)?,
                FunctionArgumentClause::Limit(limit) => self.expression(limit)?,
                _ => return Err(plainer("A clause of a function")),
            }
        }
        Ok(())
    }

    /// A window's parts.
    ///
    /// # Errors
    /// `statement_refused` for what is not available.
    pub(super) fn window(&mut self, spec: &mut WindowSpec) -> Done {
        let WindowSpec {
            window_name: _,
            partition_by,
            order_by,
            window_frame,
        } = spec;
        self.all(partition_by)?;
        self.ordered(order_by)?;
        let Some(WindowFrame {
            units,
            start_bound,
            end_bound,
        }) = window_frame
        else {
            return Ok(());
        };
        if *units == WindowFrameUnits::Groups {
            return Err(refused(
                "GROUPS frames are not of MySQL or MariaDB.",
                "Use ROWS or RANGE.",
            ));
        }
        for bound in [Some(start_bound), end_bound.as_mut()].into_iter().flatten() {
            match bound {
                WindowFrameBound::CurrentRow => {}
                WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => {
                    self.some(value.as_mut())?
                }
            }
        }
        Ok(())
    }
}

/// A bare word of the language is no name.
///
/// # Errors
/// `statement_refused`.
pub(super) fn not_reserved(name: &Ident) -> Done {
    if name.quote_style.is_none() && functions::is_reserved(&name.value) {
        return Err(refused(
            format!("`{}` stands where a name should.", name.value),
            "Complete what stands before it, or put a name that is a word of the language in backticks.",
        ));
    }
    Ok(())
}

fn withheld(name: &str) -> crate::call::Refusal {
    refused(
        format!("The function `{name}` is not available."),
        functions::way_out(name),
    )
}

fn is_unit(field: &DateTimeField) -> Done {
    if functions::is_unit(&field.to_string()) {
        Ok(())
    } else {
        Err(plainer("This unit of time"))
    }
}

fn collation_is_plain(name: &ObjectName) -> Done {
    let parts = name_parts(name)?;
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match parts.as_slice() {
        [only] if plain(&only.value) => Ok(()),
        _ => Err(plainer("This character set or collation")),
    }
}
