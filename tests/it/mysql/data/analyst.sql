-- What analysts ask of tables that also hold classified columns, naming only public ones: the rows must be the raw ones.
SELECT id, name FROM customers
SELECT id, name, country, city, status FROM customers ORDER BY id DESC
SELECT id, name FROM customers WHERE id = 3
SELECT name FROM customers WHERE id IN (1, 2, 4) ORDER BY name DESC
SELECT name, city FROM customers WHERE id BETWEEN 2 AND 3
SELECT count(*) FROM customers
SELECT count(*), min(id), max(id), avg(id), sum(id) FROM customers
SELECT country, city, count(*) FROM customers GROUP BY country, city HAVING count(*) > 1
SELECT country, city, count(*) FROM customers GROUP BY country, city WITH ROLLUP
SELECT DISTINCT status FROM customers
SELECT name FROM customers ORDER BY created_at DESC LIMIT 2 OFFSET 1
SELECT name FROM customers ORDER BY id LIMIT 1, 2
SELECT UPPER(name), CHAR_LENGTH(name), REVERSE(name), LEFT(name, 3) FROM customers ORDER BY id
SELECT CONCAT(name, ' of ', city) AS who FROM customers ORDER BY id
SELECT CONCAT_WS(', ', name, city, country) AS place FROM customers ORDER BY id
SELECT COALESCE(city, 'nowhere'), NULLIF(country, 'NO'), IFNULL(city, '-') FROM customers ORDER BY id
SELECT CASE WHEN id < 3 THEN 'early' ELSE 'late' END AS cohort, count(*) FROM customers GROUP BY cohort ORDER BY cohort
SELECT name FROM customers WHERE name LIKE '%2' OR name REGEXP '[34]$' ORDER BY name
SELECT name FROM customers WHERE LOWER(name) = 'customer 2'
SELECT SUBSTRING_INDEX(name, ' ', -1) + 1 AS next FROM customers ORDER BY next
SELECT LOCATE('2', name), INSTR(name, 'o'), LPAD(id, 5, '0'), RPAD(name, 12, '.') FROM customers ORDER BY id
SELECT id % 2 AS odd, count(*) FROM customers GROUP BY odd ORDER BY odd
SELECT id, POW(id, 2), SQRT(id), ROUND(id / 3, 4), id DIV 2 FROM customers ORDER BY id
SELECT id & 1, id | 8, id ^ 3, id << 2 FROM customers ORDER BY id
SELECT CASE country WHEN 'NO' THEN 'north' ELSE 'south' END AS part, count(*) FROM customers GROUP BY part ORDER BY part
SELECT country, GROUP_CONCAT(name ORDER BY name DESC SEPARATOR '; ') FROM customers GROUP BY country
SELECT country, GROUP_CONCAT(DISTINCT city ORDER BY city) FROM customers GROUP BY country
SELECT country, SUM(id > 2) AS late, SUM(id <= 2) AS early FROM customers GROUP BY country
SELECT JSON_ARRAYAGG(name ORDER BY id) FROM customers
SELECT JSON_OBJECT('id', id, 'name', name) FROM customers ORDER BY id
SELECT JSON_OBJECTAGG(id, city) FROM customers
SELECT id, JSON_LENGTH(tags), JSON_EXTRACT(tags, '$[0]'), JSON_UNQUOTE(JSON_EXTRACT(tags, '$[0]')) FROM customers ORDER BY id
SELECT id, j.tag FROM customers, JSON_TABLE(tags, '$[*]' COLUMNS (tag varchar(20) PATH '$')) AS j ORDER BY id
SELECT id FROM customers WHERE JSON_CONTAINS(tags, '"a"') ORDER BY id
SELECT DATE(created_at) AS day, count(*) FROM customers GROUP BY day ORDER BY day
SELECT DATE_FORMAT(created_at, '%Y-%m') AS month, count(*) FROM customers GROUP BY month
SELECT YEAR(created_at), MONTH(created_at), DAYOFWEEK(created_at), WEEK(created_at, 3), QUARTER(created_at) FROM customers ORDER BY id
SELECT id, created_at, created_at + INTERVAL 1 MONTH, created_at - INTERVAL 90 MINUTE FROM customers ORDER BY id
SELECT MIN(created_at), MAX(created_at), TIMESTAMPDIFF(HOUR, MIN(created_at), MAX(created_at)) FROM customers
SELECT id FROM customers WHERE created_at BETWEEN '2026-01-01' AND '2026-01-03' ORDER BY id
SELECT id, DATEDIFF(created_at, '2025-12-31'), LAST_DAY(created_at) FROM customers ORDER BY id
SELECT id, TIME(created_at), EXTRACT(YEAR_MONTH FROM created_at) FROM customers ORDER BY id
SELECT name, ROW_NUMBER() OVER (PARTITION BY country ORDER BY id) AS n FROM customers ORDER BY n
SELECT name, COUNT(*) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM customers ORDER BY id
SELECT name, FIRST_VALUE(name) OVER w, LAST_VALUE(name) OVER w FROM customers WINDOW w AS (ORDER BY id) ORDER BY id
SELECT id, LAG(name) OVER (ORDER BY id), LEAD(name, 2) OVER (ORDER BY id) FROM customers ORDER BY id
SELECT id, NTILE(2) OVER (ORDER BY id), DENSE_RANK() OVER (ORDER BY country), CUME_DIST() OVER (ORDER BY id) FROM customers ORDER BY id
SELECT * FROM (SELECT id, name, RANK() OVER (ORDER BY id) AS place FROM customers) q WHERE place < 3 ORDER BY place
SELECT c.name, o.id, o.total FROM customers c JOIN orders o ON o.customer_id = c.id ORDER BY o.id
SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = 2
SELECT c.name, o.total FROM customers AS c LEFT JOIN orders AS o ON o.customer_id = c.id AND o.status = 'paid' ORDER BY c.id
SELECT c.name, o.id FROM orders o RIGHT JOIN customers c ON c.id = o.customer_id WHERE o.total > 15 ORDER BY o.id
SELECT a.name, b.name FROM customers a JOIN customers b ON a.id = b.id - 1 ORDER BY a.id
SELECT a.id, b.id FROM customers a CROSS JOIN departments b ORDER BY a.id, b.id
SELECT id, c.name, o.total FROM customers c JOIN orders o USING (id) ORDER BY id
SELECT c.country, COUNT(DISTINCT c.id), SUM(o.total), MAX(o.created_at) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.country
SELECT c.name, SUM(i.quantity * i.price) FROM customers c JOIN orders o ON o.customer_id = c.id JOIN order_items i ON i.order_id = o.id GROUP BY c.id, c.name ORDER BY c.id
SELECT p.category, c.country, SUM(i.quantity) FROM order_items i JOIN products p ON p.id = i.product_id JOIN orders o ON o.id = i.order_id JOIN customers c ON c.id = o.customer_id GROUP BY 1, 2
SELECT c.id, COUNT(o.id), COALESCE(SUM(o.total), 0) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id ORDER BY c.id
SELECT c.id, c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL
SELECT c.id FROM customers c STRAIGHT_JOIN orders o ON o.customer_id = c.id ORDER BY c.id
SELECT o.id, o.total, AVG(o.total) OVER (PARTITION BY o.status) FROM orders o ORDER BY o.id
SELECT o.id, RANK() OVER (ORDER BY o.total DESC), o.total - LEAD(o.total) OVER (ORDER BY o.total DESC) AS gap FROM orders o ORDER BY o.total DESC
SELECT o.id, SUM(o.total) OVER (ORDER BY o.id) AS running FROM orders o ORDER BY o.id
SELECT status, SUM(total > 15) FROM orders GROUP BY status
SELECT currency, SUM(total), ROUND(AVG(total), 2), STDDEV(total), VARIANCE(total) FROM orders GROUP BY currency
SELECT status, currency, SUM(total), MIN(total), MAX(total) FROM orders GROUP BY status, currency ORDER BY 1, 2
SELECT status, SUM(total) FROM orders GROUP BY status WITH ROLLUP
SELECT id FROM orders WHERE shipped_at IS NULL AND created_at < '2026-03-01' ORDER BY id
SELECT id FROM orders WHERE created_at >= '2026-02-01' AND created_at < '2026-02-01' + INTERVAL 3 DAY ORDER BY id
SELECT DATE(created_at) AS day, COUNT(*), SUM(total) FROM orders GROUP BY day ORDER BY day
SELECT id, CAST(total AS SIGNED), ROUND(total), TRUNCATE(total, 1), CAST(total AS CHAR) FROM orders ORDER BY id
SELECT id, shipped_at IS NULL AS is_open, COALESCE(shipped_at, created_at) FROM orders ORDER BY id
SELECT id, CONCAT(currency, ' ', total) AS price, LENGTH(currency) FROM orders ORDER BY id
SELECT id, UNIX_TIMESTAMP(created_at) FROM orders ORDER BY id
SELECT customer_id, GROUP_CONCAT(status ORDER BY id) FROM orders GROUP BY customer_id ORDER BY customer_id
SELECT o.id, o.status, o.total FROM orders o WHERE o.total BETWEEN 10 AND 31 ORDER BY o.total DESC
SELECT a.id, b.id FROM orders a JOIN orders b ON b.customer_id = a.customer_id + 1 ORDER BY a.id
SELECT COUNT(DISTINCT status), COUNT(*), SUM(IF(status = 'paid', total, 0)) FROM orders
SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 20) ORDER BY c.id
SELECT name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.customer_id = c.id AND e.kind = 'login') ORDER BY c.id
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total > 20) ORDER BY id
SELECT name FROM customers WHERE id = ANY (SELECT customer_id FROM orders WHERE status = 'paid') ORDER BY id
SELECT name FROM customers WHERE id > ALL (SELECT customer_id FROM orders WHERE total < 15) ORDER BY id
SELECT name, (SELECT MAX(total) FROM orders o WHERE o.customer_id = c.id) AS top FROM customers c ORDER BY c.id
SELECT name, (SELECT COUNT(*) FROM events e WHERE e.customer_id = c.id) AS seen FROM customers c ORDER BY c.id
SELECT c.id, EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 25) AS big FROM customers c ORDER BY c.id
SELECT id FROM customers WHERE (id, country) = (2, 'NO')
SELECT c.name FROM customers c WHERE (c.country, c.city) IN (('NO', 'Oslo'), ('NO', 'Bergen')) ORDER BY c.id
SELECT c.name, o.n FROM customers c JOIN (SELECT customer_id, COUNT(*) AS n FROM orders GROUP BY customer_id) o ON o.customer_id = c.id ORDER BY c.id
WITH paid AS (SELECT customer_id, SUM(total) AS total FROM orders WHERE status = 'paid' GROUP BY customer_id) SELECT c.name, p.total FROM customers c JOIN paid p ON p.customer_id = c.id ORDER BY c.id
WITH a AS (SELECT id, name FROM customers), b AS (SELECT customer_id FROM orders) SELECT a.name, COUNT(*) FROM a JOIN b ON a.id = b.customer_id GROUP BY a.name ORDER BY a.name
WITH firsts AS (SELECT customer_id, MIN(created_at) AS first FROM orders GROUP BY customer_id) SELECT DATE_FORMAT(first, '%Y-%m') AS month, COUNT(*) FROM firsts GROUP BY month
WITH ranked AS (SELECT o.id, o.total, ROW_NUMBER() OVER (PARTITION BY o.customer_id ORDER BY o.created_at DESC) AS n FROM orders o) SELECT id, total FROM ranked WHERE n = 1 ORDER BY id
WITH totals AS (SELECT customer_id, SUM(total) AS s FROM orders GROUP BY customer_id), ranked AS (SELECT customer_id, s, RANK() OVER (ORDER BY s DESC) AS place FROM totals) SELECT c.name, r.s, r.place FROM ranked r JOIN customers c ON c.id = r.customer_id ORDER BY r.place
WITH customers AS (SELECT id, city FROM customers WHERE id > 1) SELECT customers.city, count(*) FROM customers GROUP BY customers.city
WITH RECURSIVE up AS (SELECT id, manager_id, name, 1 AS depth FROM employees WHERE id = 4 UNION ALL SELECT e.id, e.manager_id, e.name, depth + 1 FROM employees e JOIN up ON e.id = up.manager_id) SELECT name, depth FROM up ORDER BY depth
WITH RECURSIVE chain AS (SELECT id, name FROM customers WHERE id = 1 UNION SELECT c.id, c.name FROM customers c JOIN chain ON c.id = chain.id + 1) SELECT id, name FROM chain ORDER BY id
WITH RECURSIVE days AS (SELECT CAST('2026-02-01' AS DATE) AS d UNION ALL SELECT d + INTERVAL 1 DAY FROM days WHERE d < '2026-02-05') SELECT d, COUNT(o.id) FROM days LEFT JOIN orders o ON DATE(o.created_at) = days.d GROUP BY d ORDER BY d
SELECT e.name, m.name AS manager, d.name AS department FROM employees e LEFT JOIN employees m ON m.id = e.manager_id JOIN departments d ON d.id = e.department_id ORDER BY e.id
SELECT d.name, COUNT(e.id), MIN(e.hired), MAX(e.hired) FROM departments d LEFT JOIN employees e ON e.department_id = d.id GROUP BY d.name ORDER BY d.name
SELECT e.id, e.name, e.title, e.hired FROM employees e ORDER BY e.hired DESC
SELECT title, GROUP_CONCAT(name ORDER BY hired) FROM employees GROUP BY title
SELECT YEAR(hired) AS y, COUNT(*) FROM employees GROUP BY y
SELECT name, DATEDIFF('2026-01-01', hired) FROM employees ORDER BY id
SELECT name FROM employees WHERE hired BETWEEN '2020-01-02' AND '2020-01-03' ORDER BY id
SELECT name, ROW_NUMBER() OVER (PARTITION BY department_id ORDER BY hired) AS n FROM employees ORDER BY id
SELECT d.budget / COUNT(*) FROM departments d JOIN employees e ON e.department_id = d.id GROUP BY d.id, d.budget
SELECT m.id, COUNT(e.id) FROM employees m LEFT JOIN employees e ON e.manager_id = m.id GROUP BY m.id ORDER BY m.id
SELECT `select`, id FROM `Mixed Case` ORDER BY id
SELECT m.`select` FROM `Mixed Case` AS m WHERE m.id > 2 ORDER BY m.id
SELECT m.id, c.name FROM `Mixed Case` m JOIN customers c USING (id) ORDER BY m.id
SELECT id, name, orders FROM customer_overview WHERE orders >= 1 ORDER BY id
SELECT AVG(orders) FROM customer_overview
SELECT v.name, c.city FROM customer_overview v JOIN customers c USING (id) ORDER BY c.id
SELECT name FROM customers UNION SELECT name FROM departments ORDER BY name
SELECT name FROM customers UNION ALL SELECT name FROM employees ORDER BY 1
SELECT id FROM customers EXCEPT SELECT customer_id FROM orders WHERE total > 20
SELECT id FROM customers INTERSECT SELECT manager_id FROM employees
(SELECT name FROM customers ORDER BY id LIMIT 1) UNION ALL (SELECT name FROM employees ORDER BY id LIMIT 1)
SELECT 'customers' AS what, COUNT(*) FROM customers UNION ALL SELECT 'orders', COUNT(*) FROM orders UNION ALL SELECT 'staff', COUNT(*) FROM employees ORDER BY 1
SELECT e.kind, c.country, COUNT(*) FROM events e JOIN customers c ON c.id = e.customer_id WHERE e.at >= '2026-01-01' GROUP BY 1, 2
SELECT c.name, JSON_EXTRACT(e.payload, '$.x') AS x FROM events e JOIN customers c ON c.id = e.customer_id ORDER BY e.id
SELECT c.id, e.took, e.ip, e.at FROM customers c JOIN events e ON e.customer_id = c.id ORDER BY e.id
SELECT q.country, q.n, ROUND(100.0 * q.n / SUM(q.n) OVER (), 1) AS share FROM (SELECT country, COUNT(*) AS n FROM customers GROUP BY country) q
SELECT GREATEST(c.id, o.id), LEAST(c.id, o.id) FROM customers c, orders o WHERE c.id <> o.id ORDER BY c.id, o.id
SELECT COUNT(*) FROM customers c JOIN orders o ON c.id = o.customer_id AND (c.country, o.currency) = ('NO', 'NOK')
SELECT MD5(name), SHA2(name, 256), CRC32(name), HEX(name), TO_BASE64(name) FROM customers ORDER BY id
SELECT REGEXP_REPLACE(name, '[0-9]+', '#'), REGEXP_SUBSTR(name, '[0-9]+') FROM customers ORDER BY id
SELECT BIT_OR(id), BIT_AND(id), BIT_XOR(id) FROM customers
SELECT shop.customers.name FROM shop.customers WHERE shop.customers.id > 2 ORDER BY shop.customers.id
SELECT c.`name`, `c`.`city` FROM `shop`.`customers` AS `c` ORDER BY c.id
SELECT name COLLATE utf8mb4_bin AS n FROM customers ORDER BY n
SELECT FORMAT(total, 2), ELT(1, status), FIELD(status, 'new', 'paid') FROM orders ORDER BY id
SELECT id FROM customers WHERE NOT (id > 2 OR status = 'closed') ORDER BY id
SELECT id FROM customers WHERE city <=> 'Oslo' AND country IS NOT NULL ORDER BY id
SELECT name, price, (SELECT COUNT(*) FROM order_items i JOIN orders o ON o.id = i.order_id WHERE i.product_id = p.id) AS sold FROM products p ORDER BY p.id
SELECT a.title, c.name FROM articles a, customers c WHERE MATCH (a.title, a.body) AGAINST ('fine') AND c.id = 1
