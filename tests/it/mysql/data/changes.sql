-- Changes: `write` is taken, `refused` is not.
write: INSERT INTO departments (id, name) VALUES (1, 'x')
write: INSERT INTO departments VALUES (1, 'x', 2.5), (2, 'y', DEFAULT)
write: INSERT INTO shop.departments (id, name) VALUES (?, ?)
write: INSERT departments (id) VALUES (1)
write: INSERT INTO departments SET id = 1, name = CONCAT('a', 'b')
write: INSERT INTO departments (id, name) SELECT id, name FROM categories WHERE id > 3
write: INSERT INTO departments (id, name) VALUES (1, 'x') ON DUPLICATE KEY UPDATE name = VALUES(name), budget = budget + 1
write: INSERT INTO customers (id, name, email) VALUES (1, 'x', 'a@example.com')
write: INSERT INTO customers (id, email) VALUES (1, ?)
write: INSERT INTO customers (id, email) VALUES (1, NULL), (2, DEFAULT)
write: INSERT INTO order_items (order_id, product_id) SELECT o.id, p.id FROM orders o JOIN products p ON p.id = o.id
write: UPDATE departments SET name = 'x' WHERE id = 1
write: UPDATE departments d SET d.name = 'x'
write: UPDATE departments d SET name = UPPER(d.name), budget = budget * 2 WHERE d.id IN (1, 2)
write: UPDATE customers SET status = 'gone' WHERE id = ?
write: UPDATE customers SET email = ? WHERE id = ?
write: UPDATE customers SET email = NULL, income = -1 WHERE id = 3
write: UPDATE products SET price = 1 WHERE category IN (SELECT name FROM categories WHERE parent_id IS NULL)
write: UPDATE products SET price = 1
write: DELETE FROM departments WHERE id = 1
write: DELETE FROM customers WHERE id = 1 AND status = 'gone'
write: DELETE FROM products WHERE NOT EXISTS (SELECT 1 FROM order_items i WHERE i.product_id = products.id)
write: DELETE FROM departments
refused: INSERT IGNORE INTO departments (id) VALUES (1)
refused: INSERT LOW_PRIORITY INTO departments (id) VALUES (1)
refused: INSERT DELAYED INTO departments (id) VALUES (1)
refused: INSERT INTO departments PARTITION (p0) VALUES (1, 'x', 1)
refused: INSERT INTO departments (id) VALUES (1) RETURNING *
refused: INSERT INTO departments (id) VALUES (1) AS new ON DUPLICATE KEY UPDATE name = new.name
refused: INSERT INTO departments (id) VALUES (1, 2)
refused: INSERT INTO departments (nosuch) VALUES (1)
refused: INSERT INTO nosuch (id) VALUES (1)
refused: INSERT INTO mysql.user (host) VALUES (1)
refused: INSERT INTO shop_masked.departments (id) VALUES (1)
refused: INSERT INTO customer_overview (id) VALUES (1)
refused: INSERT INTO departments (id, name) SELECT id, email FROM customers
refused: INSERT INTO departments SELECT * FROM customers
refused: INSERT INTO departments (id, name) VALUES (1, (SELECT email FROM customers LIMIT 1))
refused: INSERT INTO departments (id) VALUES (1) ON DUPLICATE KEY UPDATE name = (SELECT ssn FROM customers LIMIT 1)
refused: INSERT INTO customers (id) VALUES (1) ON DUPLICATE KEY UPDATE name = email
refused: INSERT INTO customers (id) VALUES (1) ON DUPLICATE KEY UPDATE name = customers.email
refused: INSERT INTO customers (id) VALUES (1) ON DUPLICATE KEY UPDATE name = shop.customers.email
refused: INSERT INTO customers (id) VALUES (1) ON DUPLICATE KEY UPDATE name = IF(VALUES(email) = email, 'a', 'b')
refused: INSERT INTO customers (id, email) VALUES (1, '***')
refused: INSERT INTO customers (id, email) VALUES (1, '***@example.com')
refused: INSERT INTO customers (id, email) VALUES (1, CONCAT('*', '**'))
refused: INSERT INTO customers (id, email) SELECT id, name FROM departments
refused: INSERT INTO departments (id, name) VALUES (1, 'x [masked:email] y')
refused: REPLACE INTO departments VALUES (1, 'x', 1)
refused: REPLACE departments SET id = 1
refused: UPDATE customers SET name = email
refused: UPDATE customers SET name = customers.email
refused: UPDATE customers c SET name = c.EMAIL
refused: UPDATE customers c SET name = (SELECT c.email)
refused: UPDATE customers SET name = (SELECT email FROM (SELECT 1) x)
refused: UPDATE customers SET name = (SELECT x.a FROM (SELECT email AS a) x)
refused: UPDATE customers SET name = 'x' WHERE email = 'a@example.com'
refused: UPDATE customers SET name = 'x' WHERE id = 1 AND ssn LIKE '1%'
refused: UPDATE customers SET name = 'x' WHERE EXISTS (SELECT 1 FROM departments WHERE email = 'a')
refused: UPDATE customers SET name = 'x' WHERE shop.customers.email = 'a'
refused: UPDATE customers SET name = JSON_EXTRACT(profile, '$.a')
refused: UPDATE customers SET email = CONCAT(name, 'x')
refused: UPDATE customers SET email = email
refused: UPDATE customers SET email = '***'
refused: UPDATE customers SET name = `émail`
refused: UPDATE departments SET name = (SELECT email FROM customers LIMIT 1)
refused: UPDATE departments SET name = 'x' WHERE name IN (SELECT email FROM customers)
refused: UPDATE departments d JOIN categories c ON c.id = d.id SET d.name = 'x'
refused: UPDATE departments, categories SET departments.name = 'x'
refused: UPDATE IGNORE departments SET name = 'x'
refused: UPDATE LOW_PRIORITY departments SET name = 'x'
refused: UPDATE departments PARTITION (p0) SET name = 'x'
refused: UPDATE departments SET name = 'x' ORDER BY id LIMIT 1
refused: UPDATE departments SET name = 'x' LIMIT 1
refused: UPDATE departments SET name = @a := 'x'
refused: UPDATE departments SET name = SLEEP(1)
refused: UPDATE departments SET nosuch = 1
refused: UPDATE customer_overview SET name = 'x'
refused: UPDATE shop_masked.customers SET name = 'x'
refused: WITH a AS (SELECT 1 AS id) UPDATE departments SET name = 'x'
refused: DELETE FROM customers WHERE email = 'a@example.com'
refused: DELETE FROM customers WHERE email IS NULL
refused: DELETE FROM customers ORDER BY income LIMIT 1
refused: DELETE FROM customers LIMIT 1
refused: DELETE FROM departments WHERE id = 1 RETURNING *
refused: DELETE d FROM departments d
refused: DELETE FROM d USING departments d
refused: DELETE FROM departments, categories
refused: DELETE IGNORE FROM departments
refused: DELETE QUICK FROM departments
refused: DELETE FROM departments PARTITION (p0)
refused: DELETE FROM customer_overview
refused: DELETE FROM departments WHERE id IN (SELECT id FROM customers WHERE ssn = '1')
refused: TRUNCATE departments
refused: DROP TABLE departments
refused: CREATE TABLE t (a int)
refused: SELECT * FROM departments
refused: INSERT INTO departments (id) VALUES (1); DELETE FROM departments
