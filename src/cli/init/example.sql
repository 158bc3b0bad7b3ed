-- The sample database of `tollgate init`. All names are invented.
CREATE TABLE customers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  city TEXT NOT NULL
);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER NOT NULL REFERENCES customers (id),
  placed TEXT NOT NULL,
  status TEXT NOT NULL,
  total_cents INTEGER NOT NULL
);
INSERT INTO customers (id, name, email, city) VALUES
  (1, 'Customer One', 'one@example.com', 'Lisbon'),
  (2, 'Customer Two', 'two@example.org', 'Turku'),
  (3, 'Customer Three', 'three@example.com', 'Graz');
INSERT INTO orders (id, customer_id, placed, status, total_cents) VALUES
  (1, 1, '2026-01-05', 'delivered', 4990),
  (2, 2, '2026-01-06', 'open', 1250),
  (3, 1, '2026-01-09', 'open', 7800),
  (4, 3, '2026-01-11', 'cancelled', 300);
