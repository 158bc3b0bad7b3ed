-- What analysts ask of tables that also hold classified columns, naming only public ones: the rows must be the raw ones.
SELECT id, name FROM customers
SELECT id, name FROM customers WHERE id = 3
SELECT name FROM customers WHERE id IN (1, 2, 4) ORDER BY name DESC
SELECT name, city FROM customers WHERE id BETWEEN 2 AND 3
SELECT count(*) FROM customers
SELECT count(*), min(id), max(id), avg(id) FROM customers
SELECT country, city, count(*) FROM customers GROUP BY country, city HAVING count(*) > 1
SELECT country, city, count(*) FROM customers GROUP BY ROLLUP (country, city)
SELECT country, city, grouping(country, city), count(*) FROM customers GROUP BY CUBE (country, city)
SELECT DISTINCT status FROM customers
SELECT DISTINCT ON (country) country, name FROM customers ORDER BY country, created_at DESC
SELECT name FROM customers ORDER BY created_at DESC LIMIT 2 OFFSET 1
SELECT name FROM customers ORDER BY id FETCH FIRST 3 ROWS WITH TIES
SELECT upper(name), length(name), reverse(name), left(name, 3) FROM customers
SELECT name || ' of ' || city FROM customers
SELECT format('%s (%s)', name, country) FROM customers
SELECT concat_ws(', ', name, city, country) FROM customers
SELECT coalesce(city, 'nowhere'), nullif(country, 'NO') FROM customers
SELECT CASE WHEN id < 3 THEN 'early' ELSE 'late' END AS cohort, count(*) FROM customers GROUP BY 1
SELECT name FROM customers WHERE name ILIKE '%2' OR name ~ '[34]$'
SELECT name FROM customers WHERE tags @> ARRAY['a']
SELECT name, unnest(tags) AS tag FROM customers
SELECT tag, count(*) FROM customers, unnest(tags) AS tag GROUP BY tag
SELECT tag, position, name FROM customers CROSS JOIN LATERAL unnest(tags) WITH ORDINALITY AS t(tag, position)
SELECT array_length(tags, 1), tags[1], array_to_string(tags, '/') FROM customers
SELECT array_agg(name ORDER BY name) FROM customers
SELECT string_agg(name, '; ' ORDER BY id DESC) FROM customers
SELECT json_agg(json_build_object('id', id, 'name', name) ORDER BY id) FROM customers
SELECT jsonb_object_agg(id, name) FROM customers
SELECT date_trunc('month', created_at), count(*) FROM customers GROUP BY 1
SELECT created_at::date, extract(isodow FROM created_at) FROM customers
SELECT to_char(created_at, 'IYYY-IW'), count(*) FROM customers GROUP BY 1
SELECT created_at AT TIME ZONE 'Europe/Oslo', created_at + interval '1 month' FROM customers
SELECT date_bin('2 days', created_at, '2026-01-01'), count(*) FROM customers GROUP BY 1
SELECT name, created_at - lag(created_at) OVER (ORDER BY id) FROM customers
SELECT name, row_number() OVER (PARTITION BY country ORDER BY id) FROM customers
SELECT name, count(*) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM customers
SELECT name, first_value(name) OVER w, last_value(name) OVER w FROM customers WINDOW w AS (ORDER BY id)
SELECT id, sum(id) OVER (ORDER BY id RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM customers
SELECT * FROM (SELECT id, name, ntile(2) OVER (ORDER BY id) AS half FROM customers) q WHERE half = 2
SELECT c.name, o.id, o.total FROM customers c JOIN orders o ON o.customer_id = c.id
SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = 2
SELECT c.name, o.total FROM customers AS c LEFT JOIN orders AS o ON o.customer_id = c.id AND o.status = 'paid'
SELECT c.name, o.id FROM orders o RIGHT JOIN customers c ON c.id = o.customer_id WHERE o.total > 15
SELECT coalesce(c.id, o.customer_id) FROM customers c FULL JOIN orders o ON o.customer_id = c.id
SELECT a.name, b.name FROM customers a JOIN customers b ON a.id = b.id - 1
SELECT a.id, b.id FROM customers a CROSS JOIN departments b
SELECT id, c.name, o.total FROM customers c JOIN orders o USING (id)
SELECT c.country, count(DISTINCT c.id), sum(o.total), max(o.created_at) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.country
SELECT c.name, sum(i.quantity * i.price) FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_items i ON i.order_id = o.id GROUP BY c.id, c.name
SELECT p.category, c.country, sum(i.quantity) FROM order_items i JOIN products p ON p.id = i.product_id JOIN orders o ON o.id = i.order_id JOIN customers c ON c.id = o.customer_id GROUP BY 1, 2
SELECT o.id, o.total, avg(o.total) OVER (PARTITION BY o.status) FROM orders o
SELECT o.id, rank() OVER (ORDER BY total DESC), total - lead(total) OVER (ORDER BY total DESC) FROM orders o
SELECT status, count(*) FILTER (WHERE total > 15) FROM orders GROUP BY status
SELECT status, percentile_cont(0.9) WITHIN GROUP (ORDER BY total) FROM orders GROUP BY status
SELECT currency, sum(total), round(avg(total), 2), stddev(total) FROM orders GROUP BY currency
SELECT width_bucket(total, 0, 50, 5) AS bucket, count(*) FROM orders GROUP BY bucket
SELECT id FROM orders WHERE shipped_at IS NULL AND created_at < '2026-03-01'
SELECT id FROM orders WHERE created_at >= date '2026-02-01' AND created_at < date '2026-02-01' + interval '3 days'
SELECT date_trunc('week', created_at)::date AS week, sum(total) AS revenue, sum(sum(total)) OVER (ORDER BY date_trunc('week', created_at)) AS running FROM orders GROUP BY date_trunc('week', created_at)
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 20)
SELECT name FROM customers c WHERE NOT EXISTS (SELECT FROM events e WHERE e.customer_id = c.id AND e.kind = 'login')
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total > 20)
SELECT name FROM customers WHERE id = ANY (ARRAY(SELECT customer_id FROM orders WHERE status = 'paid'))
SELECT name FROM customers WHERE id > ALL (SELECT customer_id FROM orders WHERE total < 15)
SELECT name, (SELECT max(total) FROM orders o WHERE o.customer_id = c.id) FROM customers c
SELECT name, (SELECT count(*) FROM events e WHERE e.customer_id = c.id) AS events FROM customers c ORDER BY events
SELECT c.name, last.total FROM customers c LEFT JOIN LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.id ORDER BY created_at DESC LIMIT 1) last ON true
SELECT c.name, s.n FROM customers c, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id) s
WITH paid AS (SELECT customer_id, sum(total) AS total FROM orders WHERE status = 'paid' GROUP BY 1) SELECT c.name, p.total FROM customers c JOIN paid p ON p.customer_id = c.id
WITH a AS (SELECT id, name FROM customers), b AS (SELECT customer_id FROM orders) SELECT a.name, count(*) FROM a JOIN b ON a.id = b.customer_id GROUP BY a.name
WITH a AS MATERIALIZED (SELECT id, country FROM customers) SELECT country, count(*) FROM a GROUP BY 1
WITH firsts AS (SELECT customer_id, min(created_at) AS first FROM orders GROUP BY 1) SELECT date_trunc('month', first), count(*) FROM firsts GROUP BY 1
WITH ranked AS (SELECT o.*, row_number() OVER (PARTITION BY customer_id ORDER BY created_at DESC) AS n FROM orders o) SELECT id, total FROM ranked WHERE n = 1
WITH RECURSIVE up AS (SELECT id, manager_id, name, 1 AS depth FROM employees WHERE id = 4 UNION ALL SELECT e.id, e.manager_id, e.name, depth + 1 FROM employees e JOIN up ON e.id = up.manager_id) SELECT name, depth FROM up
WITH RECURSIVE down AS (SELECT id, ARRAY[id] AS path FROM employees WHERE manager_id IS NULL UNION ALL SELECT e.id, path || e.id FROM employees e JOIN down d ON e.manager_id = d.id) SELECT * FROM down
WITH RECURSIVE t AS (SELECT id, manager_id FROM employees WHERE manager_id IS NULL UNION ALL SELECT e.id, e.manager_id FROM employees e JOIN t ON e.manager_id = t.id) SEARCH DEPTH FIRST BY id SET ord SELECT id FROM t ORDER BY ord
WITH RECURSIVE days AS (SELECT date '2026-02-01' AS day UNION ALL SELECT day + 1 FROM days WHERE day < '2026-02-05') SELECT day, count(o.id) FROM days LEFT JOIN orders o ON o.created_at::date = day GROUP BY day
SELECT e.name, m.name AS manager, d.name AS department FROM employees e LEFT JOIN employees m ON m.id = e.manager_id JOIN departments d ON d.id = e.department_id
SELECT d.name, count(e.id), min(e.hired), max(e.hired) FROM departments d LEFT JOIN employees e ON e.department_id = d.id GROUP BY d.name
SELECT title, array_agg(name ORDER BY hired) FROM employees GROUP BY title
SELECT extract(year FROM hired)::int AS year, count(*) FROM employees GROUP BY 1
SELECT name, age(timestamp '2026-01-01', hired) FROM employees
SELECT name FROM employees WHERE hired BETWEEN '2020-01-02' AND '2020-01-03'
SELECT d.budget / count(*) FROM departments d JOIN employees e ON e.department_id = d.id GROUP BY d.id, d.budget
SELECT kind, count(*) FROM contacts GROUP BY kind
SELECT c.name, k.kind, k.added FROM customers c JOIN crm.contacts k ON k.customer_id = c.id
SELECT k.customer_id, max(k.added) FROM crm.contacts k GROUP BY 1 HAVING max(k.added) > '2026-01-02'
SELECT o.id, c.note IS NOT NULL AS known FROM orders o LEFT JOIN crm.orders c ON c.id = o.id AND false
SELECT "select", id FROM "Mixed Case"
SELECT m."select" FROM public."Mixed Case" AS m WHERE m.id > 2
SELECT id, name, orders FROM customer_overview WHERE orders >= 1
SELECT avg(orders) FROM customer_overview
SELECT v.name, c.city FROM customer_overview v JOIN customers c USING (id)
SELECT name FROM customers UNION SELECT name FROM departments
SELECT name FROM customers UNION ALL SELECT name FROM employees ORDER BY 1
SELECT city FROM customers INTERSECT SELECT 'Oslo'
SELECT id FROM customers EXCEPT SELECT customer_id FROM orders WHERE total > 20
(SELECT name FROM customers ORDER BY id LIMIT 1) UNION ALL (SELECT name FROM employees ORDER BY id LIMIT 1)
SELECT v.label, c.name FROM (VALUES (1, 'one'), (2, 'two')) AS v(id, label) JOIN customers c ON c.id = v.id
SELECT g AS n, c.name FROM generate_series(1, 5) AS g LEFT JOIN customers c ON c.id = g
SELECT e.kind, c.country, count(*) FROM events e JOIN customers c ON c.id = e.customer_id WHERE e.at >= '2026-02-01' GROUP BY 1, 2
SELECT c.name, e.payload->>'x' AS x, e.payload #>> '{x}' AS same FROM events e JOIN customers c ON c.id = e.customer_id
SELECT c.name, jsonb_path_query_first(e.payload, '$.x') FROM events e JOIN customers c ON c.id = e.customer_id
SELECT c.name, j.key, j.value FROM customers c JOIN events e ON e.customer_id = c.id CROSS JOIN LATERAL jsonb_each_text(e.payload) AS j
SELECT c.name, p.name FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id WHERE p.search @@ to_tsquery('simple', 'fine & thing')
SELECT p.name, ts_rank(p.search, websearch_to_tsquery('simple', 'fine')) FROM products p JOIN order_items i ON i.product_id = p.id JOIN orders o ON o.id = i.order_id
SELECT p.name FROM products p WHERE p.valid @> date '2026-06-01' AND EXISTS (SELECT 1 FROM order_items i JOIN orders o ON o.id = i.order_id WHERE i.product_id = p.id)
SELECT c.name, extract(epoch FROM sum(e.took)) FROM customers c JOIN events e ON e.customer_id = c.id GROUP BY c.name
SELECT q.country, q.n, round(100.0 * q.n / sum(q.n) OVER (), 1) AS share FROM (SELECT country, count(*) AS n FROM customers GROUP BY country) q
SELECT c.id, bool_or(o.status = 'paid'), bool_and(o.total > 5), every(o.total < 100) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.id
SELECT count(*) FROM customers c JOIN orders o ON c.id = o.customer_id AND (c.country, o.currency) = ('NO', 'NOK')
SELECT c.name FROM customers c WHERE (c.country, c.city) IN (('NO', 'Oslo'), ('NO', 'Bergen'))
SELECT greatest(c.id, o.id), least(c.id, o.id) FROM customers c, orders o WHERE c.id <> o.id
SELECT c.name, ROW(c.id, c.city) FROM customers c
SELECT x.id, x.name FROM (customers c JOIN LATERAL (SELECT 1 AS one) l ON true) AS x
SELECT slug(name) FROM customers
SELECT md5(name), encode(sha256(name::bytea), 'hex') FROM customers
SELECT corr(o.id, o.total), regr_slope(o.total, o.id) FROM orders o
SELECT regexp_replace(name, '[0-9]+', '#'), split_part(name, ' ', 2) FROM customers
SELECT to_jsonb(q) FROM (SELECT id, name FROM customers) q
SELECT row_to_json(q) FROM (SELECT id, total FROM orders) AS q
SELECT count(*) FROM customers TABLESAMPLE SYSTEM (100)
SELECT id, name, country, city, status FROM customers ORDER BY id DESC
SELECT name FROM customers WHERE city = 'Oslo' AND status <> 'closed' ORDER BY id
SELECT id, tags FROM customers ORDER BY id
SELECT id, created_at FROM customers WHERE created_at >= '2026-01-02' ORDER BY created_at, id
SELECT initcap(name), lpad(id::text, 5, '0') FROM customers ORDER BY id
SELECT substring(name FROM '[0-9]+')::int + 1 FROM customers ORDER BY 1
SELECT position('2' IN name), strpos(name, 'o'), overlay(name PLACING 'X' FROM 1 FOR 1) FROM customers ORDER BY id
SELECT translate(name, 'cust', 'CUST'), ascii(name), repeat('-', id) FROM customers ORDER BY id
SELECT id % 2 AS odd, count(*) FROM customers GROUP BY odd ORDER BY odd
SELECT id, power(id, 2), sqrt(id), ln(id), round(id / 3.0, 4) FROM customers ORDER BY id
SELECT id & 1, id | 8, id # 3, id << 2 FROM customers ORDER BY id
SELECT CASE country WHEN 'NO' THEN 'north' ELSE 'south' END AS part, count(*) FROM customers GROUP BY 1 ORDER BY 1
SELECT country, array_agg(DISTINCT city ORDER BY city) FROM customers GROUP BY country
SELECT country, count(*) FILTER (WHERE id > 2) AS late, count(*) FILTER (WHERE id <= 2) AS early FROM customers GROUP BY country
SELECT mode() WITHIN GROUP (ORDER BY city), percentile_disc(0.5) WITHIN GROUP (ORDER BY id) FROM customers
SELECT id, cume_dist() OVER (ORDER BY id), percent_rank() OVER (ORDER BY id) FROM customers ORDER BY id
SELECT id, nth_value(name, 2) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM customers ORDER BY id
SELECT id, lag(name, 1, 'none') OVER (ORDER BY id), lead(name) OVER (ORDER BY id) FROM customers ORDER BY id
SELECT id, sum(id) OVER (ORDER BY created_at RANGE BETWEEN interval '1 day' PRECEDING AND CURRENT ROW) FROM customers ORDER BY id
SELECT id, dense_rank() OVER (ORDER BY country), count(*) OVER () FROM customers ORDER BY id
SELECT id FROM customers WHERE tags && ARRAY['b', 'z'] ORDER BY id
SELECT id, array_append(tags, 'new'), array_remove(tags, 'a'), array_position(tags, 'b') FROM customers ORDER BY id
SELECT id, cardinality(tags), tags[1:1] FROM customers ORDER BY id
SELECT t.tag, count(DISTINCT c.id) FROM customers c CROSS JOIN unnest(c.tags) AS t(tag) GROUP BY t.tag ORDER BY t.tag
SELECT id, extract(dow FROM created_at), date_part('day', created_at) FROM customers ORDER BY id
SELECT min(created_at), max(created_at), max(created_at) - min(created_at) FROM customers
SELECT id, created_at::time, created_at::date + 7 FROM customers ORDER BY id
SELECT id, to_char(created_at, 'YYYY-MM-DD HH24:MI') FROM customers ORDER BY id
SELECT make_date(2026, id, 1) FROM customers ORDER BY id
SELECT id, age(created_at, timestamptz '2025-12-31') FROM customers ORDER BY id
SELECT count(*) FROM customers WHERE created_at BETWEEN '2026-01-01' AND '2026-01-03'
SELECT jsonb_build_object('id', id, 'where', jsonb_build_array(country, city)) FROM customers ORDER BY id
SELECT jsonb_agg(name ORDER BY id) -> 0 FROM customers
SELECT json_object_agg(id, city ORDER BY id) FROM customers
SELECT id, to_jsonb(tags) FROM customers ORDER BY id
SELECT id, row_number() OVER w, sum(id) OVER w FROM customers WINDOW w AS (PARTITION BY city ORDER BY id DESC) ORDER BY id
SELECT id, name FROM customers WHERE name SIMILAR TO 'customer (1|3)' ORDER BY id
SELECT id, name FROM customers WHERE name LIKE 'cust%' AND name NOT LIKE '%4' ORDER BY name
SELECT id, name FROM customers WHERE lower(name) = 'customer 2'
SELECT id FROM customers WHERE (id, country) = (2, 'NO')
SELECT id FROM customers WHERE id IN (VALUES (1), (3)) ORDER BY id
SELECT id FROM customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE id > 2) ORDER BY id
SELECT id FROM customers WHERE city IS DISTINCT FROM 'Bergen' AND country IS NOT NULL ORDER BY id
SELECT id FROM customers WHERE NOT (id > 2 OR status = 'closed') ORDER BY id
SELECT id FROM customers ORDER BY country COLLATE "C", id DESC LIMIT 3
SELECT id FROM customers ORDER BY status NULLS FIRST, id OFFSET 1 ROWS FETCH NEXT 2 ROWS ONLY
SELECT o.id, o.status, o.total FROM orders o WHERE o.total BETWEEN 10 AND 31 ORDER BY o.total DESC
SELECT status, currency, sum(total), min(total), max(total) FROM orders GROUP BY status, currency ORDER BY 1, 2
SELECT status, sum(total) FROM orders GROUP BY GROUPING SETS ((status), ()) ORDER BY status NULLS LAST
SELECT o.id, o.total, sum(o.total) OVER (ORDER BY o.id) AS running FROM orders o ORDER BY o.id
SELECT o.id, o.total - avg(o.total) OVER () FROM orders o ORDER BY o.id
SELECT o.id, o.total::int, round(o.total), trunc(o.total, 1), o.total::text FROM orders o ORDER BY o.id
SELECT id, shipped_at IS NULL AS open, coalesce(shipped_at, created_at) FROM orders ORDER BY id
SELECT date_trunc('day', created_at) AS day, count(*), sum(total) FROM orders GROUP BY day ORDER BY day
SELECT id, created_at AT TIME ZONE 'UTC', extract(epoch FROM created_at)::bigint FROM orders ORDER BY id
SELECT id, currency || ' ' || total AS price, length(currency) FROM orders ORDER BY id
SELECT variance(total), stddev_pop(total), avg(total)::numeric(10,3) FROM orders
SELECT count(DISTINCT status), count(*), sum(total) FILTER (WHERE status = 'paid') FROM orders
SELECT customer_id, array_agg(total ORDER BY total DESC) FROM orders GROUP BY customer_id ORDER BY customer_id
SELECT customer_id, string_agg(status, ',' ORDER BY id) FROM orders GROUP BY customer_id ORDER BY customer_id
SELECT DISTINCT ON (status) status, id, total FROM orders ORDER BY status, total DESC
SELECT c.city, o.status, count(*) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY CUBE (c.city, o.status) ORDER BY 1, 2
SELECT c.id, count(o.id), coalesce(sum(o.total), 0) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.id
SELECT c.id, c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL
SELECT c.name, o.total FROM customers c NATURAL JOIN (SELECT customer_id AS id, total FROM orders) o ORDER BY c.name
SELECT c.name, o.n FROM customers c JOIN (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) o ON o.customer_id = c.id ORDER BY c.id
SELECT c.name, top.total FROM customers c CROSS JOIN LATERAL (SELECT o.total FROM orders o WHERE o.customer_id = c.id ORDER BY o.total DESC LIMIT 2) AS top ORDER BY c.id, top.total
SELECT a.id, b.id FROM orders a JOIN orders b ON b.customer_id = a.customer_id + 1 ORDER BY a.id
SELECT c.id, (SELECT count(*) FROM orders o WHERE o.customer_id <= c.id) AS upto FROM customers c ORDER BY c.id
SELECT c.id, EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 25) AS big FROM customers c ORDER BY c.id
SELECT c.id FROM customers c WHERE 2 > (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) ORDER BY c.id
WITH totals AS (SELECT customer_id, sum(total) AS sum FROM orders GROUP BY 1), ranked AS (SELECT customer_id, sum, rank() OVER (ORDER BY sum DESC) AS place FROM totals) SELECT c.name, r.sum, r.place FROM ranked r JOIN customers c ON c.id = r.customer_id ORDER BY r.place
WITH c AS NOT MATERIALIZED (SELECT id, city FROM customers) SELECT c.city, o.total FROM c, orders o WHERE o.customer_id = c.id ORDER BY o.id
WITH RECURSIVE chain AS (SELECT id, name FROM customers WHERE id = 1 UNION SELECT c.id, c.name FROM customers c JOIN chain ON c.id = chain.id + 1) SELECT * FROM chain ORDER BY id
WITH days AS (SELECT generate_series(date '2026-02-01', date '2026-02-05', interval '1 day')::date AS day) SELECT days.day, coalesce(sum(o.total), 0) FROM days LEFT JOIN orders o ON o.created_at::date = days.day GROUP BY days.day ORDER BY days.day
SELECT i.order_id, o.status, i.quantity * i.price AS line FROM order_items i JOIN orders o ON o.id = i.order_id ORDER BY i.order_id
SELECT p.category, sum(i.quantity * i.price) FROM order_items i JOIN products p ON p.id = i.product_id JOIN orders o ON o.id = i.order_id WHERE o.status = 'paid' GROUP BY p.category ORDER BY 1
SELECT e.id, e.name, e.title, e.hired FROM employees e ORDER BY e.hired DESC
SELECT d.name, array_agg(e.name ORDER BY e.id) FROM employees e JOIN departments d ON d.id = e.department_id GROUP BY d.name ORDER BY d.name
SELECT e.name, m.name FROM employees e LEFT JOIN employees m ON m.id = e.manager_id ORDER BY e.id
SELECT m.id, count(e.id) FROM employees m LEFT JOIN employees e ON e.manager_id = m.id GROUP BY m.id ORDER BY m.id
SELECT id, hired, hired + interval '1 year', extract(doy FROM hired), hired - date '2020-01-01' FROM employees ORDER BY id
SELECT name, row_number() OVER (PARTITION BY department_id ORDER BY hired) FROM employees ORDER BY id
SELECT k.id, k.kind, k.added, c.name FROM crm.contacts k LEFT JOIN customers c ON c.id = k.customer_id ORDER BY k.id
SELECT kind, count(*), min(added), max(added) FROM crm.contacts GROUP BY kind ORDER BY kind
SELECT k.customer_id FROM crm.contacts k WHERE k.added > date '2026-01-02' ORDER BY k.customer_id
SELECT v.id, v.orders * 2 FROM customer_overview v ORDER BY v.id
SELECT v.name FROM customer_overview v WHERE v.orders = (SELECT max(orders) FROM customer_overview) ORDER BY v.name
SELECT id, "select" FROM "Mixed Case" ORDER BY id DESC
SELECT m.id, c.name FROM "Mixed Case" m JOIN customers c USING (id) ORDER BY m.id
SELECT 'customers' AS what, count(*) FROM customers UNION ALL SELECT 'orders', count(*) FROM orders UNION ALL SELECT 'staff', count(*) FROM employees ORDER BY 1
SELECT id FROM customers EXCEPT ALL SELECT customer_id FROM orders WHERE id > 3 ORDER BY 1
SELECT id FROM customers INTERSECT SELECT manager_id FROM employees ORDER BY 1
SELECT e.customer_id, c.city, count(*) FROM events e JOIN customers c ON c.id = e.customer_id GROUP BY ROLLUP (e.customer_id, c.city) ORDER BY 1, 2
SELECT c.id, e.kind, e.took, e.ip, e.mood FROM customers c JOIN events e ON e.customer_id = c.id ORDER BY c.id, e.id
SELECT c.id, host(e.ip), e.payload ? 'x' FROM customers c JOIN events e ON e.customer_id = c.id ORDER BY c.id, e.id
SELECT c.id, q.n FROM customers c JOIN LATERAL (SELECT count(*) AS n FROM events e WHERE e.customer_id = c.id AND e.at > c.created_at) q ON q.n > 0 ORDER BY c.id
