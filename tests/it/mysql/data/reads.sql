-- Ordinary statements of analysts: each must be taken. `ok` touches no mask; `masked` has masked columns in its tables;
-- `mysql` is for MySQL alone: MariaDB has no such clause or function.
ok: SELECT 1
ok: SELECT 1 AS one, 'two' AS two, NULL AS three, TRUE, FALSE, 1.5, -3, .5e3, 0x1F, X'41'
ok: SELECT 1 FROM dual
ok: SELECT ~ ~id, - -id, ~-id, - ~id FROM departments
ok: SELECT id, name FROM departments
ok: SELECT * FROM departments ORDER BY id LIMIT 10
ok: SELECT * FROM departments ORDER BY id LIMIT 10, 5
ok: SELECT * FROM departments ORDER BY id LIMIT 5 OFFSET 10
ok: SELECT d.* FROM departments d WHERE d.budget > 1000 ORDER BY d.budget IS NULL, d.budget DESC
ok: SELECT count(*) FROM order_items
ok: SELECT COUNT(DISTINCT category) FROM products
ok: SELECT category, count(*) AS n, ROUND(avg(price), 2) AS mean FROM products GROUP BY category HAVING count(*) > 3 ORDER BY n DESC
ok: SELECT category, SUM(CASE WHEN price > 10 THEN 1 ELSE 0 END) AS dear FROM products GROUP BY 1 ORDER BY 2 DESC
ok: SELECT category, SUM(price > 10) AS dear FROM products GROUP BY category WITH ROLLUP
ok: SELECT DISTINCT category FROM products
ok: SELECT name, price, rank() OVER (PARTITION BY category ORDER BY price DESC) FROM products
ok: SELECT name, sum(price) OVER w AS running FROM products WINDOW w AS (PARTITION BY category ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
ok: SELECT id, lag(price) OVER (ORDER BY id), lead(price, 2) OVER (ORDER BY id), first_value(price) OVER (ORDER BY id), nth_value(price, 2) OVER (ORDER BY id) FROM products
ok: SELECT ntile(4) OVER (ORDER BY price), percent_rank() OVER (ORDER BY price), cume_dist() OVER (ORDER BY price), dense_rank() OVER (ORDER BY price), row_number() OVER (ORDER BY id) FROM products
ok: SELECT avg(price) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) FROM products
ok: SELECT DATE_FORMAT(at, '%Y-%m') AS month, count(*) FROM events GROUP BY 1 ORDER BY 1
ok: SELECT DATE(at) AS day, count(DISTINCT customer_id) FROM events GROUP BY day
ok: SELECT YEAR(at), MONTH(at), DAY(at), HOUR(at), DAYOFWEEK(at), WEEK(at, 3), QUARTER(at), DAYNAME(at) FROM events
ok: SELECT EXTRACT(YEAR FROM at) AS y, EXTRACT(YEAR_MONTH FROM at) AS ym FROM events
ok: SELECT * FROM events WHERE at >= NOW() - INTERVAL 7 DAY
ok: SELECT * FROM events WHERE at >= DATE_SUB(CURDATE(), INTERVAL 1 MONTH) AND at < CURRENT_DATE
ok: SELECT DATE_ADD(at, INTERVAL 1 HOUR), at + INTERVAL 1 DAY, at - INTERVAL '90' MINUTE FROM events
ok: SELECT * FROM events WHERE at BETWEEN '2026-01-01' AND '2026-02-01' AND kind IN ('login', 'logout')
ok: SELECT * FROM events WHERE at >= DATE '2026-01-01' AND at < TIMESTAMP '2026-02-01 00:00:00'
ok: SELECT TIMESTAMPDIFF(HOUR, MIN(at), MAX(at)), DATEDIFF(MAX(at), MIN(at)) FROM events
ok: SELECT TIMESTAMPADD(MINUTE, 5, at), LAST_DAY(at), STR_TO_DATE('2026-01-02', '%Y-%m-%d'), UNIX_TIMESTAMP(at), FROM_UNIXTIME(0) FROM events
ok: SELECT CURRENT_TIMESTAMP, CURRENT_TIMESTAMP(), NOW(3), UTC_TIMESTAMP, UTC_DATE(), LOCALTIME, SYSDATE()
ok: SELECT CONVERT_TZ(at, '+00:00', '+02:00') FROM events
ok: SELECT JSON_EXTRACT(payload, '$.page') AS page, count(*) FROM events GROUP BY 1
ok: SELECT JSON_UNQUOTE(JSON_EXTRACT(payload, '$.user.agent')), JSON_VALUE(payload, '$.a.b'), JSON_CONTAINS(payload, '1', '$.a') FROM events
ok: SELECT JSON_OBJECT('id', id, 'name', name), JSON_ARRAY(id, sku) FROM products
ok: SELECT JSON_ARRAYAGG(name), JSON_OBJECTAGG(id, name) FROM products
ok: SELECT JSON_KEYS(attributes), JSON_LENGTH(attributes), JSON_TYPE(attributes), JSON_VALID('{}') FROM products
ok: SELECT e.id, j.sku, j.n FROM events e, JSON_TABLE(e.payload, '$.items[*]' COLUMNS (n FOR ORDINALITY, sku VARCHAR(40) PATH '$.sku', amount DECIMAL(10,2) PATH '$.amount' DEFAULT '0' ON EMPTY)) AS j
ok: SELECT GROUP_CONCAT(name) FROM products
ok: SELECT category, GROUP_CONCAT(DISTINCT name ORDER BY name DESC SEPARATOR '; ') FROM products GROUP BY category
ok: SELECT id, title, MATCH (title, body) AGAINST ('database') AS score FROM articles
ok: SELECT id FROM articles WHERE MATCH (title, body) AGAINST ('+mysql -oracle' IN BOOLEAN MODE)
ok: SELECT id FROM articles WHERE MATCH (title, body) AGAINST ('mysql' IN NATURAL LANGUAGE MODE)
ok: SELECT id FROM articles a WHERE MATCH (a.title, a.body) AGAINST ('mysql' WITH QUERY EXPANSION)
ok: SELECT p.name, c.name FROM products p JOIN categories c ON c.name = p.category
ok: SELECT p.name, sum(i.quantity) FROM products p LEFT JOIN order_items i ON i.product_id = p.id GROUP BY p.id, p.name
ok: SELECT * FROM order_items i RIGHT OUTER JOIN products p ON p.id = i.product_id
ok: SELECT * FROM departments CROSS JOIN categories
ok: SELECT * FROM departments, categories WHERE departments.id = categories.id
ok: SELECT * FROM departments NATURAL JOIN categories
ok: SELECT * FROM departments JOIN categories USING (id)
ok: SELECT * FROM departments STRAIGHT_JOIN categories ON departments.id = categories.id
ok: SELECT * FROM (departments d JOIN categories c ON c.id = d.id) LEFT JOIN products p ON p.id = d.id
ok: SELECT a.id FROM categories a JOIN categories b ON b.id = a.parent_id JOIN categories c ON c.id = b.parent_id
ok: SELECT name FROM products WHERE price = (SELECT max(price) FROM products)
ok: SELECT name FROM products p WHERE price > (SELECT avg(price) FROM products q WHERE q.category = p.category)
ok: SELECT name FROM products WHERE id IN (SELECT product_id FROM order_items WHERE quantity > 2)
ok: SELECT name FROM products p WHERE NOT EXISTS (SELECT 1 FROM order_items i WHERE i.product_id = p.id)
ok: SELECT name FROM products WHERE price > ALL (SELECT price FROM order_items)
ok: SELECT name FROM products WHERE price = ANY (SELECT price FROM order_items)
ok: SELECT name FROM products WHERE (id, price) IN (SELECT product_id, price FROM order_items)
ok: SELECT * FROM (SELECT category, count(*) AS n FROM products GROUP BY category) t WHERE t.n > 2
ok: WITH t AS (SELECT category, count(*) AS n FROM products GROUP BY category) SELECT * FROM t WHERE n > 2
ok: WITH a AS (SELECT id FROM products), b (x) AS (SELECT id FROM a) SELECT a.id, b.x FROM a JOIN b ON b.x = a.id
ok: WITH RECURSIVE tree AS (SELECT id, name, 0 AS level FROM categories WHERE parent_id IS NULL UNION ALL SELECT c.id, c.name, tree.level + 1 FROM categories c JOIN tree ON tree.id = c.parent_id) SELECT * FROM tree ORDER BY level, name
ok: WITH RECURSIVE days AS (SELECT CAST('2026-01-01' AS DATE) AS d UNION ALL SELECT d + INTERVAL 1 DAY FROM days WHERE d < '2026-01-31') SELECT d, count(e.id) FROM days LEFT JOIN events e ON DATE(e.at) = days.d GROUP BY d
ok: WITH products AS (SELECT * FROM products WHERE price > 1) SELECT products.name FROM products
ok: SELECT id FROM products UNION SELECT id FROM categories
ok: SELECT id FROM products UNION ALL SELECT id FROM categories ORDER BY 1 LIMIT 5
ok: (SELECT id FROM products ORDER BY price LIMIT 3) UNION ALL (SELECT id FROM categories LIMIT 3) ORDER BY id
ok: SELECT id FROM products EXCEPT SELECT product_id FROM order_items
ok: SELECT id FROM products INTERSECT SELECT product_id FROM order_items
ok: SELECT name LIKE 'a%', name NOT LIKE '%b', name LIKE '10\\%' ESCAPE '!', name REGEXP '^a', name RLIKE 'b$', name NOT REGEXP 'c' FROM products
ok: SELECT UPPER(name), LOWER(name), LENGTH(name), CHAR_LENGTH(name), TRIM(name), LTRIM(name), REPLACE(name, 'a', 'b'), REVERSE(name) FROM products
ok: SELECT CONCAT(name, ' (', sku, ')'), CONCAT_WS('-', sku, name), LEFT(name, 3), RIGHT(name, 3), LPAD(sku, 10, '0') FROM products
ok: SELECT SUBSTRING(name, 1, 3), SUBSTRING(name FROM 2 FOR 3), SUBSTR(name, 2), SUBSTRING_INDEX(sku, '-', 1), INSTR(name, 'a'), LOCATE('a', name) FROM products
ok: SELECT TRIM(LEADING '0' FROM sku), TRIM(BOTH 'x' FROM sku), POSITION('a' IN name) FROM products
ok: SELECT ROUND(price, 1), CEIL(price), CEILING(price), FLOOR(price), TRUNCATE(price, 0), MOD(id, 2), id % 2, id DIV 2, ABS(price), POW(price, 2), SQRT(price), SIGN(price) FROM products
ok: SELECT IF(price > 10, 'dear', 'cheap'), IFNULL(category, '?'), NULLIF(category, ''), COALESCE(category, name, sku), GREATEST(1, 2), LEAST(1, 2) FROM products
ok: SELECT CASE category WHEN 'a' THEN 1 WHEN 'b' THEN 2 ELSE 3 END, CASE WHEN price IS NULL THEN 0 END FROM products
ok: SELECT CAST(price AS SIGNED), CAST(id AS CHAR), CAST(id AS CHAR(10)), CAST('2026-01-01' AS DATETIME), CAST(price AS DECIMAL(10,2)), CONVERT(id, CHAR), CONVERT(price, UNSIGNED), CONVERT(name USING utf8mb4) FROM products
ok: SELECT name COLLATE utf8mb4_bin FROM products ORDER BY name COLLATE utf8mb4_general_ci
ok: SELECT id & 1, id | 2, id ^ 3, ~id, id << 1, id >> 1 FROM products
ok: SELECT * FROM products WHERE category <=> NULL OR NOT (price < 5 AND price >= 1) OR price != 3 XOR id <> 4
ok: SELECT STDDEV(price), VARIANCE(price), STDDEV_POP(price), VAR_SAMP(price), MIN(price), MAX(price), BIT_OR(id) FROM products
ok: SELECT MD5(name), SHA1(name), SHA2(name, 256), CRC32(name), HEX(name), TO_BASE64(name) FROM products
ok: SELECT p.`name`, `p`.`sku` FROM `products` AS `p`
ok: SELECT p.name AS 'Product name', price "Price" FROM products p
ok: SELECT shop.products.name FROM shop.products WHERE shop.products.price > 3
masked: SELECT `select` FROM `Mixed Case` WHERE 1 = 0 OR id = 1 -- the end
ok: SELECT /* which */ name FROM products # and
ok: SELECT name, (SELECT count(*) FROM order_items i WHERE i.product_id = p.id) AS sold FROM products p ORDER BY sold DESC LIMIT 5
mysql: SELECT d.name, t.total FROM departments d LEFT JOIN LATERAL (SELECT sum(price) AS total FROM products WHERE products.id = d.id) t ON true
ok: SELECT * FROM products WHERE name = ? AND price > ? LIMIT ?
ok: SELECT name FROM products ORDER BY RAND() LIMIT 1
ok: SELECT FORMAT(price, 2), ELT(1, 'a', 'b'), FIELD(category, 'a', 'b'), FIND_IN_SET('a', category), REPEAT('ab', 3), SPACE(2), ASCII('a') FROM products
ok: SELECT 'it''s', "double ""quoted""", 'back\\slash \'x\'', 'a' 'b' FROM products
ok: SELECT INET_ATON(ip), INET_NTOA(1) FROM events
mysql: SELECT payload->'$.page', payload->>'$.user.agent' FROM events
mysql: VALUES ROW(1, 2), ROW(3, 4)
ok: SELECT ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY at DESC) AS rn, e.* FROM events e
ok: SELECT SQL_NO_CACHE name FROM products
ok: SELECT REGEXP_REPLACE(name, '[aeiou]', ''), REGEXP_SUBSTR(name, '[a-z]+'), REGEXP_INSTR(name, 'a') FROM products
ok: VALUES (1, 'a'), (2, 'b')
masked: SELECT * FROM customers
masked: SELECT name, email FROM customers WHERE id = 1
masked: SELECT c.name, count(o.id) AS orders, sum(o.total) AS total FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name ORDER BY total DESC LIMIT 10
masked: SELECT country, count(*) FROM customers GROUP BY country
masked: SELECT status, DATE(created_at) AS day, sum(total) FROM orders WHERE created_at >= '2026-01-01' GROUP BY status, day
masked: SELECT c.name FROM shop.customers AS c WHERE EXISTS (SELECT 1 FROM shop.orders o WHERE o.customer_id = c.id AND o.total > 100)
masked: SELECT email, count(*) FROM orders GROUP BY email
masked: WITH big AS (SELECT customer_id, sum(total) AS total FROM orders GROUP BY customer_id HAVING sum(total) > 100) SELECT c.name, big.total FROM customers c JOIN big ON big.customer_id = c.id
masked: WITH customers AS (SELECT * FROM customers WHERE country = 'DE') SELECT customers.email, customers.name FROM customers
masked: SELECT e.name, m.name AS manager FROM employees e LEFT JOIN employees m ON m.id = e.manager_id
masked: WITH RECURSIVE chain AS (SELECT id, manager_id, name, 1 AS depth FROM employees WHERE manager_id IS NULL UNION ALL SELECT e.id, e.manager_id, e.name, chain.depth + 1 FROM employees e JOIN chain ON chain.id = e.manager_id) SELECT * FROM chain
masked: SELECT * FROM customer_overview ORDER BY orders DESC, id
masked: SELECT `Secret` FROM `Mixed Case`
masked: SELECT a.email = b.email FROM customers a, orders b WHERE a.id = b.customer_id
masked: SELECT JSON_EXTRACT(profile, '$.a') FROM customers
