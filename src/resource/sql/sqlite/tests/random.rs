//! Statements nobody thought of: put together at random from a small grammar, the same ones each time.
//! Most have no ORDER BY, so the order of the answer is put to the test too.

use super::fixture::{self, Twin};

const STATEMENTS: u64 = 300;

/// A generator that is the same on every machine (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }
}

const RELATIONS: [(&str, &[&str]); 9] = [
    (
        "customers",
        &[
            "id", "name", "email", "ssn", "card", "work", "phone", "notes", "country", "signup", "balance",
        ],
    ),
    (
        "orders",
        &["id", "customer_id", "status", "amount", "email", "placed"],
    ),
    ("staff", &["staff_no", "team", "grade"]),
    ("badges", &["badge", "floor", "wing"]),
    ("contacts", &["id", "email", "city", "handle", "stored"]),
    ("customer_mail", &["id", "name", "email"]),
    ("spender_mail", &["total", "email"]),
    ("by_secret", &["id", "name"]),
    ("mail_domains", &["id", "host"]),
];

struct Source {
    alias: String,
    columns: &'static [&'static str],
}

fn column(dice: &mut Dice, sources: &[Source]) -> String {
    let source = &sources[dice.roll(sources.len())];
    format!("{}.{}", source.alias, dice.one(source.columns))
}

fn expression(dice: &mut Dice, sources: &[Source], depth: usize) -> String {
    if depth == 0 || dice.chance(40) {
        return match dice.roll(6) {
            0 => dice
                .one(&["'m'", "'5'", "7", "NULL", "'alpha010@private.example'", "600000"])
                .to_owned(),
            _ => column(dice, sources),
        };
    }
    let mut next = || expression(dice, sources, depth - 1);
    let (a, b) = (next(), next());
    let shape = dice.one(&[
        "({a} || {b})",
        "({a} < {b})",
        "({a} = {b})",
        "({a} IS {b})",
        "substr({a}, 2, 3)",
        "length({a})",
        "coalesce({a}, {b})",
        "({a} LIKE {b})",
        "typeof({a})",
        "upper({a})",
        "instr({a}, {b})",
        "({a} + 0)",
        "CASE WHEN {a} > {b} THEN {a} ELSE {b} END",
        "json_quote({a})",
        "nullif({a}, {b})",
        "max({a}, {b})",
        "({a} BETWEEN {b} AND 'z')",
        "({a} IN ({b}, 'x', 7))",
        "hex({a})",
        "(NOT {a})",
        "iif({a}, {b}, {a})",
    ]);
    shape.replace("{a}", &a).replace("{b}", &b)
}

fn sources(dice: &mut Dice) -> (Vec<Source>, String) {
    let mut sources = Vec::new();
    let mut from = String::new();
    for at in 0..=dice.roll(2) {
        let (name, columns) = RELATIONS[dice.roll(RELATIONS.len())];
        let alias = format!("t{at}");
        if at > 0 {
            from.push_str(dice.one(&[" JOIN ", " LEFT JOIN ", ", ", " NATURAL JOIN "]));
        }
        from.push_str(&format!("{name} AS {alias}"));
        let natural = from.contains("NATURAL");
        sources.push(Source { alias, columns });
        if at > 0 && !natural && !from.ends_with(", ") && dice.chance(60) && !from.contains(", ") {
            let (a, b) = (column(dice, &sources), column(dice, &sources));
            from.push_str(&format!(" ON {a} {} {b}", dice.one(&["=", "<", "IS"])));
        }
    }
    (sources, from)
}

fn select(dice: &mut Dice) -> String {
    let (sources, from) = sources(dice);
    let grouped = dice.chance(25);
    let group = column(dice, &sources);
    let mut list: Vec<String> = (0..=dice.roll(3))
        .map(|_| expression(dice, &sources, 2))
        .collect();
    if grouped {
        let over = expression(dice, &sources, 1);
        list = vec![
            group.clone(),
            format!(
                "{}({over})",
                dice.one(&["count", "min", "max", "group_concat", "sum", "total"])
            ),
        ];
    } else if dice.chance(15) {
        let (by, order) = (column(dice, &sources), column(dice, &sources));
        list.push(format!(
            "{} OVER (PARTITION BY {by} ORDER BY {order})",
            dice.one(&["row_number()", "rank()", "count(*)"])
        ));
    }
    let distinct = if dice.chance(15) { "DISTINCT " } else { "" };
    let mut sql = format!("SELECT {distinct}{} FROM {from}", list.join(", "));
    if dice.chance(60) {
        sql.push_str(&format!(" WHERE {}", expression(dice, &sources, 2)));
        if dice.chance(40) {
            let (a, b) = (
                column(dice, &sources),
                dice.one(&["'de'", "12", "'team1'", "'2026-05'", "'open'"]),
            );
            sql.push_str(&format!(" OR {a} {} {b}", dice.one(&["=", ">", "<="])));
        }
    }
    if grouped {
        sql.push_str(&format!(" GROUP BY {group}"));
    }
    if dice.chance(30) {
        sql.push_str(&format!(
            " ORDER BY {}",
            if grouped {
                "2".to_owned()
            } else {
                expression(dice, &sources, 1)
            }
        ));
    }
    if dice.chance(50) {
        sql.push_str(&format!(" LIMIT {}", dice.roll(9) + 1));
    }
    sql
}

#[test]
fn random_statements_cannot_tell_the_twins_apart() {
    let twins = [Twin::First, Twin::Second, Twin::Uniform].map(fixture::shop);
    let planted = fixture::planted();
    let mut dice = Dice(20_261_122);
    let (mut answered, mut wrong) = (0, Vec::new());
    for _ in 0..STATEMENTS {
        let sql = select(&mut dice);
        let [(was, a), (_, b), (_, c)] =
            [0, 1, 2].map(|twin: usize| fixture::outcome(&twins[twin].pool, &sql));
        answered += usize::from(was);
        if a != b || a != c {
            wrong.push(format!("{sql}\n  {a}\n  {b}\n  {c}"));
        }
        if let Some(value) = planted
            .iter()
            .find(|value| a.contains(*value) && !sql.contains(*value))
        {
            wrong.push(format!("{sql}\n  shows {value}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(answered > 250, "only {answered} were answered");
}
