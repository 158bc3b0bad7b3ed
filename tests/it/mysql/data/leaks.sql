-- Attempts to learn something of a classified value, one a line. Whatever becomes of each must not depend on one.
SELECT id, email AS x FROM customers ORDER BY id
SELECT id, LOWER(email) AS x FROM customers ORDER BY id
SELECT id, UPPER(email) AS x FROM customers ORDER BY id
SELECT id, CONCAT(email, 'x') AS x FROM customers ORDER BY id
SELECT id, LEFT(email, 1) AS x FROM customers ORDER BY id
SELECT id, RIGHT(email, 3) AS x FROM customers ORDER BY id
SELECT id, SUBSTRING(email, 1, 2) AS x FROM customers ORDER BY id
SELECT id, MD5(email) AS x FROM customers ORDER BY id
SELECT id, SHA2(email, 256) AS x FROM customers ORDER BY id
SELECT id, HEX(email) AS x FROM customers ORDER BY id
SELECT id, TO_BASE64(email) AS x FROM customers ORDER BY id
SELECT id, ASCII(email) AS x FROM customers ORDER BY id
SELECT id, ORD(email) AS x FROM customers ORDER BY id
SELECT id, CHAR_LENGTH(email) AS x FROM customers ORDER BY id
SELECT id, LENGTH(email) AS x FROM customers ORDER BY id
SELECT id, REVERSE(email) AS x FROM customers ORDER BY id
SELECT id, REPLACE(email, 'a', 'b') AS x FROM customers ORDER BY id
SELECT id, LOCATE('alpha', email) AS x FROM customers ORDER BY id
SELECT id, INSTR(email, 'bravo') AS x FROM customers ORDER BY id
SELECT id, email LIKE 'alpha%' AS x FROM customers ORDER BY id
SELECT id, email REGEXP '^a' AS x FROM customers ORDER BY id
SELECT id, STRCMP(email, 'b') AS x FROM customers ORDER BY id
SELECT id, email = 'alpha1@mail.example' AS x FROM customers ORDER BY id
SELECT id, email IS NULL AS x FROM customers ORDER BY id
SELECT id, email > 'b' AS x FROM customers ORDER BY id
SELECT id, email IN ('alpha1@mail.example', 'bravo1@mail.example') AS x FROM customers ORDER BY id
SELECT id, CRC32(email) AS x FROM customers ORDER BY id
SELECT id, SOUNDEX(email) AS x FROM customers ORDER BY id
SELECT id, LPAD(email, 3, 'x') AS x FROM customers ORDER BY id
SELECT id, TRIM(LEADING 'a' FROM email) AS x FROM customers ORDER BY id
SELECT id, SUBSTRING_INDEX(email, '@', 1) AS x FROM customers ORDER BY id
SELECT id, CAST(email AS BINARY) AS x FROM customers ORDER BY id
SELECT id, CAST(email AS SIGNED) AS x FROM customers ORDER BY id
SELECT id, CAST(email AS DATE) AS x FROM customers ORDER BY id
SELECT id, email + 0 AS x FROM customers ORDER BY id
SELECT id, -email AS x FROM customers ORDER BY id
SELECT id, email COLLATE utf8mb4_bin AS x FROM customers ORDER BY id
SELECT id, CONVERT(email USING latin1) AS x FROM customers ORDER BY id
SELECT id, JSON_QUOTE(email) AS x FROM customers ORDER BY id
SELECT id, JSON_ARRAY(email) AS x FROM customers ORDER BY id
SELECT id, JSON_OBJECT('e', email) AS x FROM customers ORDER BY id
SELECT id, FIELD(email, 'alpha1@mail.example') AS x FROM customers ORDER BY id
SELECT id, ELT(1, email) AS x FROM customers ORDER BY id
SELECT id, GREATEST(email, 'b') AS x FROM customers ORDER BY id
SELECT id, LEAST(email, 'b') AS x FROM customers ORDER BY id
SELECT id, COALESCE(email, 'x') AS x FROM customers ORDER BY id
SELECT id, IFNULL(email, 'x') AS x FROM customers ORDER BY id
SELECT id, NULLIF(email, 'alpha1@mail.example') AS x FROM customers ORDER BY id
SELECT id, IF(email < 'b', 1, 0) AS x FROM customers ORDER BY id
SELECT id, CASE email WHEN 'alpha1@mail.example' THEN 1 ELSE 0 END AS x FROM customers ORDER BY id
SELECT id, CASE WHEN email LIKE 'a%' THEN 1/0 ELSE 1 END AS x FROM customers ORDER BY id
SELECT id, (SELECT email) AS x FROM customers ORDER BY id
SELECT id, email DIV 1 AS x FROM customers ORDER BY id
SELECT id, email XOR 1 AS x FROM customers ORDER BY id
SELECT id, BIT_LENGTH(email) AS x FROM customers ORDER BY id
SELECT id, QUOTE(email) AS x FROM customers ORDER BY id
SELECT id, UNHEX(HEX(email)) AS x FROM customers ORDER BY id
SELECT id, ssn AS x FROM customers ORDER BY id
SELECT id, card AS x FROM customers ORDER BY id
SELECT id, phone AS x FROM customers ORDER BY id
SELECT id, income AS x FROM customers ORDER BY id
SELECT id, income + 1 AS x FROM customers ORDER BY id
SELECT id, income * 9223372036854775807 AS x FROM customers ORDER BY id
SELECT id, income / (income - 1900) AS x FROM customers ORDER BY id
SELECT id, MOD(income, 7) AS x FROM customers ORDER BY id
SELECT id, EXP(income) AS x FROM customers ORDER BY id
SELECT id, POW(income, 900) AS x FROM customers ORDER BY id
SELECT id, profile AS x FROM customers ORDER BY id
SELECT id, JSON_EXTRACT(profile, '$.k') AS x FROM customers ORDER BY id
SELECT id, JSON_VALUE(profile, '$.k') AS x FROM customers ORDER BY id
SELECT id, JSON_LENGTH(profile) AS x FROM customers ORDER BY id
SELECT id, JSON_KEYS(profile) AS x FROM customers ORDER BY id
SELECT id, JSON_UNQUOTE(profile) AS x FROM customers ORDER BY id
SELECT id, JSON_SEARCH(profile, 'one', 'alpha') AS x FROM customers ORDER BY id
SELECT id, JSON_CONTAINS(profile, '"alpha"', '$.k') AS x FROM customers ORDER BY id
SELECT id, consent AS x FROM customers ORDER BY id
SELECT id, NOT consent AS x FROM customers ORDER BY id
SELECT id, consent IS TRUE AS x FROM customers ORDER BY id
SELECT * FROM customers ORDER BY id
SELECT c.* FROM customers c ORDER BY c.id
SELECT id FROM customers WHERE email = 'alpha1@mail.example'
SELECT id FROM customers WHERE email LIKE 'alpha%'
SELECT id FROM customers WHERE email BETWEEN 'a' AND 'b'
SELECT id FROM customers WHERE ssn REGEXP '7777'
SELECT id FROM customers WHERE income > 10000
SELECT id FROM customers WHERE consent
SELECT id FROM customers ORDER BY email, id
SELECT id FROM customers ORDER BY income DESC, id
SELECT id FROM customers ORDER BY profile, id
SELECT email, count(*) FROM customers GROUP BY email
SELECT income, count(*) FROM customers GROUP BY income
SELECT count(DISTINCT email) FROM customers
SELECT count(email), count(income), count(consent) FROM customers
SELECT min(email), max(email) FROM customers
SELECT sum(income), avg(income), stddev(income), variance(income) FROM customers
SELECT bit_or(income), bit_and(income), bit_xor(income) FROM customers
SELECT GROUP_CONCAT(email) FROM customers
SELECT GROUP_CONCAT(id ORDER BY email) FROM customers
SELECT GROUP_CONCAT(id ORDER BY income) FROM customers
SELECT JSON_ARRAYAGG(email) FROM customers
SELECT JSON_OBJECTAGG(id, email) FROM customers
SELECT id, ROW_NUMBER() OVER (ORDER BY income, id) AS x FROM customers ORDER BY id
SELECT id, RANK() OVER (ORDER BY income) AS x FROM customers ORDER BY id
SELECT id, LAG(email) OVER (ORDER BY id) AS x FROM customers ORDER BY id
SELECT id, FIRST_VALUE(email) OVER (ORDER BY income) AS x FROM customers ORDER BY id
SELECT id, NTILE(2) OVER (ORDER BY income, id) AS x FROM customers ORDER BY id
SELECT id FROM customers GROUP BY id HAVING max(email) LIKE 'alpha%'
SELECT c.id FROM customers c JOIN orders o ON o.email = c.email
SELECT c.id FROM customers c JOIN orders o ON o.id = c.id AND c.email LIKE 'a%'
SELECT id FROM customers NATURAL JOIN orders
SELECT count(*) FROM customers c JOIN orders o USING (email)
SELECT c.id, o.email FROM customers c LEFT JOIN orders o ON o.customer_id = c.id ORDER BY c.id
SELECT id FROM customers WHERE email IN (SELECT email FROM orders)
SELECT id FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.email = c.email AND o.email LIKE 'a%')
SELECT id, (SELECT max(email) FROM orders) AS x FROM customers ORDER BY id
SELECT id, (SELECT email FROM orders) AS x FROM customers ORDER BY id
SELECT id FROM customers WHERE (email, ssn) = ('alpha1@mail.example', '7777-1')
SELECT email FROM customers UNION SELECT email FROM orders
SELECT email FROM customers UNION ALL SELECT name FROM customers
SELECT id, email FROM customers EXCEPT SELECT id, email FROM orders
SELECT email FROM customers INTERSECT SELECT email FROM orders
WITH x AS (SELECT email FROM customers) SELECT * FROM x
WITH customers AS (SELECT id, email FROM customers) SELECT * FROM customers ORDER BY id
WITH RECURSIVE r AS (SELECT 1 AS n, (SELECT min(email) FROM customers) AS e UNION ALL SELECT n + 1, SUBSTRING(e, 2) FROM r WHERE n < 4) SELECT * FROM r
SELECT * FROM (SELECT id, email FROM customers) AS t ORDER BY id
SELECT t.a FROM (SELECT email AS a FROM customers) AS t WHERE t.a LIKE 'alpha%'
SELECT * FROM customer_overview ORDER BY id
SELECT id FROM customer_overview WHERE email LIKE 'alpha%'
SELECT * FROM `Mixed Case` ORDER BY id
SELECT `Secret` FROM `Mixed Case`
SELECT id FROM `Mixed Case` WHERE `secret` = 'alpha'
SELECT salary, birth, badge FROM employees ORDER BY id
SELECT id FROM employees ORDER BY salary, id
SELECT id FROM employees ORDER BY birth, id
SELECT YEAR(birth), DATE_FORMAT(birth, '%Y') FROM employees
SELECT id, DATEDIFF(birth, '1970-01-01') AS x FROM employees ORDER BY id
SELECT department_id, sum(salary) FROM employees GROUP BY department_id
SELECT e.id FROM employees e JOIN employees m ON m.salary < e.salary
SELECT name, salary > 2500 FROM employees ORDER BY id
SELECT shop.customers.email FROM shop.customers
SELECT email FROM shop_tollgate.customers
SELECT plan FROM tollgate_plan
SELECT * FROM shop_tollgate.tollgate_plan
SELECT * FROM tollgate_now
SELECT * FROM information_schema.columns
SELECT * FROM information_schema.processlist
SELECT * FROM information_schema.column_statistics
SELECT * FROM mysql.innodb_index_stats
SELECT * FROM mysql.column_stats
SELECT * FROM performance_schema.events_statements_history
EXPLAIN SELECT id FROM customers WHERE email = 'alpha1@mail.example'
ANALYZE SELECT id FROM customers WHERE email = 'alpha1@mail.example'
DESCRIBE customers
SHOW CREATE VIEW customers
SHOW WARNINGS
SHOW INDEX FROM customers
HANDLER customers OPEN
TABLE customers
VALUES ROW(1)
DO (SELECT email FROM customers)
CHECKSUM TABLE customers
SELECT email INTO @x FROM customers LIMIT 1
SELECT @x := email FROM customers
SELECT email FROM customers INTO OUTFILE '/tmp/tollgate-leak'
SELECT LOAD_FILE('/etc/passwd')
SELECT EXTRACTVALUE(1, CONCAT(0x7e, email)) FROM customers
SELECT UPDATEXML(1, CONCAT(0x7e, email), 1) FROM customers
SELECT COLUMN_JSON(COLUMN_CREATE('e', email)) FROM customers
SELECT SLEEP(IF(email LIKE 'alpha%', 1, 0)) FROM customers
SELECT BENCHMARK(1000000, MD5(email)) FROM customers
SELECT GET_LOCK(email, 1) FROM customers
SELECT /*!50000 email */ FROM customers
SELECT /*M!100000 email */ FROM customers
SELECT email FROM customers FOR UPDATE
SELECT email FROM customers LOCK IN SHARE MODE
SELECT email FROM customers PROCEDURE ANALYSE()
SELECT id FROM customers FORCE INDEX (email) WHERE email > 'b'
SELECT '\\', ', (SELECT email FROM shop.customers LIMIT 1) -- '
SELECT "a\"", ' , email FROM customers -- "'
SELECT id FROM customers WHERE MATCH (email) AGAINST ('alpha')
SELECT LAST_INSERT_ID(income) FROM customers
SELECT FOUND_ROWS() FROM customers
SELECT BIN_TO_UUID(badge) FROM employees
SELECT INET_ATON(email) FROM customers
SELECT STR_TO_DATE(email, '%Y') FROM customers
SELECT CAST(CONCAT('{\"a\":', email) AS JSON) FROM customers
SELECT jt.e FROM customers c, JSON_TABLE(c.profile, '$' COLUMNS (e varchar(40) PATH '$.k')) AS jt
SELECT ST_GEOMFROMTEXT(email) FROM customers
SELECT email->'$.k' FROM customers
SELECT profile->>'$.k' FROM customers
SELECT id FROM customers LIMIT (SELECT income FROM customers LIMIT 1)
SELECT SEC_TO_TIME(income) FROM customers
SELECT FORMAT(income, 2), CONV(income, 10, 16), CHAR(income) FROM customers
SELECT REPEAT('x', income) FROM customers WHERE id = 1
SELECT SPACE(income) FROM customers WHERE id = 1
SELECT CONVERT(income, CHAR) FROM customers
SELECT id, MAKE_SET(1, email) AS x FROM customers ORDER BY id
SELECT id, EXPORT_SET(income, 'Y', 'N', ',', 8) AS x FROM customers ORDER BY id
SELECT id, INSERT(email, 1, 2, 'x') AS x FROM customers ORDER BY id
SELECT id, LENGTH(COMPRESS(email)) AS x FROM customers ORDER BY id
SELECT id, HEX(AES_ENCRYPT(email, 'k')) AS x FROM customers ORDER BY id
SELECT id, NATURAL_SORT_KEY(email) AS x FROM customers ORDER BY id
SELECT id, HEX(WEIGHT_STRING(email)) AS x FROM customers ORDER BY id
SELECT id, REGEXP_SUBSTR(email, '^[a-m]') AS x FROM customers ORDER BY id
SELECT id, REGEXP_INSTR(email, 'v') AS x FROM customers ORDER BY id
SELECT id, email SOUNDS LIKE 'alpha' AS x FROM customers ORDER BY id
SELECT id, JSON_MERGE_PATCH(profile, '{}') AS x FROM customers ORDER BY id
SELECT id, JSON_DETAILED(profile) AS x FROM customers ORDER BY id
SELECT id, JSON_DEPTH(profile), JSON_TYPE(profile), JSON_VALID(profile) FROM customers ORDER BY id
SELECT id, COERCIBILITY(email), CHARSET(email), COLLATION(email) FROM customers ORDER BY id
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY income) OVER () AS x FROM customers
SELECT id, COUNT(*) OVER (PARTITION BY email) AS x FROM customers ORDER BY id
SELECT id, SUM(id) OVER (ORDER BY income RANGE BETWEEN 1000 PRECEDING AND CURRENT ROW) AS x FROM customers ORDER BY id
SELECT c.id, x.n FROM customers c JOIN (SELECT email, count(*) AS n FROM orders GROUP BY email) x ON x.email = c.email ORDER BY c.id
SELECT id FROM customers WHERE income = (SELECT MAX(income) FROM customers)
SELECT id FROM customers WHERE income > ANY (SELECT income FROM customers)
SELECT id FROM customers WHERE email NOT IN (SELECT email FROM orders WHERE email < 'b')
SELECT CASE WHEN EXISTS (SELECT 1 FROM customers WHERE email LIKE 'alpha%') THEN 'a' ELSE 'b' END AS x
SELECT IF((SELECT income FROM customers WHERE id = 1) > 10000, 1, 2) AS x
SELECT id FROM customers ORDER BY CASE WHEN email LIKE 'alpha%' THEN id ELSE -id END
SELECT id FROM customers ORDER BY FIELD(email, 'alpha3@mail.example', 'bravo4@mail.example'), id
SELECT DISTINCT LEFT(email, 5) AS x FROM customers
SELECT COUNT(DISTINCT LEFT(ssn, 4)) AS x FROM customers
SELECT id, CAST(profile AS CHAR) AS x FROM customers ORDER BY id
SELECT id, TIMESTAMPDIFF(YEAR, birth, '2026-01-01') AS x FROM employees ORDER BY id
SELECT salary DIV 1000 AS x, count(*) FROM employees GROUP BY salary DIV 1000
SELECT e.id, e.salary - m.salary AS x FROM employees e JOIN employees m ON m.id = e.manager_id ORDER BY e.id
SELECT GROUP_CONCAT(DISTINCT country ORDER BY income) AS x FROM customers
SELECT id FROM employees WHERE birth > '1970-01-01' ORDER BY id
SELECT STR_TO_DATE(CONCAT(birth, 'x'), '%Y-%m-%d') AS x FROM employees
EXPLAIN FORMAT=JSON SELECT id FROM customers WHERE income > 10000
SHOW FULL COLUMNS FROM customers
SHOW TABLE STATUS LIKE 'customers'
SHOW CREATE TABLE shop.customers
