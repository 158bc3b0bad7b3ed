-- What the guard's cases are written for. A column's comment is its class: the guard's own tests read them here.
CREATE SCHEMA crm;
CREATE TYPE public.mood AS ENUM ('calm', 'happy', 'cross');
CREATE DOMAIN public.positive AS integer NOT NULL CHECK (VALUE > 0);
CREATE TABLE public.departments (id int4 PRIMARY KEY, name text, budget numeric);
CREATE TABLE public.employees (id int4 PRIMARY KEY, manager_id int4 REFERENCES public.employees, department_id int4 REFERENCES public.departments, name text, title text, salary numeric /* pay */, hired date, birth date /* birth */, badge uuid /* badge */);
CREATE TABLE public.customers (id int4 PRIMARY KEY, name text, country text, city varchar, status text, created_at timestamptz, tags _text, email text UNIQUE /* email */, ssn text /* national */, card varchar /* card */, phone text /* phone */, income int8 /* income */, profile jsonb /* profile */, feeling mood /* feeling */, consent bool /* consent */);
CREATE TABLE public.orders (id int4 PRIMARY KEY, customer_id int4 REFERENCES public.customers, status text, total numeric, currency bpchar, created_at timestamptz, shipped_at timestamptz, email text /* email */);
CREATE TABLE public.products (id int4 PRIMARY KEY, sku text, name text, category text, price numeric, attributes jsonb, description text, search tsvector, valid daterange);
CREATE TABLE public.order_items (order_id int4, product_id int4, quantity int4, price numeric, discount float8);
CREATE TABLE public.events (id int8 PRIMARY KEY, customer_id int4, kind text, at timestamptz, payload jsonb, took interval, mood mood, ip inet);
CREATE TABLE public.categories (id int4 PRIMARY KEY, parent_id int4, name text, path _text);
CREATE TABLE public."Mixed Case" (id int4, "Secret" text /* national */, "select" text);
CREATE TABLE crm.contacts (id int4 PRIMARY KEY, customer_id int4, kind text, value text /* contact */, mail text /* domain */, added date);
CREATE TABLE crm.orders (id int4, note text /* note */);
CREATE VIEW public.customer_overview AS SELECT c.id, c.name, c.email /* email */, count(o.id) AS orders FROM public.customers c LEFT JOIN public.orders o ON o.customer_id = c.id GROUP BY c.id;
CREATE FUNCTION public.get_email(int4) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM public.customers WHERE id = $1';
CREATE FUNCTION public.slug(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT lower(replace($1, ' ', '-'))$$;
