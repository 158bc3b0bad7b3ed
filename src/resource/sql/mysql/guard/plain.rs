//! What a SELECT has beside its lists and conditions.

use sqlparser::ast::{Distinct, Select, SelectFlavor, SelectModifiers};

use super::refusals::plainer;
use super::refused;
use super::walk::Done;

/// Whether a SELECT has no clauses but those that are looked at.
///
/// # Errors
/// `statement_refused`.
pub(super) fn select_is_plain(select: &Select) -> Done {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    if into.is_some() {
        return Err(refused(
            "SELECT … INTO is not available: a query writes no files, tables or variables.",
            "Leave the clause out; the rows come with the answer.",
        ));
    }
    let foreign = !optimizer_hints.is_empty()
        || top.is_some()
        || exclude.is_some()
        || !lateral_views.is_empty()
        || prewhere.is_some()
        || !connect_by.is_empty()
        || !cluster_by.is_empty()
        || !distribute_by.is_empty()
        || !sort_by.is_empty()
        || qualify.is_some()
        || value_table_mode.is_some()
        || *flavor != SelectFlavor::Standard
        || !matches!(distinct, None | Some(Distinct::Distinct | Distinct::All));
    if foreign {
        return Err(plainer("A clause of this SELECT"));
    }
    modifiers(select_modifiers.as_ref())
}

fn modifiers(modifiers: Option<&SelectModifiers>) -> Done {
    let Some(SelectModifiers {
        high_priority,
        straight_join: _,
        sql_small_result: _,
        sql_big_result: _,
        sql_buffer_result,
        sql_no_cache: _,
        sql_calc_found_rows,
    }) = modifiers
    else {
        return Ok(());
    };
    if *high_priority || *sql_buffer_result || *sql_calc_found_rows {
        return Err(refused(
            "HIGH_PRIORITY, SQL_BUFFER_RESULT and SQL_CALC_FOUND_ROWS are not available.",
            "Leave the word out; SELECT COUNT(*) counts rows.",
        ));
    }
    Ok(())
}
