-- Ordinary statements of analysts: each must be taken. `ok` touches no mask; `masked` has masked columns in its tables.
ok: SELECT 1
ok: SELECT 1 AS one, 'two' AS two, NULL AS three, TRUE, 1.5, -3, .5e3
ok: SELECT id, name FROM departments
ok: SELECT * FROM departments ORDER BY id LIMIT 10
ok: SELECT d.* FROM departments d WHERE d.budget > 1000 ORDER BY d.budget DESC NULLS LAST
ok: SELECT count(*) FROM order_items
ok: SELECT category, count(*) AS n, avg(price)::numeric(10,2) AS mean FROM products GROUP BY category HAVING count(*) > 3 ORDER BY n DESC
ok: SELECT category, count(*) FILTER (WHERE price > 10) AS dear FROM products GROUP BY 1 ORDER BY 2 DESC
ok: SELECT DISTINCT category FROM products
ok: SELECT DISTINCT ON (category) category, name, price FROM products ORDER BY category, price DESC
ok: SELECT name, price, rank() OVER (PARTITION BY category ORDER BY price DESC) FROM products
ok: SELECT name, sum(price) OVER w AS running FROM products WINDOW w AS (PARTITION BY category ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
ok: SELECT id, lag(price) OVER (ORDER BY id), lead(price, 2, 0) OVER (ORDER BY id), first_value(price) OVER (ORDER BY id), nth_value(price, 2) OVER (ORDER BY id) FROM products
ok: SELECT ntile(4) OVER (ORDER BY price), percent_rank() OVER (ORDER BY price), cume_dist() OVER (ORDER BY price), dense_rank() OVER (ORDER BY price), row_number() OVER () FROM products
ok: SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY price) FROM products
ok: SELECT category, percentile_disc(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY price) FROM products GROUP BY category
ok: SELECT mode() WITHIN GROUP (ORDER BY category) FROM products
ok: SELECT date_trunc('month', at) AS month, count(*) FROM events GROUP BY 1 ORDER BY 1
ok: SELECT date_trunc('day', at AT TIME ZONE 'Europe/Berlin') AS day, count(DISTINCT customer_id) FROM events GROUP BY day
ok: SELECT extract(dow FROM at) AS dow, extract(hour FROM at) AS hour, count(*) FROM events GROUP BY 1, 2
ok: SELECT at::date, to_char(at, 'YYYY-MM-DD HH24:MI') FROM events WHERE at >= now() - interval '7 days'
ok: SELECT * FROM events WHERE at BETWEEN '2026-01-01' AND '2026-02-01' AND kind IN ('login', 'logout')
ok: SELECT age(at), at + interval '1 day', at - '2020-01-01'::timestamptz, justify_interval(took) FROM events
ok: SELECT current_date, current_timestamp, localtime, localtimestamp, now(), clock_timestamp()
ok: SELECT make_date(2026, 1, 1), make_interval(days => 10), to_date('2026-01-01', 'YYYY-MM-DD'), to_timestamp(0)
ok: SELECT generate_series(1, 10)
ok: SELECT d::date FROM generate_series('2026-01-01'::date, '2026-01-31'::date, '1 day') AS d
ok: SELECT day, count(e.id) FROM generate_series('2026-01-01'::timestamptz, '2026-01-31', '1 day') AS s(day) LEFT JOIN events e ON date_trunc('day', e.at) = s.day GROUP BY day ORDER BY day
ok: SELECT n, n * n FROM generate_series(1, 5) WITH ORDINALITY AS t(n, i)
ok: SELECT * FROM ROWS FROM (generate_series(1, 3), generate_series(1, 4)) AS t(a, b)
ok: SELECT payload->>'page' AS page, count(*) FROM events GROUP BY 1
ok: SELECT payload->'user'->>'agent', payload #>> '{a,b}', payload ? 'x', payload @> '{"a": 1}' FROM events
ok: SELECT jsonb_path_query(payload, '$.items[*].id') FROM events
ok: SELECT e.id, item->>'sku' FROM events e, jsonb_array_elements(e.payload->'items') AS item
ok: SELECT key, value FROM events, LATERAL jsonb_each_text(payload)
ok: SELECT jsonb_object_agg(id, name) FROM products
ok: SELECT json_build_object('id', id, 'name', name) FROM products
ok: SELECT row_to_json(p) FROM products p
ok: SELECT to_jsonb(p) - 'description' FROM products p
ok: SELECT jsonb_agg(jsonb_build_object('n', name) ORDER BY id) FROM categories
ok: SELECT array_agg(name ORDER BY name) FROM products
ok: SELECT string_agg(DISTINCT name, ', ' ORDER BY name) FROM categories
ok: SELECT unnest(path) FROM categories
ok: SELECT c.name, p FROM categories c CROSS JOIN LATERAL unnest(c.path) AS p
ok: SELECT path[1], path[1:2], array_length(path, 1), cardinality(path), path || ARRAY['x'], 'x' = ANY(path) FROM categories
ok: SELECT attributes['colour'] FROM products
ok: SELECT name FROM products WHERE search @@ plainto_tsquery('english', 'red shoes')
ok: SELECT name, ts_rank(search, q) AS r FROM products, websearch_to_tsquery('english', 'shoes -red') q WHERE search @@ q ORDER BY r DESC LIMIT 20
ok: SELECT ts_headline('english', description, to_tsquery('shoe')) FROM products
ok: SELECT to_tsvector('english'::regconfig, description) FROM products
ok: SELECT name FROM products WHERE name ILIKE '%shoe%' OR name ~* '^re' OR name SIMILAR TO '(a|b)%' OR name LIKE 'a!%' ESCAPE '!'
ok: SELECT regexp_replace(name, '\s+', ' ', 'g'), regexp_matches(name, '(\d+)'), split_part(sku, '-', 1), substring(name FROM 2 FOR 3), position('a' IN name), trim(BOTH ' ' FROM name), overlay(name PLACING 'x' FROM 1 FOR 1) FROM products
ok: SELECT upper(name), lower(name), initcap(name), length(name), left(name, 3), right(name, 3), lpad(sku, 10, '0'), reverse(name), md5(name), concat(name, sku), concat_ws('-', name, sku), format('%s: %s', name, sku) FROM products
ok: SELECT coalesce(name, sku, 'none'), nullif(name, ''), greatest(price, 1), least(price, 5) FROM products
ok: SELECT CASE WHEN price > 100 THEN 'dear' WHEN price > 10 THEN 'middle' ELSE 'cheap' END AS band, count(*) FROM products GROUP BY 1
ok: SELECT CASE category WHEN 'a' THEN 1 ELSE 2 END FROM products
ok: SELECT round(price, 2), ceil(price), floor(price), abs(price), mod(id, 2), power(price, 2), sqrt(price), ln(price + 1), random() FROM products
ok: SELECT id % 2, id / 2, id * 2.5, id ^ 2, |/ 25.0, @ -5, 5 & 3, 5 | 3, 5 # 3, ~5, 1 << 3 FROM products
ok: SELECT * FROM products WHERE price IS NOT NULL AND name IS DISTINCT FROM sku AND (price > 5) IS NOT FALSE
ok: SELECT * FROM products WHERE (category, price) IN (SELECT category, max(price) FROM products GROUP BY category)
ok: SELECT * FROM products p WHERE EXISTS (SELECT 1 FROM order_items i WHERE i.product_id = p.id)
ok: SELECT * FROM products p WHERE NOT EXISTS (SELECT FROM order_items i WHERE i.product_id = p.id)
ok: SELECT * FROM products WHERE price > ALL (SELECT price FROM order_items WHERE quantity > 5)
ok: SELECT p.name, (SELECT sum(quantity) FROM order_items i WHERE i.product_id = p.id) AS sold FROM products p
ok: SELECT ARRAY(SELECT name FROM categories ORDER BY id)
ok: SELECT p.name, i.quantity FROM products p JOIN order_items i ON i.product_id = p.id
ok: SELECT p.name, t.quantity FROM products p LEFT JOIN LATERAL (SELECT quantity FROM order_items i WHERE i.product_id = p.id ORDER BY quantity DESC LIMIT 1) t ON true
ok: SELECT * FROM products FULL OUTER JOIN order_items ON product_id = id
ok: SELECT a.name, b.name FROM categories a, categories b WHERE a.id = b.parent_id
ok: SELECT name FROM categories UNION SELECT name FROM products
ok: SELECT name FROM categories UNION ALL SELECT name FROM products ORDER BY 1 LIMIT 5 OFFSET 2
ok: (SELECT name FROM categories LIMIT 3) INTERSECT (SELECT name FROM products) EXCEPT SELECT 'x'
ok: WITH top AS (SELECT * FROM products ORDER BY price DESC LIMIT 10) SELECT avg(price) FROM top
ok: WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b
ok: WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t
ok: WITH RECURSIVE tree AS (SELECT id, parent_id, name, 1 AS depth FROM categories WHERE parent_id IS NULL UNION ALL SELECT c.id, c.parent_id, c.name, t.depth + 1 FROM categories c JOIN tree t ON c.parent_id = t.id) SELECT * FROM tree ORDER BY depth
ok: WITH RECURSIVE tree AS (SELECT id, parent_id FROM categories UNION ALL SELECT c.id, c.parent_id FROM categories c JOIN tree USING (id)) SEARCH DEPTH FIRST BY id SET ordercol CYCLE id SET is_cycle USING path SELECT * FROM tree
ok: WITH x AS MATERIALIZED (SELECT * FROM events) SELECT count(*) FROM x
ok: WITH x AS NOT MATERIALIZED (SELECT * FROM events) SELECT count(*) FROM x
ok: VALUES (1, 'a'), (2, 'b')
ok: SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(id, name) JOIN products USING (id)
ok: TABLE departments
ok: TABLE departments ORDER BY id LIMIT 3
ok: SELECT category, name, sum(price) FROM products GROUP BY ROLLUP (category, name)
ok: SELECT category, name, sum(price), grouping(category, name) FROM products GROUP BY CUBE (category, name)
ok: SELECT category, name, sum(price) FROM products GROUP BY GROUPING SETS ((category), (name), ())
ok: SELECT corr(price, id), regr_slope(price, id), stddev(price), variance(price), bool_and(price > 1), every(price > 1), bit_or(id) FROM products
ok: SELECT width_bucket(price, 0, 100, 10) AS b, count(*), min(price), max(price) FROM products GROUP BY b
ok: SELECT valid @> '2026-01-01'::date, lower(valid), upper(valid), valid && daterange('2026-01-01', '2026-02-01') FROM products
ok: SELECT host(ip), masklen(ip), ip << '10.0.0.0/8'::inet, family(ip) FROM events
ok: SELECT mood, count(*) FROM events GROUP BY mood
ok: SELECT * FROM events WHERE mood = 'happy'::mood
ok: SELECT 'calm'::public.mood, enum_range(NULL::mood), '{calm,cross}'::mood[]
ok: SELECT slug(name), public.slug(name) FROM products
ok: SELECT pg_typeof(price), pg_size_pretty(1024::bigint) FROM products
ok: SELECT xmlelement(name row, xmlattributes(id AS "id"), name), xmlforest(name, price) FROM products
ok: SELECT x.* FROM XMLTABLE('/r/a' PASSING ('<r><a id="1">x</a></r>'::xml) COLUMNS id int PATH '@id', v text PATH '.') AS x
ok: SELECT xpath('/a/text()', '<a>1</a>'::xml)
ok: SELECT encode(sha256(name::bytea), 'hex'), decode('00ff', 'hex') FROM products
ok: SELECT name COLLATE "C" FROM products ORDER BY name COLLATE pg_catalog."C"
ok: SELECT * FROM products ORDER BY price USING >, name
ok: SELECT 3 OPERATOR(pg_catalog.+) 4
ok: SELECT * FROM products TABLESAMPLE BERNOULLI (10) REPEATABLE (1)
ok: SELECT * FROM products ORDER BY price FETCH FIRST 5 ROWS WITH TIES
ok: SELECT * FROM products ORDER BY id OFFSET 10 ROWS FETCH NEXT 10 ROWS ONLY
ok: SELECT * FROM products WHERE id = $1 AND category = ANY($2::text[])
ok: SELECT * FROM ONLY products WHERE id = 1
ok: SELECT * FROM public.products * WHERE id = 1
ok: SELECT public.products.name FROM public.products
ok: SELECT products.* FROM products
ok: SELECT (p).name FROM products p
ok: SELECT (SELECT (p.*)::text FROM products p LIMIT 1)
ok: SELECT name AS "select", price "from" FROM products "where"
ok: SELECT count(*) OVER (), p.* FROM products p
ok: SELECT sum(quantity * price * (1 - coalesce(discount, 0))) AS revenue FROM order_items
ok: SELECT ROW(1, 2) = ROW(1, 2), (1, 2) < (1, 3), ROW(id, name) FROM products
ok: SELECT id, (ARRAY['a', 'b'])[1], ARRAY[[1, 2], [3, 4]] FROM products
ok: SELECT * FROM json_to_recordset('[{"a":1,"b":"x"}]') AS t(a int, b text)
ok: SELECT * FROM jsonb_to_record('{"a":1}') AS t(a int)
ok: SELECT string_to_array('a,b', ','), array_to_string(ARRAY[1, 2], ','), array_position(ARRAY[1, 2], 2), array_remove(ARRAY[1, 2], 1)
ok: SELECT * FROM regexp_split_to_table('a b c', ' ') AS w
ok: SELECT * FROM string_to_table('a,b', ',') AS w
ok: SELECT date_part('year', at), date_bin('15 minutes', at, '2020-01-01'), (at, at + interval '1 h') OVERLAPS (now(), now() + interval '1 day') FROM events
ok: SELECT (now() AT TIME ZONE 'UTC')::time, timezone('UTC', now())
ok: SELECT sum(price) FILTER (WHERE category = 'a') / nullif(sum(price), 0) FROM products
ok: SELECT p.category, i.n FROM (SELECT category, count(*) n FROM products GROUP BY category) p JOIN (SELECT product_id, count(*) n FROM order_items GROUP BY 1) i ON i.n = p.n
ok: SELECT t.count FROM (SELECT count(*) FROM products) t
ok: SELECT t.max, t.name FROM (SELECT max(price), name FROM products GROUP BY name) t
ok: SELECT x FROM unnest(ARRAY[1, 2, 3]) x WHERE x > 1
ok: SELECT * FROM unnest(ARRAY[1, 2], ARRAY['a', 'b']) AS t(a, b)
ok: SELECT bool_or(a.id = b.id) FROM categories a NATURAL JOIN departments b
ok: SELECT gen_random_uuid(), random() < 0.5
ok: SELECT cast(price AS int), price::text, int '5', date '2026-01-01', interval '1' hour, bit '101', B'101', X'1F', E'a\nb', $$dollar$$, $t$tagged$t$, U&'\0041'
ok: SELECT /* a comment */ id -- another
ok: SELECT id FROM products WHERE name = 'it''s; -- not a comment /* nor this */'
ok: SELECT id FROM products;
masked: SELECT id, name, country FROM customers
masked: SELECT * FROM customers LIMIT 5
masked: SELECT c.* FROM customers c WHERE c.country = 'DE'
masked: SELECT country, count(*) FROM customers GROUP BY country ORDER BY 2 DESC
masked: SELECT c.name, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.name ORDER BY 2 DESC LIMIT 10
masked: SELECT c.id, o.id FROM customers c LEFT JOIN orders o ON (c.id = o.customer_id)
masked: SELECT * FROM orders JOIN customers USING (email)
masked: SELECT o.* FROM orders o JOIN customers c ON c.email = o.email
masked: SELECT date_trunc('month', created_at), sum(total) FROM orders GROUP BY 1
masked: SELECT status, count(*), sum(total), avg(shipped_at - created_at) FROM orders GROUP BY status
masked: SELECT public.customers.email FROM public.customers
masked: SELECT customers.email, customers.* FROM customers
masked: SELECT email FROM customers WHERE email LIKE '%@example.com'
masked: WITH c AS (SELECT * FROM customers) SELECT c.country, count(*) FROM c GROUP BY 1
masked: WITH customers AS (SELECT id, name FROM customers) SELECT * FROM customers
masked: SELECT * FROM customer_overview WHERE orders > 3
masked: SELECT e.name, m.name AS manager FROM employees e LEFT JOIN employees m ON e.manager_id = m.id
masked: WITH RECURSIVE chain AS (SELECT id, manager_id, name FROM employees WHERE id = 1 UNION ALL SELECT e.id, e.manager_id, e.name FROM employees e JOIN chain c ON e.manager_id = c.id) SELECT * FROM chain
masked: SELECT d.name, avg(e.salary), count(*) FROM employees e JOIN departments d ON d.id = e.department_id GROUP BY d.name
masked: SELECT name FROM employees WHERE salary > 1000 AND birth < '1990-01-01' AND badge IS NULL
masked: SELECT extract(year FROM age(birth)) FROM employees
masked: SELECT mail, count(*) FROM contacts GROUP BY mail
masked: SELECT crm.contacts.mail FROM crm.contacts
masked: SELECT contacts.id, customers.name FROM crm.contacts, customers WHERE contacts.customer_id = customers.id
masked: SELECT o.note, p.status FROM crm.orders o JOIN orders p ON o.id = p.id
masked: SELECT "Mixed Case"."Secret", "select" FROM "Mixed Case"
masked: TABLE customers
masked: SELECT name FROM categories UNION ALL TABLE crm.orders
masked: SELECT * FROM ONLY customers
masked: SELECT * FROM ONLY (customers) AS c
masked: SELECT * FROM customers * WHERE id = 1
masked: SELECT a FROM customers c(a, b)
masked: SELECT card, right(card, 4) FROM customers
masked: SELECT count(DISTINCT email), count(phone) FROM customers
masked: SELECT sum(income), avg(income) FROM customers
masked: SELECT profile->>'age' FROM customers
masked: SELECT unnest(tags), count(*) FROM customers GROUP BY 1
masked: SELECT c.name, last.total FROM customers c CROSS JOIN LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.id ORDER BY created_at DESC LIMIT 1) last
masked: SELECT country, name, row_number() OVER (PARTITION BY country ORDER BY created_at) FROM customers
masked: SELECT c.country, e.kind, count(*) FROM customers c JOIN events e ON e.customer_id = c.id WHERE e.at > now() - interval '30 days' GROUP BY 1, 2
masked: SELECT (c).name FROM customers c
masked: SELECT j.name FROM (customers c JOIN orders o ON c.id = o.customer_id) AS j
masked: SELECT u.id FROM customers c JOIN orders o USING (id) AS u
masked: SELECT customers.name FROM customers, orders WHERE customers.id = orders.customer_id AND orders.total > (SELECT avg(total) FROM orders)
