//! A small shop with personal data, the same on every machine: six tables, three views, thousands
//! of rows from a seeded generator. Nobody in it exists; every address ends in a reserved domain
//! (RFC 2606) and every card number is in an issuer's test range.

use std::path::Path;

use rusqlite::{Connection, params};

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
CREATE TABLE customers (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, phone TEXT,
  city TEXT NOT NULL, country TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE products (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, price_cents INTEGER NOT NULL);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id),
  ordered_at TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE order_items (
  order_id INTEGER NOT NULL REFERENCES orders(id), product_id INTEGER NOT NULL REFERENCES products(id),
  quantity INTEGER NOT NULL, price_cents INTEGER NOT NULL, PRIMARY KEY (order_id, product_id)) WITHOUT ROWID;
CREATE TABLE payments (
  id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders(id), card_number TEXT NOT NULL,
  card_brand TEXT NOT NULL, amount_cents INTEGER NOT NULL, paid_at TEXT NOT NULL);
CREATE TABLE reviews (
  id INTEGER PRIMARY KEY, product_id INTEGER NOT NULL REFERENCES products(id),
  customer_id INTEGER NOT NULL REFERENCES customers(id), rating INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX orders_by_customer ON orders (customer_id, ordered_at);
CREATE INDEX items_by_product ON order_items (product_id);
CREATE INDEX payments_by_order ON payments (order_id);
CREATE INDEX reviews_by_product ON reviews (product_id);
CREATE VIEW order_totals AS
  SELECT o.id AS order_id, o.customer_id, o.ordered_at, o.status,
         sum(i.quantity * i.price_cents) AS total_cents
  FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id;
CREATE VIEW customer_contacts AS
  SELECT id, name, email AS contact, city FROM customers;
CREATE VIEW revenue_by_month AS
  SELECT substr(ordered_at, 1, 7) AS month, count(*) AS orders, sum(total_cents) AS revenue_cents
  FROM order_totals WHERE status <> 'cancelled' GROUP BY month;
";

const CUSTOMERS: i64 = 2_000;
const PRODUCTS: i64 = 240;
const ORDERS: i64 = 8_000;
const REVIEWS: i64 = 2_400;

/// Writes the shop into a new database file.
///
/// # Errors
/// When the file cannot be created or already holds tables.
pub fn create(path: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(SCHEMA)?;
    let dice = &mut Dice(0x70_11_9a_7e);
    let shop = connection.transaction()?;
    customers(&shop, dice)?;
    products(&shop, dice)?;
    orders(&shop, dice)?;
    reviews(&shop, dice)?;
    shop.commit()?;
    connection.execute_batch("ANALYZE; PRAGMA wal_checkpoint(TRUNCATE);")
}

fn customers(shop: &Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    const PLACES: [(&str, &str); 8] = [
        ("Lisbon", "PT"),
        ("Lyon", "FR"),
        ("Graz", "AT"),
        ("Turku", "FI"),
        ("Utrecht", "NL"),
        ("Leeds", "GB"),
        ("Bergen", "NO"),
        ("Porto", "PT"),
    ];
    let mut insert = shop.prepare("INSERT INTO customers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for id in 1..=CUSTOMERS {
        let (first, last) = (dice.name(), dice.name());
        let (city, country) = dice.pick(&PLACES);
        let domain: &str = dice.pick(&["example.com", "example.org", "example.net"]);
        let email = format!("{}.{}{id}@{domain}", first.to_lowercase(), last.to_lowercase());
        // One number range that regulators keep free for fiction; some customers gave none.
        let phone = (dice.below(5) > 0).then(|| format!("+44 1632 960{:03}", dice.below(1_000)));
        insert.execute(params![
            id,
            format!("{first} {last}"),
            email,
            phone,
            city,
            country,
            dice.day()
        ])?;
    }
    Ok(())
}

fn products(shop: &Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    const MAKES: [&str; 6] = ["oak", "steel", "linen", "cork", "glass", "wool"];
    const THINGS: [(&str, &str); 8] = [
        ("lamp", "lighting"),
        ("chair", "furniture"),
        ("mug", "kitchen"),
        ("blanket", "textiles"),
        ("shelf", "furniture"),
        ("kettle", "kitchen"),
        ("rug", "textiles"),
        ("clock", "decoration"),
    ];
    let mut insert = shop.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4)")?;
    for id in 1..=PRODUCTS {
        let (thing, category) = dice.pick(&THINGS);
        let name = format!("{} {thing} no. {id}", dice.pick(&MAKES));
        insert.execute(params![id, name, category, 500 + dice.below(25_000)])?;
    }
    Ok(())
}

fn orders(shop: &Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    let mut order = shop.prepare("INSERT INTO orders VALUES (?1, ?2, ?3, ?4)")?;
    let mut item = shop.prepare(
        "INSERT OR IGNORE INTO order_items SELECT ?1, id, ?3, price_cents FROM products WHERE id = ?2",
    )?;
    let mut payment = shop.prepare("INSERT INTO payments VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for id in 1..=ORDERS {
        let day = dice.day();
        let status = dice.pick(&[
            "delivered",
            "delivered",
            "delivered",
            "shipped",
            "open",
            "cancelled",
        ]);
        order.execute(params![id, 1 + dice.below(CUSTOMERS), day, status])?;
        for _ in 0..=dice.below(4) {
            item.execute(params![id, 1 + dice.below(PRODUCTS), 1 + dice.below(3)])?;
        }
        if status != "open" {
            let (brand, prefix) =
                dice.pick(&[("visa", "400000"), ("mastercard", "520082"), ("visa", "424242")]);
            payment.execute(params![
                id,
                id,
                dice.card(prefix),
                brand,
                500 + dice.below(60_000),
                day
            ])?;
        }
    }
    Ok(())
}

fn reviews(shop: &Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    const SAID: [&str; 6] = [
        "Arrived quickly, looks as described.",
        "Good value. Would order again.",
        "The colour is a little darker than in the picture.",
        "A corner was chipped, the shop replaced it without fuss.",
        "Solid work, heavier than expected.",
        "Not for me, sent it back.",
    ];
    let mut insert = shop.prepare("INSERT INTO reviews VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for id in 1..=REVIEWS {
        let mut body = dice.pick(&SAID).to_owned();
        // People do put these into free text: the second net is for them.
        if id % 40 == 0 {
            body.push_str(&format!(
                " Write to me at {}.{id}@example.org.",
                dice.name().to_lowercase()
            ));
        }
        if id % 97 == 0 {
            body.push_str(&format!(" I paid with {}.", dice.card("400000")));
        }
        insert.execute(params![
            id,
            1 + dice.below(PRODUCTS),
            1 + dice.below(CUSTOMERS),
            1 + dice.below(5),
            body
        ])?;
    }
    Ok(())
}

/// `SplitMix64`: the same rolls on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.roll() % bound.max(1).unsigned_abs()).unwrap_or(0)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the index is a remainder; an empty list does not compile"
    )]
    fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        const { assert!(N > 0) };
        let index = usize::try_from(self.roll() % (N as u64)).unwrap_or(0);
        from[index % N]
    }

    /// Two to three syllables: a name nobody has chosen.
    fn name(&mut self) -> String {
        const SYLLABLES: [&str; 12] = [
            "ma", "ri", "no", "len", "sa", "tor", "vi", "dek", "lu", "han", "pe", "gra",
        ];
        let mut name = String::new();
        for _ in 0..2 + self.below(2) {
            let syllable = self.pick(&SYLLABLES);
            name.push_str(syllable);
        }
        let mut letters = name.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    }

    /// A day in the years 2024 and 2025.
    fn day(&mut self) -> String {
        format!(
            "{}-{:02}-{:02}",
            2024 + self.below(2),
            1 + self.below(12),
            1 + self.below(28)
        )
    }

    /// Sixteen digits that satisfy Luhn's check (ISO/IEC 7812-1, annex B).
    fn card(&mut self, prefix: &str) -> String {
        let mut digits: Vec<u8> = prefix.bytes().map(|byte| byte - b'0').collect();
        while digits.len() < 15 {
            digits.push((self.roll() % 10) as u8);
        }
        let sum: u32 = digits
            .iter()
            .rev()
            .enumerate()
            .map(
                |(place, digit)| match u32::from(*digit) * if place % 2 == 0 { 2 } else { 1 } {
                    doubled if doubled > 9 => doubled - 9,
                    doubled => doubled,
                },
            )
            .sum();
        digits.push(((10 - sum % 10) % 10) as u8);
        digits.iter().map(|digit| char::from(b'0' + digit)).collect()
    }
}
