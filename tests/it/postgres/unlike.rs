//! The attempts again, on larger databases and a third that is as unlike as can be: the order of rows counts too, and
//! without masks the same attempts find a great deal.

use std::collections::BTreeSet;

use tollgate::resource::sql::MaskStyle;

use super::Stand;
use super::twins::cases;
use crate::support::postgres::Postgres;

/// What the guard's cases are written for too; a column's comment is its class.
const SCHEMA: &str = include_str!("data/schema.sql");
/// One attempt a line.
const LEAKS: &str = include_str!("data/leaks.sql");
/// Rows of every table; `{name}` is a classified value of row `n`.
const ROWS: &str = include_str!("data/rows.sql");

/// Classified values of row `n` as SQL: of the first twin, of the second, and of one in which they are as
/// unlike as can be. Where a mask shows a part, that part is the same.
const SECRETS: &[(&str, [&str; 3])] = &[
    (
        "email",
        [
            "'alpha' || n || '@private.example'",
            "'omega' || 999 - n || '@secret.example'",
            "NULL",
        ],
    ),
    (
        "ssn",
        [
            "(100 + n) || '-11-' || (4001 + n)",
            "(899 - n) || '-99-' || (9001 - n)",
            "''",
        ],
    ),
    (
        "card",
        [
            "'4111-7000-' || (7000 + n)",
            "'5500-3111-' || (7000 + n)",
            "'0000-0000-' || (7000 + n)",
        ],
    ),
    (
        "phone",
        ["'+491700' || (10000 + n)", "'+336001' || (90000 - n)", "'x'"],
    ),
    ("income", ["10000 + n * 31", "900000 - n * 17", "NULL"]),
    (
        "profile",
        [
            "jsonb_build_object('allergy', 'nuts' || n)",
            "jsonb_build_object('debts', 7000 + n)",
            "'[]'::jsonb",
        ],
    ),
    ("feeling", ["'calm'::mood", "'cross'::mood", "NULL"]),
    ("consent", ["true", "n % 2 = 0", "NULL"]),
    ("salary", ["51000 + n", "73000 - n * 13", "0"]),
    (
        "birth",
        ["date '1970-01-01' + n * 11", "date '1999-01-01' - n * 7", "NULL"],
    ),
    ("badge", ["md5('a' || n)::uuid", "md5('z' || n)::uuid", "NULL"]),
    ("value", ["'+4420' || n", "'secret-' || 999 - n", "''"]),
    (
        "mail",
        [
            "'first' || n || '@dept.example.org'",
            "'second' || 999 - n || '@dept.example.org'",
            "'@dept.example.org'",
        ],
    ),
    ("note", ["'allergic ' || n", "'divorced ' || 999 - n", "NULL"]),
];

/// What is not public, and its class.
const CLASSIFIED: &[(&str, &str)] = &[
    ("employees.salary", "secret"),
    ("employees.birth", "nothing"),
    ("employees.badge", "secret"),
    ("customers.email", "email"),
    ("customers.ssn", "secret"),
    ("customers.card", "tail"),
    ("customers.phone", "secret"),
    ("customers.income", "secret"),
    ("customers.profile", "secret"),
    ("customers.feeling", "secret"),
    ("customers.consent", "secret"),
    ("orders.email", "email"),
    ("Mixed Case.Secret", "secret"),
    ("customer_overview.email", "email"),
    ("crm.contacts.value", "secret"),
    ("crm.contacts.mail", "domain"),
    ("crm.orders.note", "nothing"),
];

/// One of the three; everything but `classified` is public.
async fn twin(at: usize, classified: &[(&str, &str)]) -> Stand {
    let mut rows = ROWS.to_owned();
    for (name, values) in SECRETS {
        rows = rows.replace(&format!("{{{name}}}"), values[at]);
    }
    let grants = "GRANT USAGE ON SCHEMA crm TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA crm TO reader";
    let server = Postgres::start().await;
    Stand::made(server, &[SCHEMA, &rows, grants], |spec| {
        spec.schemas = vec!["public".to_owned(), "crm".to_owned()];
        spec.columns = super::twins::columns()
            .into_keys()
            .map(|column| (column, "public".to_owned()))
            .collect();
        for (column, class) in classified {
            let full = match column.split('.').count() {
                2 => format!("public.{column}"),
                _ => (*column).to_owned(),
            };
            let listed = spec.columns.insert(full.clone(), (*class).to_owned());
            assert!(listed.is_some(), "{full} is in the schema");
        }
        spec.classes = [
            ("email", MaskStyle::Constant),
            ("secret", MaskStyle::Constant),
            ("nothing", MaskStyle::Null),
            ("tail", MaskStyle::Last4),
            ("domain", MaskStyle::Domain),
        ]
        .map(|(class, style)| (class.to_owned(), style))
        .into();
    })
    .await
}

/// Every text of six or more characters that must not be in an answer.
fn planted(twins: &[Stand]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for twin in &twins[..2] {
        for sql in [
            "SELECT email FROM customers UNION ALL SELECT ssn FROM customers UNION ALL SELECT phone FROM customers",
            "SELECT split_part(card, '-', 1) || '-' || split_part(card, '-', 2) FROM customers",
            "SELECT badge::text FROM employees UNION ALL SELECT birth::text FROM employees",
            "SELECT value FROM crm.contacts UNION ALL SELECT split_part(mail, '@', 1) FROM crm.contacts",
            "SELECT note FROM crm.orders",
        ] {
            let rows = twin.sql(sql);
            all.extend(rows.lines().filter(|value| value.len() >= 6).map(str::to_owned));
        }
    }
    assert!(all.len() > 200, "{}", all.len());
    all
}

#[tokio::test]
async fn no_attempt_tells_databases_apart_that_differ_in_classified_values() {
    let twins = [
        twin(0, CLASSIFIED).await,
        twin(1, CLASSIFIED).await,
        twin(2, CLASSIFIED).await,
    ];
    let planted = planted(&twins);
    let (mut wrong, mut answered, mut refused) = (Vec::new(), 0, 0);
    for attempt in LEAKS
        .lines()
        .filter(|line| !line.starts_with("--") && !line.is_empty())
    {
        let (_, statement) = attempt.split_once(": ").unwrap_or(("", attempt));
        let mut said = Vec::new();
        for twin in &twins {
            said.push(twin.query(statement).await);
        }
        match said[0]["status"] == "ok" {
            true => answered += 1,
            false => refused += 1,
        }
        if said[0] != said[1] || said[0] != said[2] {
            wrong.push(format!(
                "{statement}\n   {}\n   {}\n   {}",
                said[0], said[1], said[2]
            ));
        }
        let text = said[0].to_string();
        if let Some(value) = planted
            .iter()
            .find(|value| text.contains(*value) && !statement.contains(*value))
        {
            wrong.push(format!("{statement}\n   shows {value}"));
        }
    }
    println!("{answered} answered, {refused} refused");
    assert!(
        answered >= 80 && refused >= 60,
        "{answered} answered, {refused} refused: are they still attempts?"
    );
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The attempts must be able to find something: where everything is public, they do.
#[tokio::test]
async fn without_masks_the_same_attempts_tell_the_databases_apart() {
    let open = [twin(0, &[]).await, twin(1, &[]).await];
    for (column, _) in CLASSIFIED {
        let parts: Vec<String> = column.split('.').map(|part| format!("\"{part}\"")).collect();
        let (column, table) = parts.split_last().unwrap();
        let sql = format!(
            "SELECT string_agg({column}::text, ',' ORDER BY {column}::text) FROM {}",
            table.join(".")
        );
        assert_ne!(open[0].sql(&sql), open[1].sql(&sql), "{sql}");
    }
    let mut told = 0;
    for (_, statement) in cases(LEAKS) {
        told += usize::from(open[0].query(statement).await != open[1].query(statement).await);
    }
    assert!(told >= 80, "{told} of them tell the twins apart");
}
