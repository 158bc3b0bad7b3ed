-- Changes: `write` is taken, `oracle` is taken and may tell by its success, `refused` is not taken.
write: INSERT INTO departments (id, name) VALUES (1, 'a')
write: INSERT INTO departments VALUES (1, 'a', 2), (2, 'b', DEFAULT)
write: INSERT INTO departments (id, name) SELECT id, name FROM categories WHERE parent_id IS NULL
write: INSERT INTO departments (id, name) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE departments.name <> excluded.name
write: INSERT INTO departments (id) VALUES (1) ON CONFLICT DO NOTHING
write: INSERT INTO departments AS d (id, name) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET (name, budget) = (excluded.name, d.budget + 1) RETURNING id
write: INSERT INTO departments DEFAULT VALUES
write: UPDATE products SET price = price * 1.1 WHERE category = 'a'
write: UPDATE products p SET price = i.price FROM order_items i WHERE i.product_id = p.id RETURNING p.id, p.price AS price
write: UPDATE ONLY products SET name = lower(name)
write: UPDATE public.products SET (name, sku) = (SELECT c.name, 'x' FROM categories c WHERE c.id = products.id) WHERE id = 1
write: DELETE FROM order_items WHERE quantity = 0
write: DELETE FROM order_items
write: DELETE FROM order_items i USING orders o WHERE o.id = i.order_id AND o.status = 'void'
write: WITH old_ones AS (SELECT id FROM events WHERE at < now() - interval '1 year') DELETE FROM events e USING old_ones o WHERE e.id = o.id
write: UPDATE events SET payload = jsonb_set(payload, '{a}', '1') WHERE id = $1 RETURNING *
oracle: INSERT INTO customers (id, name, email) VALUES (9, 'x', 'new@example.com') RETURNING id, email
oracle: INSERT INTO customers (id, email) VALUES ($1, $2) RETURNING *
oracle: UPDATE customers SET email = $1 WHERE id = $2
oracle: UPDATE customers SET email = NULL, status = 'gone' WHERE id = 5 RETURNING email, status AS s
oracle: UPDATE customers SET status = 'old' WHERE created_at < '2020-01-01'
oracle: DELETE FROM customers WHERE id = 7
oracle: UPDATE orders SET status = 'void' FROM customers c WHERE c.id = orders.customer_id AND c.country = 'XX'
oracle: UPDATE employees SET salary = 5::numeric WHERE id = 1
refused: UPDATE customers SET status = 'x' WHERE email = 'ann@example.com'
refused: UPDATE customers SET status = 'x' WHERE email LIKE 'a%'
refused: UPDATE customers SET status = email
refused: UPDATE customers SET status = 'x' || ssn WHERE id = 1
refused: UPDATE customers c SET status = 'x' WHERE c.ssn IS NOT NULL
refused: UPDATE customers SET status = 'x' WHERE (customers).email = 'a'
refused: UPDATE customers c SET status = c::text
refused: UPDATE customers c SET status = row_to_json(c)::text
refused: UPDATE customers c SET status = to_jsonb(c.*)::text
refused: UPDATE customers SET status = 'x' WHERE EXISTS (SELECT 1 FROM departments d WHERE d.name = email)
refused: UPDATE customers SET status = 'x' WHERE EXISTS (SELECT 1 FROM (departments a JOIN categories b ON true) AS email(a, b, c, d, e, f, g) WHERE ssn = '1')
refused: UPDATE customers SET status = 'x' WHERE EXISTS (SELECT customers.*)
refused: UPDATE customers SET name = (SELECT email FROM orders LIMIT 1) WHERE id = 1
refused: UPDATE customers SET name = o.email FROM orders o WHERE o.customer_id = customers.id
refused: UPDATE departments SET name = (SELECT string_agg(email, ',') FROM customers)
refused: UPDATE departments SET name = c.card FROM customers c WHERE c.id = departments.id
refused: UPDATE departments SET name = 'x' FROM customers c WHERE c.ssn = '1'
refused: UPDATE departments SET name = 'x' FROM employees e WHERE e.department_id = departments.id AND e.salary > 5000
refused: INSERT INTO departments (id, name) SELECT id, email FROM customers
refused: INSERT INTO departments (id, name) SELECT id, mail FROM contacts
refused: INSERT INTO departments SELECT * FROM crm.orders
refused: INSERT INTO departments (id, name) SELECT id, row_to_json(c)::text FROM customers c
refused: INSERT INTO departments (id, name) TABLE crm.orders
refused: INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (email) DO NOTHING
refused: INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET status = customers.email
refused: INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET status = excluded.email
refused: INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET status = 'x' WHERE customers.email = 'a'
refused: INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET status = excluded::text
refused: INSERT INTO customers (id, email) VALUES (1, 'a') ON CONFLICT ON CONSTRAINT customers_email_key DO NOTHING
refused: INSERT INTO customers (id, email) VALUES (1, '***')
refused: INSERT INTO customers (id, email) VALUES (1, '***@example.com')
refused: INSERT INTO departments (id, name) VALUES (1, 'x [masked:email] y')
refused: INSERT INTO customers (id, email) VALUES (1, '*' || '**')
refused: INSERT INTO customers (id, email) SELECT id, name FROM departments
refused: UPDATE customers SET email = lower(email)
refused: UPDATE customers SET email = name
refused: UPDATE customers SET (email, name) = (SELECT 'a', 'b')
refused: UPDATE customers SET email = '***' WHERE id = 1
refused: UPDATE customers SET profile['a'] = '1' WHERE id = 1
refused: DELETE FROM customers WHERE ssn = '536-90-4399'
refused: DELETE FROM customers WHERE card LIKE '4%'
refused: DELETE FROM customers USING orders o WHERE o.email = customers.email
refused: DELETE FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE email = 'a')
refused: DELETE FROM departments WHERE id = 1 RETURNING (SELECT max(email) FROM customers)
refused: DELETE FROM customers WHERE id = 1 RETURNING length(email)
refused: DELETE FROM customers WHERE id = 1 RETURNING customers
refused: UPDATE customers SET status = 'x' RETURNING old.email
refused: UPDATE customers SET status = 'x' RETURNING new.*
refused: UPDATE customers SET status = 'x' RETURNING WITH (OLD AS o) o.email
refused: UPDATE customers SET status = old.email
refused: UPDATE customers SET status = 'x' WHERE ctid = '(0,1)'
refused: UPDATE customers SET status = 'x' WHERE CURRENT OF c
refused: UPDATE customer_overview SET name = 'x'
refused: UPDATE secrets SET a = 1
refused: UPDATE pg_catalog.pg_class SET relname = 'x'
refused: UPDATE pg_class SET relname = 'x'
refused: INSERT INTO information_schema.tables VALUES (1)
refused: INSERT INTO departments (id, nope) VALUES (1, 2)
refused: WITH x AS (DELETE FROM products RETURNING *) INSERT INTO departments (id) SELECT id FROM x
refused: WITH x AS (UPDATE customers SET name = 'a' RETURNING email) INSERT INTO departments (name) SELECT email FROM x
refused: WITH x AS (SELECT email FROM customers) UPDATE departments SET name = x.email FROM x
refused: WITH x AS (SELECT * FROM customers) DELETE FROM departments USING x WHERE x.email = departments.name
refused: SELECT 1
refused: MERGE INTO departments d USING categories c ON c.id = d.id WHEN MATCHED THEN DELETE
refused: TRUNCATE departments
refused: COPY departments FROM STDIN
refused: INSERT INTO departments (id, name) VALUES (1, pg_read_file('/etc/passwd'))
refused: INSERT INTO departments (id, name) VALUES (nextval('s'), 'a')
refused: UPDATE departments SET name = set_config('role', 'postgres', false)
refused: UPDATE departments SET name = get_email(1)
refused: DELETE FROM departments; DROP TABLE departments
refused: INSERT INTO departments (id, name) VALUES (1, 'a') RETURNING id, pg_sleep(10)
refused: UPDATE "Mixed Case" SET id = 1 WHERE "Secret" = 'x'
refused: DELETE FROM order_items i USING orders o WHERE o.id = i.order_id RETURNING *
write: DELETE FROM order_items i USING orders o WHERE o.id = i.order_id RETURNING i.*
