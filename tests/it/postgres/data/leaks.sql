-- Attempts to learn something of a classified value. `masked`: taken, and must not depend on one; `refused`: not taken.
masked: SELECT email FROM customers
masked: SELECT lower(email) FROM customers
masked: SELECT email || 'x' FROM customers
masked: SELECT left(email, 1) FROM customers
masked: SELECT substring(email FROM 1 FOR 2) FROM customers
masked: SELECT md5(email) FROM customers
masked: SELECT encode(email::bytea, 'hex') FROM customers
masked: SELECT ascii(email) FROM customers
masked: SELECT length(email) FROM customers
masked: SELECT reverse(email) FROM customers
masked: SELECT email::name FROM customers
masked: SELECT coalesce(email, 'x') FROM customers
masked: SELECT nullif(email, 'a') FROM customers
masked: SELECT CASE WHEN email LIKE 'a%' THEN 1 ELSE 0 END FROM customers
masked: SELECT to_json(email) FROM customers
masked: SELECT ARRAY[email] FROM customers
masked: SELECT ROW(email) FROM customers
masked: SELECT greatest(email, 'm') FROM customers
masked: SELECT regexp_replace(email, '.', 'x') FROM customers
masked: SELECT format('%s', email) FROM customers
masked: SELECT email COLLATE "C" FROM customers
masked: SELECT strpos(email, '@') FROM customers
masked: SELECT (email > 'm')::int FROM customers
masked: SELECT to_tsvector('simple', email) FROM customers
masked: SELECT quote_literal(email) FROM customers
masked: SELECT translate(email, 'abc', 'xyz') FROM customers
masked: SELECT convert_to(email, 'UTF8') FROM customers
masked: SELECT string_to_array(email, NULL) FROM customers
masked: SELECT unnest(string_to_array(email, NULL)) FROM customers
masked: SELECT regexp_split_to_table(email, '') FROM customers
masked: SELECT sha256(email::bytea) FROM customers
masked: SELECT hashtext(email) FROM customers
masked: SELECT pg_typeof(email) FROM customers
masked: SELECT email IS NULL FROM customers
masked: SELECT (SELECT email) FROM customers
masked: SELECT (SELECT c.email FROM customers c WHERE c.id = customers.id) FROM customers
masked: SELECT email::int FROM customers
masked: SELECT cast(email AS date) FROM customers
masked: SELECT ssn::uuid FROM customers
masked: SELECT email::inet FROM customers
masked: SELECT email::jsonb FROM customers
masked: SELECT email::mood FROM customers
masked: SELECT email::xml FROM customers
masked: SELECT to_number(ssn, '9') FROM customers
masked: SELECT ('{' || email || '}')::int[] FROM customers
masked: SELECT income / 0 FROM customers
masked: SELECT 1 / (income - income) FROM customers
masked: SELECT power(10, income) FROM customers
masked: SELECT substr(email, -1) FROM customers
masked: SELECT chr(ascii(email)) FROM customers
masked: SELECT left(card, -4) FROM customers
masked: SELECT repeat('x', length(ssn)) FROM customers
masked: SELECT generate_series(1, length(email)) FROM customers
masked: SELECT id FROM customers WHERE email = 'LEAK@example.com'
masked: SELECT id FROM customers WHERE email LIKE 'L%'
masked: SELECT id FROM customers WHERE email > 'M'
masked: SELECT id FROM customers WHERE email BETWEEN 'K' AND 'M'
masked: SELECT id FROM customers WHERE email IN ('LEAK@example.com')
masked: SELECT id FROM customers WHERE email = ANY(ARRAY['LEAK@example.com'])
masked: SELECT id FROM customers WHERE email ~ '^L'
masked: SELECT id FROM customers WHERE email SIMILAR TO 'L%'
masked: SELECT id FROM customers WHERE email IS NOT NULL
masked: SELECT id FROM customers WHERE length(email) > 5
masked: SELECT id FROM customers WHERE ssn IS NOT DISTINCT FROM 'LEAK'
masked: SELECT id FROM customers WHERE income > 5
masked: SELECT id FROM customers WHERE income % 2 = 0
masked: SELECT id FROM customers WHERE consent
masked: SELECT id FROM customers WHERE consent IS TRUE
masked: SELECT id FROM customers WHERE feeling = 'happy'
masked: SELECT id FROM customers WHERE profile @> '{"a": 1}'
masked: SELECT id FROM customers WHERE profile->>'a' = 'LEAK'
masked: SELECT id FROM customers WHERE (profile->>'age')::int > 5
masked: SELECT id FROM customers WHERE 1 / (CASE WHEN email LIKE 'L%' THEN 0 ELSE 1 END) = 1
masked: SELECT id FROM customers WHERE email::int = 1
masked: SELECT id FROM customers WHERE ssn::date < now()
masked: SELECT id FROM customers WHERE (email, ssn) = ('a', 'b')
masked: SELECT id FROM customers WHERE ROW(email) = ROW('LEAK'::text)
masked: SELECT id FROM customers WHERE EXISTS (SELECT 1 WHERE customers.email LIKE 'L%')
masked: SELECT id FROM customers WHERE (SELECT count(*) FROM orders o WHERE o.email = customers.email) > 0
masked: SELECT id FROM customers WHERE customers::text LIKE '%LEAK%'
masked: SELECT id FROM customers WHERE (customers).email LIKE 'L%'
masked: SELECT id FROM customers WHERE to_jsonb(customers)->>'email' LIKE 'L%'
masked: SELECT id FROM customers WHERE customers.* IS NOT NULL
masked: SELECT id FROM customers WHERE xmlelement(name a, email)::text LIKE '%LEAK%'
masked: SELECT id FROM customers WHERE json_build_object('e', email)::text LIKE '%LEAK%'
masked: SELECT id FROM customers ORDER BY email
masked: SELECT id FROM customers ORDER BY email DESC
masked: SELECT id FROM customers ORDER BY lower(email)
masked: SELECT id FROM customers ORDER BY ssn USING >
masked: SELECT id FROM customers ORDER BY income
masked: SELECT id FROM customers ORDER BY card
masked: SELECT id FROM customers ORDER BY customers
masked: SELECT id FROM customers ORDER BY length(email)
masked: SELECT id FROM customers ORDER BY email COLLATE "C" NULLS FIRST
masked: SELECT email, count(*) FROM customers GROUP BY email
masked: SELECT count(*) FROM customers GROUP BY ssn HAVING count(*) > 1
masked: SELECT count(*) FROM customers GROUP BY left(email, 1)
masked: SELECT DISTINCT email FROM customers
masked: SELECT DISTINCT ON (email) id FROM customers
masked: SELECT count(DISTINCT email) FROM customers
masked: SELECT min(email), max(email) FROM customers
masked: SELECT array_agg(email) FROM customers
masked: SELECT string_agg(email, ',' ORDER BY email) FROM customers
masked: SELECT json_agg(c) FROM customers c
masked: SELECT jsonb_object_agg(id, email) FROM customers
masked: SELECT sum(income), avg(income), stddev(income) FROM customers
masked: SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY income) FROM customers
masked: SELECT mode() WITHIN GROUP (ORDER BY email) FROM customers
masked: SELECT bool_or(consent) FROM customers
masked: SELECT count(*) FILTER (WHERE email LIKE 'L%') FROM customers
masked: SELECT rank() OVER (ORDER BY email) FROM customers
masked: SELECT id, row_number() OVER (PARTITION BY ssn) FROM customers
masked: SELECT lag(email) OVER (ORDER BY id) FROM customers
masked: SELECT sum(1) OVER w FROM customers WINDOW w AS (ORDER BY income RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)
masked: SELECT ntile(2) OVER (ORDER BY ssn) FROM customers
masked: SELECT grouping(email), email FROM customers GROUP BY ROLLUP (email)
masked: SELECT count(*) FROM customers GROUP BY GROUPING SETS ((email), (ssn))
masked: SELECT corr(income, id) FROM customers
masked: SELECT id FROM customers LIMIT (SELECT count(*) FROM customers WHERE email LIKE 'L%')
masked: SELECT id FROM customers OFFSET (SELECT length(max(email)) FROM customers)
masked: SELECT * FROM customers
masked: SELECT c FROM customers c
masked: SELECT c.* FROM customers c
masked: SELECT (c).* FROM customers c
masked: SELECT (c).email FROM customers c
masked: SELECT (customers.*).email FROM customers
masked: SELECT ROW(c.*) FROM customers c
masked: SELECT row_to_json(c) FROM customers c
masked: SELECT to_jsonb(c) FROM customers c
masked: SELECT to_json(customers.*) FROM customers
masked: SELECT c::text FROM customers c
masked: SELECT array_agg(c) FROM customers c
masked: SELECT json_each_text(to_json(c)) FROM customers c
masked: SELECT e.* FROM customers c, json_each_text(row_to_json(c)) e
masked: SELECT concat(c.*) FROM customers c
masked: SELECT concat_ws(',', c) FROM customers c
masked: SELECT format('%s', c) FROM customers c
masked: SELECT xmlforest(c.email, c.ssn) FROM customers c
masked: SELECT xmlagg(xmlelement(name e, email)) FROM customers
masked: SELECT x.v FROM customers c, XMLTABLE('/a' PASSING (xmlelement(name a, c.email)) COLUMNS v text PATH '.') x
masked: SELECT xpath('/a', xmlelement(name a, ssn)) FROM customers
masked: SELECT jsonb_path_query(to_jsonb(c), '$.*') FROM customers c
masked: SELECT jsonb_path_exists(to_jsonb(c), '$ ? (@.email starts with "L")') FROM customers c
masked: SELECT jsonb_pretty(to_jsonb(c)) FROM customers c
masked: SELECT k, to_jsonb(c)->k FROM customers c, jsonb_object_keys(to_jsonb(c)) k
masked: SELECT t FROM (SELECT * FROM customers) t
masked: SELECT t.email FROM (SELECT c.* FROM customers c) t
masked: SELECT (SELECT c) FROM customers c
masked: SELECT (SELECT ROW(c.email, c.ssn)) FROM customers c
masked: SELECT ARRAY(SELECT email FROM customers)
masked: SELECT (ARRAY(SELECT c FROM customers c))[1]
masked: SELECT unnest(ARRAY(SELECT email FROM customers))
masked: TABLE customers
masked: SELECT id FROM departments UNION ALL SELECT length(email) FROM customers
masked: (TABLE crm.orders) UNION (TABLE crm.orders)
masked: SELECT 1, 'x' INTERSECT TABLE crm.orders
masked: TABLE crm.orders EXCEPT SELECT 1, 'x'
masked: SELECT * FROM (TABLE customers) t
masked: WITH c AS (TABLE customers) SELECT email FROM c
masked: SELECT * FROM ONLY customers
masked: SELECT * FROM ONLY (customers)
masked: SELECT * FROM ONLY (public.customers) AS t
masked: SELECT * FROM customers *
masked: SELECT * FROM public.customers
masked: SELECT * FROM "public"."customers"
masked: SELECT * FROM PUBLIC.Customers
masked: SELECT * FROM U&"cust\006Fmers"
masked: SELECT U&"\0065mail" FROM customers
masked: SELECT public.customers.email FROM public.customers
masked: SELECT public.customers.* FROM public.customers
masked: SELECT a, h FROM customers AS c(a, b, d, e, f, g, i, h)
masked: SELECT x FROM customers c(x, y, z)
masked: SELECT email FROM customers c(email)
masked: SELECT * FROM customers NATURAL JOIN departments
masked: SELECT * FROM customers JOIN orders USING (email)
masked: SELECT u.email FROM customers JOIN orders USING (email) AS u
masked: SELECT count(*) FROM customers c JOIN orders o ON c.email = o.email
masked: SELECT count(*) FROM customers c JOIN departments d ON c.email LIKE d.name || '%'
masked: SELECT c.id FROM customers c JOIN (VALUES ('LEAK@example.com')) v(e) ON c.email = v.e
masked: SELECT d.id, c.id FROM departments d LEFT JOIN customers c ON c.income > d.id
masked: SELECT c.id FROM customers c CROSS JOIN LATERAL (SELECT c.email AS e) l WHERE l.e LIKE 'L%'
masked: SELECT l.* FROM departments d, LATERAL (SELECT email FROM customers WHERE id = d.id) l
masked: SELECT j.email FROM (customers c JOIN departments d ON true) AS j
masked: SELECT j.a FROM (customers c JOIN departments d ON true) AS j(z, y, x, w, v, u, t, a)
masked: SELECT a.id FROM customers a FULL JOIN customers b ON a.ssn = b.ssn
masked: SELECT e.id FROM employees e JOIN employees m ON e.salary > m.salary
masked: SELECT name FROM employees WHERE salary > (SELECT avg(salary) FROM employees)
masked: SELECT name FROM employees ORDER BY birth LIMIT 1
masked: SELECT min(badge::text) FROM employees
masked: SELECT extract(year FROM birth) FROM employees
masked: SELECT age(birth) FROM employees
masked: SELECT email FROM customer_overview
masked: SELECT o FROM customer_overview o WHERE email LIKE 'L%'
masked: SELECT note FROM crm.orders
masked: SELECT value, mail FROM crm.contacts
masked: SELECT kind FROM contacts WHERE value = 'LEAK'
masked: SELECT split_part(mail, '@', 1) FROM contacts
masked: SELECT "Secret" FROM "Mixed Case"
masked: SELECT m FROM public."Mixed Case" m
masked: WITH customers AS (SELECT * FROM customers) SELECT email FROM customers
masked: WITH customers AS MATERIALIZED (SELECT * FROM public.customers) SELECT email FROM customers
masked: WITH orders AS (SELECT 1 AS id) SELECT email FROM orders, customers
masked: WITH x AS (SELECT 1), customers AS (SELECT * FROM customers) SELECT * FROM (SELECT email FROM customers) t
masked: WITH RECURSIVE t AS (SELECT email, 1 n FROM customers UNION ALL SELECT left(email, n), n + 1 FROM t WHERE n < 9) SELECT * FROM t
masked: WITH a AS (SELECT * FROM customers), b AS (SELECT * FROM a) SELECT email FROM b
masked: SELECT * FROM (WITH customers AS (SELECT 1 AS id) SELECT * FROM customers) t, customers
masked: WITH a AS (WITH customers AS (SELECT 1 AS id) SELECT * FROM customers) SELECT * FROM a, customers
masked: SELECT (WITH customers AS (SELECT 'x' AS email) SELECT email FROM customers), email FROM customers
masked: WITH t AS (SELECT 1) SELECT (SELECT max(email) FROM customers) FROM t
masked: (WITH customers AS (SELECT 1 AS id) SELECT id FROM customers) UNION ALL SELECT length(email) FROM customers
masked: SELECT id FROM customers WHERE id IN (WITH c AS (SELECT id FROM customers WHERE email LIKE 'L%') SELECT id FROM c)
masked: WITH x(email) AS (SELECT ssn FROM customers) SELECT email FROM x
masked: WITH c AS NOT MATERIALIZED (SELECT * FROM customers) SELECT id FROM c WHERE email LIKE 'L%'
masked: WITH RECURSIVE customers AS (SELECT 1 AS id UNION ALL SELECT id + 1 FROM customers WHERE id < 3), o AS (SELECT email FROM orders) SELECT * FROM customers, o
masked: VALUES ((SELECT max(email) FROM customers))
masked: SELECT * FROM (VALUES ((SELECT email FROM customers LIMIT 1))) v
masked: SELECT CASE WHEN (SELECT count(*) FROM customers WHERE email LIKE 'L%') > 0 THEN 1 / 0 ELSE 1 END
masked: SELECT (SELECT email FROM customers LIMIT 1)
masked: SELECT slug(email) FROM customers
masked: SELECT email /* , ssn */ FROM customers -- WHERE
refused: SELECT email FROM customers TABLESAMPLE BERNOULLI (100)
refused: SELECT ctid, xmin FROM customers
refused: SELECT tableoid FROM customers
refused: SELECT c.ctid FROM customers c
refused: SELECT (c).xmin FROM customers c
refused: SELECT get_email(1)
refused: SELECT public.get_email(1)
refused: SELECT * FROM get_email(1)
refused: SELECT n.get_email FROM generate_series(1, 5) n
refused: SELECT (1).get_email
refused: SELECT (5).pg_sleep
refused: SELECT f.pg_read_file FROM lower('/ETC/PASSWD') f
refused: SELECT lower.pg_read_file FROM lower('/ETC/PASSWD')
refused: SELECT ('/etc/passwd'::text).pg_read_file
refused: SELECT j.pg_sleep FROM (departments d JOIN categories c ON true) AS j
refused: SELECT t.pg_ls_dir FROM (VALUES ('.')) t(x)
refused: SELECT shout(email) FROM customers
refused: SELECT query_to_xml('SELECT * FROM customers', true, true, '')
refused: SELECT table_to_xml('customers', true, true, '')
refused: SELECT schema_to_xml('public', true, true, '')
refused: SELECT database_to_xml(true, true, '')
refused: SELECT cursor_to_xml('c', 1, true, true, '')
refused: SELECT ts_stat('SELECT email FROM customers')
refused: SELECT ts_rewrite('a'::tsquery, 'SELECT email, ssn FROM customers')
refused: SELECT NULL::customers
refused: SELECT (NULL::customers).email
refused: SELECT json_populate_record(NULL::customers, '{}')
refused: SELECT json_populate_recordset(NULL::public.customers, '[]')
refused: SELECT 'customers'::regclass
refused: SELECT 'public.customers'::regclass::oid
refused: SELECT regclassin('customers')
refused: SELECT to_regclass('secrets')
refused: SELECT '{customers}'::regclass[]
refused: SELECT pg_relation_size('customers')
refused: SELECT pg_table_size('customers')
refused: SELECT pg_column_size(email) FROM customers
refused: SELECT pg_get_viewdef('customer_overview')
refused: SELECT has_table_privilege('customers', 'SELECT')
refused: SELECT obj_description(1)
refused: SELECT col_description(1, 1)
refused: SELECT * FROM pg_stats
refused: SELECT most_common_vals FROM pg_catalog.pg_stats WHERE tablename = 'customers'
refused: SELECT * FROM pg_statistic
refused: SELECT * FROM pg_class
refused: SELECT * FROM pg_catalog.pg_attribute
refused: SELECT * FROM information_schema.columns
refused: SELECT * FROM pg_stat_activity
refused: SELECT * FROM pg_settings
refused: SELECT * FROM pg_authid
refused: SELECT * FROM pg_user_mappings
refused: SELECT * FROM pg_toast.pg_toast_1
refused: SELECT * FROM pg_temp.customers
refused: SELECT * FROM otherdb.public.customers
refused: SELECT * FROM secrets
refused: SELECT * FROM hidden.secrets
refused: SELECT otherdb.public.customers.email FROM customers
refused: SELECT crm.customers.email FROM customers
refused: WITH pg_stats AS (SELECT 1) SELECT * FROM pg_stats
refused: WITH x AS (SELECT * FROM x) SELECT * FROM x
refused: SELECT * FROM x, (WITH x AS (SELECT 1) SELECT * FROM x) y
refused: EXPLAIN SELECT * FROM customers WHERE email = 'LEAK'
refused: EXPLAIN ANALYZE SELECT * FROM customers WHERE email = 'LEAK'
refused: EXPLAIN (FORMAT JSON) SELECT * FROM customers
refused: COPY customers TO STDOUT
refused: COPY (SELECT * FROM customers) TO STDOUT
refused: DECLARE c CURSOR FOR SELECT * FROM customers
refused: PREPARE p AS SELECT * FROM customers
refused: EXECUTE p
refused: FETCH ALL FROM c
refused: SELECT * INTO t FROM customers
refused: CREATE TABLE t AS SELECT * FROM customers
refused: CREATE MATERIALIZED VIEW v AS SELECT * FROM customers
refused: SELECT * FROM customers FOR UPDATE
refused: SELECT * FROM customers FOR KEY SHARE NOWAIT
refused: SELECT * FROM customers c FOR SHARE OF c
refused: WITH x AS (UPDATE customers SET name = name RETURNING email) SELECT * FROM x
refused: WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x
refused: WITH x AS (INSERT INTO crm.orders SELECT id, email FROM customers RETURNING *) SELECT * FROM x
refused: SELECT * FROM customers; SELECT * FROM customers
refused: SHOW search_path
refused: SELECT current_setting('search_path')
refused: SELECT set_config('search_path', 'x', false)
refused: SELECT 1 OPERATOR(public.+) 1
refused: SELECT email OPERATOR(crm.=) 'x' FROM customers
refused: SELECT id FROM customers ORDER BY id USING OPERATOR(public.<)
refused: SELECT id FROM customers WHERE id OPERATOR(public.=) ANY (SELECT 1)
refused: SELECT lo_get(1)
refused: SELECT pg_read_file('/etc/passwd')
refused: SELECT * FROM pg_read_file('/etc/passwd')
refused: SELECT * FROM ROWS FROM (pg_ls_dir('.'), generate_series(1, 2))
refused: SELECT dblink('x', 'y')
refused: SELECT nextval('s')
refused: SELECT pg_notify('a', (SELECT email FROM customers LIMIT 1))
refused: SELECT pg_sleep(10) FROM customers WHERE email LIKE 'L%'
refused: SELECT CASE WHEN email LIKE 'L%' THEN pg_sleep(5) END FROM customers
refused: SELECT pg_advisory_lock(id) FROM customers WHERE email LIKE 'L%'
refused: SELECT txid_current()
refused: SELECT DEFAULT
refused: SELECT * FROM customers WHERE CURRENT OF c
refused: SELECT pg_catalog.pg_read_file('x')
refused: SELECT "pg_read_file"('x')
refused: SELECT PG_READ_FILE('x')
refused: SELECT U&"pg\005Fread_file"('x')
refused: SELECT currval('s'), lastval()
refused: SELECT inet_server_addr()
refused: SELECT makeaclitem(1, 1, 'x', false)
refused: SELECT COLLATION FOR (email) FROM customers
refused: SELECT 'x'::pg_catalog.regproc
refused: SELECT 'x'::internal
refused: SELECT f FROM unnest(ARRAY[1]) AS f(f customers)
refused: SELECT * FROM json_to_record('{}') AS t(a regclass)
refused: SELECT * FROM json_to_record('{}') AS t(a customers)
refused: SELECT xmlserialize(CONTENT '<a/>'::xml AS customers)
refused: SELECT 'a'::customers.email%TYPE
refused: SELECT s.w FROM lower('select array_to_tsvector(array[reverse(s.email)]) from public.customers s') a, LATERAL (SELECT (a.ts_stat).word AS w FROM ((SELECT 1 AS ts_stat) a CROSS JOIN departments d) AS j LIMIT 3) s
refused: SELECT (SELECT abs.lo_get FROM abs(7777)) FROM (SELECT 1 AS lo_get) abs
refused: SELECT (SELECT count(*) FROM (SELECT 1 AS lo_get) a, (departments d JOIN departments e ON length(a.lo_get)=8)) FROM abs(7777) a
refused: SELECT (SELECT a.pg_read_file FROM ((SELECT 1 AS pg_read_file) a CROSS JOIN departments d) AS j LIMIT 1) FROM lower('/etc/passwd') a
masked: SELECT (SELECT a.email FROM ((SELECT 1 AS email) a CROSS JOIN departments d) AS j LIMIT 1) FROM customers a
