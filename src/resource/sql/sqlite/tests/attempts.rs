//! The corpus of [`super::bypass`]: (family, whether it is answered, statement).

pub(super) struct Attempt {
    pub(super) family: &'static str,
    pub(super) answered: bool,
    pub(super) sql: &'static str,
}

const fn masked(family: &'static str, sql: &'static str) -> Attempt {
    Attempt {
        family,
        answered: true,
        sql,
    }
}

const fn refused(family: &'static str, sql: &'static str) -> Attempt {
    Attempt {
        family,
        answered: false,
        sql,
    }
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    // Plain reads: every classified column comes out as its mask.
    masked("plain", "SELECT * FROM customers ORDER BY id"),
    masked(
        "plain",
        "SELECT email, ssn, card, work, phone, notes FROM customers ORDER BY id",
    ),
    masked("plain", "SELECT c.* FROM customers AS c"),
    masked("plain", "SELECT * FROM orders"),
    masked("plain", "SELECT * FROM staff"),
    masked("plain", "SELECT * FROM badges"),
    masked("plain", "SELECT * FROM contacts"),
    masked(
        "plain",
        "SELECT \"secret \"\"x\"\"\", \"a b\" FROM \"odd name; --\"",
    ),
    masked("plain", "SELECT temp.customers.email FROM temp.customers"),
    // The same values by way of expressions.
    masked(
        "expression",
        "SELECT upper(email), lower(ssn), hex(card), quote(notes) FROM customers",
    ),
    masked(
        "expression",
        "SELECT substr(email, 1, 1) || substr(email, 2) FROM customers",
    ),
    masked(
        "expression",
        "SELECT unicode(substr(ssn, 3)), instr(email, '@'), length(notes), typeof(phone) FROM customers",
    ),
    masked(
        "expression",
        "SELECT CAST(email AS BLOB), CAST(ssn AS INTEGER), ssn + 0, ssn || '' FROM customers",
    ),
    masked(
        "expression",
        "SELECT replace(email, 'a', 'b'), trim(email, 'm'), printf('%s', ssn) FROM customers",
    ),
    masked(
        "expression",
        "SELECT json_object('e', email, 's', ssn), json_array(card, work), json_quote(notes) FROM customers",
    ),
    masked(
        "expression",
        "SELECT coalesce(phone, email, ssn), iif(email > 'b', 1, 0), nullif(email, '***') FROM customers",
    ),
    masked(
        "expression",
        "SELECT CASE email WHEN '***' THEN 'same' ELSE email END FROM customers",
    ),
    masked(
        "expression",
        "SELECT concat(email, ssn), concat_ws('-', card, work), format('%Q', email) FROM customers",
    ),
    masked(
        "expression",
        "SELECT email COLLATE NOCASE, +email, -ssn, ~ssn, NOT email FROM customers",
    ),
    masked(
        "expression",
        "SELECT soundex(email), octet_length(email), char(unicode(email)) FROM customers",
    ),
    masked("expression", "SELECT (email, ssn) > ('m', '5') FROM customers"),
    masked(
        "expression",
        "SELECT unistr(email), unistr_quote(ssn) FROM customers",
    ),
    // Predicates as oracles.
    masked(
        "predicate",
        "SELECT id FROM customers WHERE email = 'alpha001@private.example'",
    ),
    masked("predicate", "SELECT id FROM customers WHERE email LIKE 'alpha%'"),
    masked("predicate", "SELECT id FROM customers WHERE email GLOB 'om*'"),
    masked(
        "predicate",
        "SELECT id FROM customers WHERE ssn > '5' ORDER BY id",
    ),
    masked(
        "predicate",
        "SELECT id FROM customers WHERE ssn BETWEEN '1' AND '2'",
    ),
    masked(
        "predicate",
        "SELECT id FROM customers WHERE email IN ('alpha001@private.example', 'omega998@secret.example')",
    ),
    masked("predicate", "SELECT id FROM customers WHERE phone IS NOT NULL"),
    masked("predicate", "SELECT id FROM customers WHERE card IS NULL"),
    masked(
        "predicate",
        "SELECT count(*) FROM customers WHERE substr(ssn, 1, 1) = '1'",
    ),
    masked("predicate", "SELECT count(*) FROM staff WHERE staff_no < 600000"),
    masked("predicate", "SELECT floor FROM badges WHERE badge >= 'BADGE-M'"),
    masked(
        "predicate",
        "SELECT id FROM customers WHERE lower(email) = 'alpha001@private.example'",
    ),
    masked(
        "predicate",
        "SELECT id FROM customers WHERE signup > '2026-01' AND ssn > '5'",
    ),
    masked(
        "predicate",
        "SELECT id FROM customers WHERE card LIKE '4111%' OR work LIKE 'first%'",
    ),
    masked(
        "predicate",
        "SELECT id FROM customers WHERE (country, email) = ('de', 'alpha000@private.example')",
    ),
    masked(
        "predicate",
        "SELECT exists(SELECT 1 FROM customers WHERE email LIKE 'alpha%')",
    ),
    masked(
        "predicate",
        "SELECT 1 WHERE 'alpha001@private.example' IN (SELECT email FROM customers)",
    ),
    masked("predicate", "SELECT id FROM customers WHERE email > (SELECT 'm')"),
    masked(
        "predicate",
        "SELECT handle, stored FROM contacts WHERE handle = 'alpha001'",
    ),
    // Order as an oracle, with and without ORDER BY.
    masked("order", "SELECT id FROM customers ORDER BY email"),
    masked("order", "SELECT id FROM customers ORDER BY ssn DESC, card"),
    masked(
        "order",
        "SELECT id FROM customers ORDER BY CASE WHEN ssn > '5' THEN 1 ELSE 2 END, id",
    ),
    masked("order", "SELECT id, rank() OVER (ORDER BY email) FROM customers"),
    masked(
        "order",
        "SELECT id, row_number() OVER (PARTITION BY country ORDER BY ssn) FROM customers",
    ),
    masked("order", "SELECT id FROM customers"),
    masked("order", "SELECT id FROM customers LIMIT 1"),
    masked("order", "SELECT country FROM customers LIMIT 7"),
    masked("order", "SELECT id FROM customers WHERE country = 'de'"),
    masked(
        "order",
        "SELECT id, name FROM customers WHERE country = 'de' LIMIT 3",
    ),
    masked("order", "SELECT id FROM customers WHERE country > 'a'"),
    masked("order", "SELECT id FROM customers ORDER BY country"),
    masked("order", "SELECT group_concat(id) FROM customers"),
    masked(
        "order",
        "SELECT country, group_concat(id) FROM customers GROUP BY country",
    ),
    masked(
        "order",
        "SELECT max(id) FILTER (WHERE country = 'de'), min(country), id FROM customers",
    ),
    masked("order", "SELECT team FROM staff"),
    masked("order", "SELECT team, grade FROM staff LIMIT 1"),
    masked("order", "SELECT grade FROM staff ORDER BY staff_no"),
    masked("order", "SELECT first_value(grade) OVER () FROM staff"),
    masked("order", "SELECT group_concat(grade) FROM staff"),
    masked("order", "SELECT floor FROM badges"),
    masked("order", "SELECT floor FROM badges LIMIT 5"),
    masked(
        "order",
        "SELECT wing, group_concat(floor) FROM badges GROUP BY wing",
    ),
    masked(
        "order",
        "SELECT b.floor FROM badges b JOIN products p ON p.sku = 'p1'",
    ),
    masked("order", "SELECT DISTINCT wing FROM badges"),
    masked("order", "SELECT * FROM by_secret"),
    masked(
        "order",
        "SELECT c.id, o.id FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.country = 'FR'",
    ),
    masked(
        "order",
        "SELECT count(*), sum(id) FROM customers WHERE country IN ('de', 'fr')",
    ),
    // Grouping, aggregates, windows.
    masked(
        "aggregate",
        "SELECT email, count(*) FROM customers GROUP BY email",
    ),
    masked(
        "aggregate",
        "SELECT count(DISTINCT email), count(DISTINCT ssn), count(phone), count(card) FROM customers",
    ),
    masked(
        "aggregate",
        "SELECT min(email), max(email), min(ssn), max(ssn), sum(ssn), avg(ssn) FROM customers",
    ),
    masked(
        "aggregate",
        "SELECT group_concat(email), string_agg(ssn, ','), json_group_array(notes) FROM customers",
    ),
    masked("aggregate", "SELECT json_group_object(id, email) FROM customers"),
    masked(
        "aggregate",
        "SELECT country FROM customers GROUP BY country HAVING max(ssn) > '5'",
    ),
    masked(
        "aggregate",
        "SELECT lag(email) OVER (ORDER BY id), ntile(4) OVER (ORDER BY ssn) FROM customers",
    ),
    masked(
        "aggregate",
        "SELECT min(staff_no), max(staff_no), total(staff_no) FROM staff",
    ),
    masked("aggregate", "SELECT id, max(ssn) FROM customers"),
    masked("aggregate", "SELECT count(*) FROM customers"),
    // Set operations and subqueries.
    masked(
        "set operation",
        "SELECT name FROM customers UNION ALL SELECT email FROM customers",
    ),
    masked(
        "set operation",
        "SELECT email FROM customers EXCEPT SELECT 'alpha001@private.example'",
    ),
    masked(
        "set operation",
        "SELECT email FROM customers INTERSECT SELECT email FROM orders",
    ),
    masked("set operation", "VALUES ((SELECT email FROM customers LIMIT 1))"),
    masked(
        "subquery",
        "SELECT (SELECT email FROM customers c2 WHERE c2.id = c.id) FROM customers c",
    ),
    masked(
        "subquery",
        "SELECT * FROM (SELECT * FROM (SELECT email AS x FROM customers))",
    ),
    masked(
        "subquery",
        "SELECT id FROM customers LIMIT (SELECT length(email) FROM customers LIMIT 1)",
    ),
    masked(
        "subquery",
        "SELECT id FROM customers ORDER BY id LIMIT 5 OFFSET (SELECT count(*) FROM customers WHERE ssn > '5')",
    ),
    masked(
        "subquery",
        "SELECT id FROM orders WHERE email IN (SELECT email FROM customers WHERE id = 1)",
    ),
    // Joins, also by name, which the engine's authorizer is not asked about.
    masked(
        "join",
        "SELECT c.id, o.id FROM customers c JOIN orders o ON c.email = o.email ORDER BY 1, 2",
    ),
    masked("join", "SELECT count(*) FROM customers JOIN orders USING (email)"),
    masked("join", "SELECT email FROM customers JOIN orders USING (email)"),
    masked("join", "SELECT count(*) FROM customers NATURAL JOIN contacts"),
    masked("join", "SELECT * FROM customers NATURAL LEFT JOIN orders LIMIT 5"),
    masked(
        "join",
        "SELECT a.id FROM customers a JOIN customers b ON a.ssn < b.ssn AND b.id = 1",
    ),
    masked(
        "join",
        "SELECT c.id FROM customers c JOIN (SELECT 'alpha001@private.example' AS e) g ON g.e = c.email",
    ),
    masked(
        "join",
        "SELECT * FROM customers c FULL JOIN orders o USING (email) LIMIT 3",
    ),
    masked(
        "join",
        "SELECT j.value FROM customers c, json_each(json_array(c.email, c.ssn)) j",
    ),
    masked(
        "join",
        "SELECT value FROM json_tree((SELECT json_group_array(email) FROM customers))",
    ),
    // A CTE may take any name: the authorizer is told it as if it were a view's.
    masked("cte", "WITH x AS (SELECT email FROM customers) SELECT * FROM x"),
    masked(
        "cte",
        "WITH customers AS MATERIALIZED (SELECT * FROM temp.customers) SELECT ssn FROM customers",
    ),
    refused(
        "cte",
        "WITH customers AS MATERIALIZED (SELECT * FROM main.customers) SELECT ssn FROM customers",
    ),
    refused(
        "cte",
        "WITH customers AS (SELECT * FROM customers) SELECT ssn FROM customers",
    ),
    masked(
        "cte",
        "WITH orders AS (SELECT email FROM customers) SELECT * FROM orders",
    ),
    masked(
        "cte",
        "WITH RECURSIVE r(n, e) AS (SELECT 1, (SELECT email FROM customers WHERE id = 1) UNION ALL \
        SELECT n + 1, (SELECT email FROM customers WHERE id = n + 1) FROM r WHERE n < 5) SELECT * FROM r",
    ),
    masked(
        "cte",
        "WITH RECURSIVE bits(i, c) AS (SELECT 1, substr((SELECT ssn FROM customers WHERE id = 3), 1, 1) UNION ALL \
        SELECT i + 1, substr((SELECT ssn FROM customers WHERE id = 3), i + 1, 1) FROM bits WHERE i < 11) SELECT * FROM bits",
    ),
    refused(
        "cte",
        "WITH search_content AS (SELECT 1) SELECT * FROM search_content, search_data",
    ),
    // The database's own views lead to masks.
    masked("view", "SELECT * FROM customer_mail"),
    masked("view", "SELECT * FROM mail_domains"),
    masked("view", "SELECT * FROM spender_mail ORDER BY total"),
    masked("view", "SELECT * FROM with_cte"),
    masked("view", "SELECT id FROM customer_mail WHERE email LIKE 'alpha%'"),
    masked("view", "SELECT * FROM \"listed view\""),
    masked(
        "view",
        "SELECT land FROM \"listed view\" WHERE who = 'Customer 1'",
    ),
    refused("view", "SELECT * FROM qualified"),
    refused("view", "SELECT * FROM randomised"),
    refused("view", "SELECT * FROM over_catalogue"),
    refused("view", "SELECT * FROM over_search"),
    refused("view", "SELECT * FROM circular_a"),
    // Other schemas and the engine's own tables, under every name they have.
    refused("qualifier", "SELECT email FROM main.customers"),
    refused("qualifier", "SELECT * FROM main.sqlite_master"),
    refused("qualifier", "SELECT * FROM shop.customers"),
    refused("qualifier", "SELECT \"main\".\"customers\".email FROM customers"),
    refused("catalogue", "SELECT * FROM sqlite_master"),
    refused("catalogue", "SELECT sql FROM sqlite_schema"),
    refused("catalogue", "SELECT sql FROM sqlite_temp_master"),
    refused("catalogue", "SELECT sql FROM temp.sqlite_temp_schema"),
    refused("catalogue", "SELECT sql FROM temp.sqlite_schema"),
    refused("catalogue", "SELECT sql FROM [SQLite_Master]"),
    refused("catalogue", "SELECT count(*) FROM \"sqlite_master\""),
    refused("catalogue", "SELECT * FROM sqlite_sequence"),
    refused("statistics", "SELECT * FROM sqlite_stat1"),
    refused("statistics", "SELECT sample FROM sqlite_stat4"),
    refused("statistics", "SELECT count(*) FROM sqlite_stat4"),
    refused("statistics", "SELECT * FROM dbstat"),
    refused("statistics", "SELECT * FROM dbstat('main')"),
    refused("statistics", "SELECT * FROM sqlite_dbpage"),
    refused("statistics", "SELECT * FROM sqlite_stmt"),
    // Virtual tables and the tables under them.
    refused("full text", "SELECT * FROM search"),
    refused("full text", "SELECT count(*) FROM search"),
    refused("full text", "SELECT * FROM search WHERE search MATCH 'alpha001'"),
    refused("full text", "SELECT c0 FROM search_content"),
    refused("full text", "SELECT count(*) FROM search_content"),
    refused("full text", "SELECT block FROM search_data"),
    refused(
        "full text",
        "SELECT * FROM search_idx, search_docsize, search_config",
    ),
    refused("full text", "SELECT term FROM words"),
    refused("full text", "SELECT highlight(search, 0, '<', '>') FROM search"),
    refused("full text", "SELECT nosuchcolumn FROM search_content"),
    refused("virtual table", "SELECT * FROM boxes"),
    refused("virtual table", "SELECT data FROM boxes_node"),
    refused("virtual table", "SELECT rtreecheck('boxes')"),
    refused("virtual table", "SELECT * FROM generate_series(1, 3)"),
    refused("virtual table", "SELECT * FROM fts5vocab"),
    refused("pragma", "SELECT * FROM pragma_table_info('customers')"),
    refused("pragma", "SELECT * FROM pragma_table_xinfo('customers')"),
    refused("pragma", "SELECT * FROM pragma_database_list"),
    refused(
        "pragma",
        "SELECT name FROM pragma_module_list, pragma_function_list",
    ),
    refused("pragma", "SELECT * FROM pragma_index_xinfo('by_ssn')"),
    refused("pragma", "SELECT count(*) FROM pragma_table_list"),
    refused("pragma", "PRAGMA table_info(customers)"),
    refused("pragma", "PRAGMA query_only = OFF"),
    refused("pragma", "PRAGMA writable_schema = ON"),
    refused("pragma", "PRAGMA database_list"),
    // Row identity and access paths.
    refused("rowid", "SELECT rowid, email FROM customers"),
    refused("rowid", "SELECT oid FROM staff"),
    refused("rowid", "SELECT _rowid_ FROM staff ORDER BY _rowid_"),
    refused("rowid", "SELECT grade FROM staff WHERE rowid < 600000"),
    refused(
        "access path",
        "SELECT id FROM customers INDEXED BY by_ssn WHERE ssn > '5'",
    ),
    refused(
        "access path",
        "SELECT id FROM customers INDEXED BY by_lower_email",
    ),
    masked(
        "access path",
        "SELECT id FROM customers WHERE +ssn > '5' OR unlikely(email = 'x')",
    ),
    masked("access path", "SELECT DISTINCT country, email FROM customers"),
    // Functions that reach outside.
    refused("function", "SELECT load_extension('/tmp/x')"),
    refused("function", "SELECT readfile('/etc/passwd')"),
    refused("function", "SELECT writefile('/tmp/x', 'y')"),
    refused("function", "SELECT sqlite_version(), sqlite_source_id()"),
    refused("function", "SELECT sqlite_compileoption_get(1)"),
    refused("function", "SELECT randomblob(10)"),
    refused("function", "SELECT zeroblob(1000000000)"),
    refused("function", "SELECT fts3_tokenizer('simple')"),
    refused(
        "function",
        "SELECT last_insert_rowid(), changes(), total_changes()",
    ),
    refused("function", "SELECT sqlite_offset(email) FROM customers"),
    refused("function", "SELECT edit(email) FROM customers"),
    refused("function", "SELECT load_extension/**/('/tmp/x')"),
    refused("function", "SELECT \"load_extension\"('/tmp/x')"),
    // Statements that are not one SELECT.
    refused("stacked", "SELECT 1; SELECT email FROM customers"),
    refused("stacked", "SELECT 1; DROP TABLE customers"),
    refused("stacked", "COMMIT; SELECT email FROM customers"),
    refused("stacked", "SELECT 1;; -- nothing\n SELECT 2"),
    refused(
        "write",
        "INSERT INTO customers (id, name, ssn) VALUES (99, 'x', 'y')",
    ),
    refused("write", "UPDATE customers SET name = email"),
    refused("write", "DELETE FROM customers RETURNING email"),
    refused(
        "write",
        "REPLACE INTO customers (id, name, ssn) SELECT 1, email, ssn FROM customers",
    ),
    refused("write", "WITH x AS (SELECT 1) DELETE FROM customers"),
    refused(
        "write",
        "WITH x AS (SELECT email FROM customers) INSERT INTO products SELECT email, 1, 1, 1 FROM x",
    ),
    refused("write", "CREATE TABLE copy AS SELECT * FROM customers"),
    refused("write", "CREATE TEMP TABLE copy AS SELECT * FROM customers"),
    refused("write", "CREATE TEMP VIEW customers AS SELECT 1"),
    refused(
        "write",
        "CREATE TEMP TRIGGER t INSTEAD OF INSERT ON customers BEGIN SELECT 1; END",
    ),
    refused("write", "DROP VIEW customers"),
    refused("write", "DROP VIEW temp.customers"),
    refused("write", "ALTER TABLE orders RENAME TO x"),
    refused("write", "CREATE INDEX i ON orders (email)"),
    refused("write", "CREATE VIRTUAL TABLE temp.f USING fts5(x)"),
    refused("write", "ANALYZE"),
    refused("write", "REINDEX"),
    refused("write", "VACUUM"),
    refused("write", "VACUUM INTO '/tmp/copy.db'"),
    refused("attach", "ATTACH 'shop data.db' AS raw"),
    refused("attach", "ATTACH ':memory:' AS m"),
    refused("attach", "DETACH temp"),
    refused("transaction", "BEGIN"),
    refused("transaction", "COMMIT"),
    refused("transaction", "ROLLBACK"),
    refused("transaction", "SAVEPOINT s"),
    refused("plan", "EXPLAIN SELECT email FROM customers"),
    refused(
        "plan",
        "EXPLAIN QUERY PLAN SELECT email FROM customers WHERE ssn = 'x'",
    ),
    refused("plan", "/* */ explain /* */ query plan SELECT 1"),
    // Quoting: a name in double quotes is a name, never a string.
    refused("quoting", "SELECT \"alpha001@private.example\" FROM customers"),
    refused("quoting", "SELECT 1 FROM customers WHERE email = \"nobody\""),
    masked("quoting", "SELECT [email], `ssn`, \"card\" FROM \"customers\""),
    masked("quoting", "SELECT EMAIL, Ssn FROM CUSTOMERS"),
    masked("quoting", "SELECT 'email' FROM customers -- a comment"),
    masked("quoting", "SELECT/**/email/**/FROM/**/customers"),
    // Errors as oracles.
    masked(
        "error",
        "SELECT json_extract(CASE WHEN email LIKE 'alpha%' THEN '[' ELSE '[]' END, '$') FROM customers",
    ),
    masked(
        "error",
        "SELECT CASE WHEN ssn > '5' THEN abs(-9223372036854775808) ELSE 1 END FROM customers",
    ),
    masked(
        "error",
        "SELECT id FROM customers LIMIT CASE WHEN (SELECT ssn FROM customers LIMIT 1) < '5' THEN 1 ELSE 'x' END",
    ),
    refused("error", "SELECT json_extract('{}', email) FROM customers"),
    refused("error", "SELECT json(email) FROM customers"),
    refused("error", "SELECT json_extract('{}', name) FROM customers"),
    refused("error", "SELECT abs(-9223372036854775808)"),
    refused("error", "SELECT 1 LIKE 2 ESCAPE email FROM customers"),
    refused("error", "SELECT email.nothing FROM customers"),
    refused("error", "SELECT nothing FROM customers"),
    refused("error", "SELECT staff_no.x FROM staff"),
    // Characters nobody sees.
    refused("characters", ""),
    refused("characters", " \n\t;"),
    refused("characters", "-- only a comment"),
    refused("characters", "SELECT 1 \0 FROM customers"),
    refused("characters", "\u{feff}SELECT email FROM customers"),
    refused("characters", "SELECT email FROM custo\u{200b}mers"),
    refused("characters", "SELECT email /* \u{202e} */ FROM customers"),
    refused("characters", "SELECT email -- \u{2066}\n FROM customers"),
    refused("characters", "SELECT \"em\u{200d}ail\" FROM customers"),
    refused("characters", "SELECT email FROM customers WHERE id = $a(')"),
    refused("characters", "SELECT /* never closed"),
    refused("characters", "SELECT 'never closed"),
    masked("characters", "SELECT '\u{202e}\u{200b}' || email FROM customers"),
];
