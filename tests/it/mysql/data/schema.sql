-- What the guard's cases are written for. A column's comment is its class: the guard's own tests read them here.
CREATE TABLE departments (id int PRIMARY KEY, name varchar(80), budget decimal(12,2));
CREATE TABLE employees (id int PRIMARY KEY, manager_id int, department_id int, name varchar(80), title varchar(80), salary decimal(12,2) /* pay */, hired date, birth date /* birth */, badge varchar(40) /* badge */);
CREATE TABLE customers (id int PRIMARY KEY, name varchar(80), country varchar(40), city varchar(80), status varchar(20), created_at datetime, tags json, email varchar(200) UNIQUE /* email */, ssn varchar(20) /* national */, card varchar(30) /* card */, phone varchar(30) /* phone */, income bigint /* income */, profile json /* profile */, consent tinyint /* consent */);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status varchar(20), total decimal(12,2), currency char(3), created_at datetime, shipped_at datetime, email varchar(200) /* email */);
CREATE TABLE products (id int PRIMARY KEY, sku varchar(40), name varchar(120), category varchar(60), price decimal(10,2), attributes json, description text);
CREATE TABLE order_items (order_id int, product_id int, quantity int, price decimal(10,2), discount double);
CREATE TABLE events (id bigint PRIMARY KEY, customer_id int, kind varchar(30), at datetime, payload json, took int, ip varchar(45));
CREATE TABLE categories (id int PRIMARY KEY, parent_id int, name varchar(80));
CREATE TABLE articles (id int PRIMARY KEY, title varchar(200), body text, FULLTEXT words (title, body));
CREATE TABLE `Mixed Case` (id int, `Secret` varchar(40) /* national */, `select` varchar(40));
CREATE VIEW customer_overview AS SELECT c.id, c.name, c.email /* email */, count(o.id) AS orders FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id;
