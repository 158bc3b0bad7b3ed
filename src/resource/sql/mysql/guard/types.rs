//! What a value may be cast to.

use sqlparser::ast::{BinaryLength, CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

/// Whether it is a type of the server's own for CAST, CONVERT and the columns of JSON_TABLE.
pub(super) fn allowed(data_type: &DataType) -> bool {
    match data_type {
        DataType::Char(length)
        | DataType::Character(length)
        | DataType::Varchar(length)
        | DataType::Nvarchar(length) => {
            matches!(
                length,
                None | Some(CharacterLength::IntegerLength { unit: None, .. })
            )
        }
        DataType::Varbinary(length) => matches!(length, None | Some(BinaryLength::IntegerLength { .. })),
        DataType::Binary(_)
        | DataType::Signed
        | DataType::SignedInteger
        | DataType::Unsigned
        | DataType::UnsignedInteger
        | DataType::TinyInt(_)
        | DataType::SmallInt(_)
        | DataType::MediumInt(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::BigInt(_)
        | DataType::IntUnsigned(_)
        | DataType::IntegerUnsigned(_)
        | DataType::BigIntUnsigned(_)
        | DataType::Real
        | DataType::DoublePrecision
        | DataType::Date
        | DataType::Datetime(_)
        | DataType::JSON
        | DataType::Text => true,
        DataType::Time(_, zone) | DataType::Timestamp(_, zone) => *zone == TimezoneInfo::None,
        DataType::Decimal(info) | DataType::Dec(info) | DataType::Float(info) | DataType::Double(info) => {
            match info {
                ExactNumberInfo::None
                | ExactNumberInfo::Precision(_)
                | ExactNumberInfo::PrecisionAndScale(..) => true,
            }
        }
        DataType::Custom(name, modifiers) => {
            modifiers.is_empty() && name.to_string().eq_ignore_ascii_case("YEAR")
        }
        _ => false,
    }
}
