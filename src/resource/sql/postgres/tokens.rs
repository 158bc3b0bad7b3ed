//! Tokens that the server makes: a function that agents' role may call and not look into, over a key that only its
//! owner may read. The key is made in the server and never leaves it: not in a statement, not as a parameter, not in
//! a plan. What is installed is compared, byte for byte, with what stands here.

use std::collections::BTreeMap;
use std::fmt::Write;

use sqlx::Row;

use super::catalog::Relation;
use super::link::{Link, quoted};
use super::{MaskStyle, Spec, refusals};
use crate::call::Refusal;
use crate::resource::sql::TokenScope;
use crate::resource::sql::tokens::fits;

/// HMAC-SHA256 over scope, class and value, as the process makes it for databases without functions. The two pads
/// are the key's, made once.
fn body(scope: TokenScope) -> String {
    let (declared, begun, within) = match scope {
        TokenScope::Deployment => ("", "", ""),
        TokenScope::Session => (
            "\n  session pg_catalog.text := pg_catalog.current_setting('tollgate.session', true);",
            "\n  IF session IS NULL OR pg_catalog.length(session) OPERATOR(pg_catalog.<>) 64 THEN
    RAISE EXCEPTION 'tollgate: not within a session';
  END IF;",
            "pg_catalog.convert_to(session, 'UTF8') OPERATOR(pg_catalog.||) ",
        ),
    };
    format!(
        "
DECLARE{declared}
  made pg_catalog.text;
BEGIN{begun}
  IF pg_catalog.octet_length(value) OPERATOR(pg_catalog.>) 1048576 THEN
    RETURN '***';
  END IF;
  SELECT 'tok_'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.substr(pg_catalog.encode(pg_catalog.sha256(
      k.outer_pad OPERATOR(pg_catalog.||) pg_catalog.sha256(k.inner_pad OPERATOR(pg_catalog.||) {within}'\\x00'::pg_catalog.bytea
        OPERATOR(pg_catalog.||) pg_catalog.convert_to(class, 'UTF8') OPERATOR(pg_catalog.||) '\\x00'::pg_catalog.bytea
        OPERATOR(pg_catalog.||) pg_catalog.convert_to(value, 'UTF8'))), 'hex'), 1, 32)
    INTO made FROM tollgate.token_key AS k WHERE k.id OPERATOR(pg_catalog.=) 1;
  IF made IS NULL THEN
    RAISE EXCEPTION 'tollgate: there is no key';
  END IF;
  RETURN made;
END
"
    )
}

/// The function's name.
fn name(scope: TokenScope) -> &'static str {
    match scope {
        TokenScope::Deployment => "token",
        TokenScope::Session => "session_token",
    }
}

/// `provolatile`: an index may keep what is the same for ever.
fn volatility(scope: TokenScope) -> (&'static str, &'static str) {
    match scope {
        TokenScope::Deployment => ("i", "IMMUTABLE"),
        TokenScope::Session => ("s", "STABLE"),
    }
}

/// The scope of the tokens of a resource; none where no column of it has tokens.
pub(super) fn scope(spec: &Spec) -> Option<TokenScope> {
    let mut styles = spec.columns.values().filter_map(|class| spec.classes.get(class));
    styles.find_map(|style| match style {
        MaskStyle::Token(scope) => Some(*scope),
        _ => None,
    })
}

/// The token of a value, made by the server within the link's session. A value never stands in a statement's text.
///
/// # Errors
/// What the server says.
pub(super) async fn made(link: &mut Link, spec: &Spec, class: &str, value: &str) -> Result<String, Refusal> {
    let scope = scope(spec).ok_or_else(|| Refusal::internal("postgres: no column has tokens"))?;
    let question = format!(
        "SELECT tollgate.{}($1::pg_catalog.text, $2::pg_catalog.text)",
        name(scope)
    );
    let question = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(question)).persistent(false);
    let made = question.bind(class).bind(value).fetch_one(link.conn()?).await;
    made.map_err(|error| refusals::away(&error))
}

/// The first column that is to have tokens and has too few values for them.
pub(super) fn too_few(relations: &BTreeMap<u32, Relation>) -> Option<String> {
    relations.values().find_map(|relation| {
        let tokened = |style: &MaskStyle| matches!(style, MaskStyle::Token(_));
        let mut columns = relation.columns.iter();
        let column = columns.find(|column| {
            let class = column.class.as_ref();
            class.is_some_and(|(_, style)| tokened(style)) && !fits(&column.declared_type)
        })?;
        Some(format!(
            "{}.{}.{} is to have tokens, but of type {} there are too few values; give its class another mask",
            relation.schema, relation.name, column.name, column.declared_type
        ))
    })
}

/// What is installed.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// `pg_class.oid` of the key's table: the function opens it.
    pub(super) table: Option<u32>,
    /// What is not as it has to be.
    pub(super) fault: Option<String>,
}

/// Each fault in words, the first that holds last; the table's number. `$1` is the function's name, `$2` its body,
/// `$3` its volatility, `$4` whether the role may be more than a role of agents.
const QUESTION: &str = "
SELECT c.oid::pg_catalog.int8, CASE
    WHEN pg_catalog.getdatabaseencoding() <> 'UTF8' THEN 'the database is not in UTF-8'
    WHEN p.oid IS NULL THEN 'the function is missing'
    WHEN c.oid IS NULL OR c.relkind <> 'r' OR c.relowner <> p.proowner THEN 'the table of its key is missing, or not its owner''s'
    WHEN p.prosrc <> $2 OR l.lanname <> 'plpgsql' OR NOT p.prosecdef OR NOT p.proisstrict
      OR p.provolatile::pg_catalog.text <> $3 OR p.prorettype <> 'pg_catalog.text'::pg_catalog.regtype OR p.proretset
      OR p.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp'] THEN 'the function is not the one of this version'
    WHEN EXISTS (SELECT FROM pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
      WHERE a.grantee = 0) THEN 'everybody may call the function'
    WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') OR NOT pg_catalog.has_function_privilege(p.oid, 'EXECUTE')
      THEN 'the role may not call the function'
    WHEN $4 THEN NULL
    WHEN pg_catalog.pg_has_role(p.proowner, 'MEMBER') OR pg_catalog.pg_has_role(n.nspowner, 'MEMBER')
      THEN 'the role owns it, or is a member of a role that does'
    WHEN pg_catalog.has_schema_privilege(n.oid, 'CREATE') THEN 'the role may make things in the schema'
    WHEN pg_catalog.has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
      OR pg_catalog.has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
      THEN 'the role may read or change the key'
  END
FROM (SELECT 1) AS one
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'tollgate'
  LEFT JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.proname = $1 AND p.prokind = 'f'
    AND p.proargtypes::pg_catalog.text = '25 25' -- (text, text)
  LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'token_key'";

/// Looks at the function and its key as the role sees them, and has one token made.
///
/// # Errors
/// What the connection says.
pub(super) async fn installed(link: &mut Link, spec: &Spec) -> Result<Installed, Refusal> {
    let Some(scope) = scope(spec) else {
        return Ok(Installed::default());
    };
    let asked = sqlx::query(QUESTION)
        .persistent(false)
        .bind(name(scope))
        .bind(body(scope))
        .bind(volatility(scope).0)
        .bind(spec.privileged);
    let row = asked.fetch_one(link.conn()?).await;
    let read = |row: sqlx::postgres::PgRow| -> Result<(Option<i64>, Option<String>), sqlx::Error> {
        Ok((row.try_get(0)?, row.try_get(1)?))
    };
    let (table, mut fault) = row.and_then(read).map_err(|error| refusals::away(&error))?;
    if fault.is_none() && !works(link, scope).await? {
        fault = Some("the function gives no token".to_owned());
    }
    Ok(Installed {
        table: table.and_then(|oid| u32::try_from(oid).ok()),
        fault: fault.map(|fault| {
            format!(
                "tokens: {fault} (tollgate.{}); run what `tollgate db grants {}` prints, as whoever may make schemas",
                name(scope),
                spec.name
            )
        }),
    })
}

/// Whether the function gives what a token is; what it says otherwise does not end the transaction.
async fn works(link: &mut Link, scope: TokenScope) -> Result<bool, Refusal> {
    let away = |error: sqlx::Error| refusals::away(&error);
    let begin = sqlx::raw_sql("SAVEPOINT tollgate_token")
        .execute(link.conn()?)
        .await;
    begin.map_err(away)?;
    let text = format!(
        "SELECT tollgate.{}('', '') ~ '^tok_[0-9a-f]{{32}}$' FROM pg_catalog.set_config('tollgate.session', \
         pg_catalog.repeat('0', 64), true)",
        name(scope)
    );
    let made = sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(text)).persistent(false);
    let made = made.fetch_one(link.conn()?).await;
    let end = sqlx::raw_sql("ROLLBACK TO SAVEPOINT tollgate_token")
        .execute(link.conn()?)
        .await;
    end.map_err(away)?;
    match made {
        Ok(made) => Ok(made),
        Err(sqlx::Error::Database(_)) => Ok(false),
        Err(error) => Err(away(error)),
    }
}

/// The statements that install it for a role, again and again the same: a key that is there stays.
pub(super) fn script(scope: TokenScope, role: &str) -> String {
    let (function, (_, volatility), body) = (name(scope), volatility(scope), body(scope));
    let role = quoted(role);
    let mut text = format!(
        "-- Tokens. The key is made here and stays here; whoever owns this schema could read it.\n\
         DO $tollgate$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner\n  \
           WHERE n.nspname = 'tollgate' AND NOT r.rolsuper AND r.rolname <> CURRENT_USER)\n  \
           THEN RAISE EXCEPTION 'tollgate: the schema is somebody else''s: run this as its owner, or drop it'; END IF; END $tollgate$;\n\
         CREATE SCHEMA IF NOT EXISTS tollgate;\n\
         REVOKE ALL ON SCHEMA tollgate FROM PUBLIC;\n\
         CREATE TABLE IF NOT EXISTS tollgate.token_key (id pg_catalog.int2 PRIMARY KEY CHECK (id = 1),\n  \
           inner_pad pg_catalog.bytea NOT NULL CHECK (pg_catalog.octet_length(inner_pad) = 64),\n  \
           outer_pad pg_catalog.bytea NOT NULL CHECK (pg_catalog.octet_length(outer_pad) = 64));\n\
         REVOKE ALL ON TABLE tollgate.token_key FROM PUBLIC, {role};\n"
    );
    text.push_str(
        "WITH secret AS MATERIALIZED (SELECT pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    || pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())) AS bytes),
  padded AS (SELECT at, CASE WHEN at < 32 THEN pg_catalog.get_byte(bytes, at) ELSE 0 END AS byte
    FROM secret, pg_catalog.generate_series(0, 63) AS at)
INSERT INTO tollgate.token_key SELECT 1,
    pg_catalog.string_agg(pg_catalog.set_byte('\\x00'::pg_catalog.bytea, 0, byte # 54), ''::pg_catalog.bytea ORDER BY at),
    pg_catalog.string_agg(pg_catalog.set_byte('\\x00'::pg_catalog.bytea, 0, byte # 92), ''::pg_catalog.bytea ORDER BY at)
  FROM padded ON CONFLICT DO NOTHING;
",
    );
    let _ = write!(
        text,
        "CREATE OR REPLACE FUNCTION tollgate.{function}(class pg_catalog.text, value pg_catalog.text) RETURNS pg_catalog.text\n  \
           LANGUAGE plpgsql {volatility} STRICT PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp\n  \
           AS $tollgate${body}$tollgate$;\n\
         REVOKE ALL ON FUNCTION tollgate.{function}(pg_catalog.text, pg_catalog.text) FROM PUBLIC;\n\
         GRANT USAGE ON SCHEMA tollgate TO {role};\n\
         GRANT EXECUTE ON FUNCTION tollgate.{function}(pg_catalog.text, pg_catalog.text) TO {role};\n"
    );
    text
}

/// The index that finds a column's tokens, as a remark: whether it is worth its room the owner knows.
pub(super) fn index(class: &str, table: &str, column: &str) -> String {
    if [class, table, column]
        .iter()
        .any(|name| name.contains(char::is_control))
    {
        return String::new(); // a new line in a name would end the remark, and what follows would be run
    }
    format!(
        "-- CREATE INDEX ON {table} (tollgate.token('{}'::pg_catalog.text, {}::pg_catalog.text)); -- who writes the table needs EXECUTE on it\n",
        class.replace('\'', "''"),
        quoted(column)
    )
}
