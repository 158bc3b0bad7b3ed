-- What each statement is. No query is anything but `read`; the reads are those of reads.sql. \n and \u stand for characters.
write: INSERT INTO departments VALUES (1)
write: INSERT INTO departments SELECT * FROM departments
write: INSERT INTO departments DEFAULT VALUES RETURNING *
write: insert/**/into departments(id) values(1)
write: /* x */ INSERT INTO departments (id) VALUES (1)
write: -- SELECT\nINSERT INTO departments (id) VALUES (1)
write: WITH a AS (SELECT 1) INSERT INTO departments (id) SELECT * FROM a
write: WITH a AS (INSERT INTO departments (id) VALUES (1) RETURNING id) SELECT * FROM a
write: WITH a AS (UPDATE departments SET name = 'x' RETURNING *) SELECT * FROM a
write: WITH a AS (DELETE FROM departments RETURNING *) SELECT count(*) FROM a
write: WITH RECURSIVE a AS (DELETE FROM departments RETURNING *) SELECT 1
write: WITH a AS MATERIALIZED (DELETE FROM departments RETURNING 1) SELECT 1
write: SELECT * FROM (WITH a AS (DELETE FROM departments RETURNING *) SELECT * FROM a) x
write: WITH x AS (WITH y AS (DELETE FROM departments RETURNING *) SELECT * FROM y) SELECT * FROM x
write: SELECT (WITH a AS (DELETE FROM departments RETURNING 1) SELECT 1)
write: UPDATE departments SET name = 'x'
write: UPDATE departments SET name = 'x' WHERE id = 1 RETURNING *
write: UPDATE ONLY departments SET name = 'x'
write: UPDATE departments d SET (name, budget) = ('x', 1)
write: UPDATE departments SET name = c.name FROM categories c
write: DELETE FROM departments
write: DELETE FROM ONLY departments WHERE id = 1
write: DELETE FROM departments USING categories
write: DELETE FROM public.departments * WHERE true
write: MERGE INTO departments d USING categories c ON c.id = d.id WHEN MATCHED THEN DELETE
write: MERGE INTO departments d USING categories c ON c.id = d.id WHEN NOT MATCHED THEN INSERT (id) VALUES (c.id)
write: WITH a AS (SELECT 1) MERGE INTO departments d USING categories c ON c.id = d.id WHEN MATCHED THEN UPDATE SET name = 'x'
ddl: TRUNCATE departments
ddl: TRUNCATE TABLE departments, categories CASCADE
ddl: TRUNCATE ONLY departments RESTART IDENTITY
write: INSERT INTO departments (id) VALUES (1) ON CONFLICT DO NOTHING
write: INSERT INTO departments (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET name = 'x'
write: SELECT * INTO new_table FROM departments
write: SELECT * INTO TEMP new_table FROM departments
write: SELECT 1 INTO UNLOGGED t
write: (SELECT 1 INTO t)
write: WITH a AS (SELECT 1) SELECT * INTO t FROM a
write: SELECT 1 UNION SELECT 2 INTO t
write: SELECT * FROM departments FOR UPDATE
write: SELECT * FROM departments FOR NO KEY UPDATE
write: SELECT * FROM departments FOR SHARE
write: SELECT * FROM departments FOR KEY SHARE SKIP LOCKED
write: SELECT * FROM (SELECT * FROM departments FOR UPDATE) x
write: WITH a AS (SELECT * FROM departments FOR UPDATE) SELECT * FROM a
write: SELECT id FROM departments WHERE id IN (SELECT id FROM departments FOR UPDATE)
ddl: CREATE TABLE t (a int)
ddl: CREATE TEMP TABLE customers (a int)
ddl: CREATE TEMPORARY VIEW customers AS SELECT 1
ddl: CREATE UNLOGGED TABLE t (a int)
ddl: CREATE TABLE t AS SELECT * FROM customers
ddl: CREATE TABLE t AS TABLE customers
ddl: CREATE TABLE t AS EXECUTE p
ddl: CREATE TABLE t (LIKE customers INCLUDING ALL)
ddl: CREATE TABLE t () INHERITS (customers)
ddl: CREATE TABLE t PARTITION OF customers DEFAULT
ddl: CREATE VIEW v AS SELECT * FROM customers
ddl: CREATE OR REPLACE VIEW v AS SELECT 1
ddl: CREATE MATERIALIZED VIEW v AS SELECT * FROM customers
ddl: REFRESH MATERIALIZED VIEW v
ddl: CREATE INDEX i ON customers (email)
ddl: CREATE UNIQUE INDEX CONCURRENTLY i ON customers (email)
ddl: CREATE INDEX ON customers (lower(email)) WHERE ssn LIKE 'a%'
ddl: CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
ddl: CREATE OR REPLACE FUNCTION lower(text) RETURNS text LANGUAGE sql AS 'SELECT $1'
ddl: CREATE FUNCTION f() RETURNS int LANGUAGE plpython3u AS 'x'
ddl: CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'lib', 'f'
ddl: CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END
ddl: CREATE PROCEDURE p() LANGUAGE sql AS 'DELETE FROM t'
ddl: CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)
ddl: CREATE OPERATOR + (LEFTARG = text, RIGHTARG = text, FUNCTION = textcat)
ddl: CREATE CAST (text AS int) WITH INOUT
ddl: CREATE TYPE t AS (a int)
ddl: CREATE TYPE t AS ENUM ('a')
ddl: CREATE DOMAIN d AS int
ddl: CREATE SCHEMA s
ddl: CREATE SCHEMA s CREATE TABLE t (a int)
ddl: CREATE SEQUENCE s
ddl: CREATE TRIGGER t AFTER INSERT ON departments EXECUTE FUNCTION f()
ddl: CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()
ddl: CREATE RULE r AS ON SELECT TO departments DO INSTEAD SELECT 1
ddl: CREATE POLICY p ON customers USING (true)
ddl: CREATE EXTENSION dblink
ddl: CREATE FOREIGN DATA WRAPPER w
ddl: CREATE SERVER s FOREIGN DATA WRAPPER w
ddl: CREATE FOREIGN TABLE t (a int) SERVER s
ddl: IMPORT FOREIGN SCHEMA x FROM SERVER s INTO public
ddl: CREATE USER MAPPING FOR PUBLIC SERVER s
ddl: CREATE ROLE r SUPERUSER
ddl: CREATE USER u PASSWORD 'x'
ddl: CREATE DATABASE d
ddl: CREATE TABLESPACE t LOCATION '/tmp'
ddl: CREATE PUBLICATION p FOR ALL TABLES
ddl: CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p
ddl: CREATE STATISTICS s ON id, name FROM customers
ddl: CREATE COLLATION c (locale = 'de')
ddl: CREATE TEXT SEARCH CONFIGURATION c (PARSER = default)
ddl: CREATE LANGUAGE l
ddl: CREATE ACCESS METHOD m TYPE INDEX HANDLER h
ddl: CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))
ddl: ALTER TABLE customers ADD COLUMN a int
ddl: ALTER TABLE customers DROP COLUMN email
ddl: ALTER TABLE customers RENAME COLUMN email TO mail
ddl: ALTER TABLE customers RENAME TO c
ddl: ALTER TABLE customers SET SCHEMA x
ddl: ALTER TABLE customers OWNER TO postgres
ddl: ALTER TABLE customers DISABLE ROW LEVEL SECURITY
ddl: ALTER TABLE customers DISABLE TRIGGER ALL
ddl: ALTER TABLE customers ALTER email TYPE int USING email::int
ddl: ALTER TABLE customers ATTACH PARTITION p DEFAULT
ddl: ALTER VIEW v RENAME TO w
ddl: ALTER FUNCTION f() SECURITY DEFINER
ddl: ALTER ROLE r SUPERUSER
ddl: ALTER ROLE r SET search_path = x
ddl: ALTER DATABASE d SET a = 'b'
ddl: ALTER SYSTEM SET a = 'b'
ddl: ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC
ddl: ALTER SEQUENCE s RESTART
ddl: ALTER TYPE mood ADD VALUE 'x'
ddl: ALTER DOMAIN d DROP NOT NULL
ddl: ALTER EXTENSION e UPDATE
ddl: ALTER SCHEMA s RENAME TO t
ddl: ALTER SERVER s OPTIONS (a 'b')
ddl: ALTER POLICY p ON customers USING (true)
ddl: DROP TABLE customers
ddl: DROP TABLE IF EXISTS a, b CASCADE
ddl: DROP VIEW v
ddl: DROP MATERIALIZED VIEW v
ddl: DROP INDEX i
ddl: DROP SCHEMA public CASCADE
ddl: DROP FUNCTION f
ddl: DROP DATABASE d
ddl: DROP ROLE r
ddl: DROP OWNED BY r
ddl: DROP EXTENSION e
ddl: DROP TYPE mood
ddl: DROP SEQUENCE s
ddl: DROP TRIGGER t ON departments
ddl: DROP POLICY p ON customers
ddl: REASSIGN OWNED BY a TO b
ddl: COMMENT ON TABLE customers IS 'x'
ddl: SECURITY LABEL ON TABLE customers IS 'x'
ddl: GRANT SELECT ON customers TO PUBLIC
ddl: GRANT postgres TO x
ddl: REVOKE ALL ON customers FROM PUBLIC
dangerous: BEGIN
dangerous: START TRANSACTION READ WRITE
dangerous: COMMIT
dangerous: COMMIT AND CHAIN
dangerous: END
dangerous: ROLLBACK
dangerous: ABORT
dangerous: SAVEPOINT s
dangerous: RELEASE s
dangerous: ROLLBACK TO s
dangerous: PREPARE TRANSACTION 'x'
dangerous: COMMIT PREPARED 'x'
dangerous: SET a.b = 'c'
dangerous: SET search_path = public
dangerous: SET LOCAL search_path = public
dangerous: SET SESSION AUTHORIZATION postgres
dangerous: SET ROLE postgres
dangerous: SET TRANSACTION READ WRITE
dangerous: SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
dangerous: SET CONSTRAINTS ALL DEFERRED
dangerous: SET TIME ZONE 'UTC'
dangerous: RESET ALL
dangerous: RESET ROLE
dangerous: RESET SESSION AUTHORIZATION
dangerous: SHOW ALL
dangerous: SHOW search_path
dangerous: DISCARD ALL
dangerous: LISTEN x
dangerous: NOTIFY x, 'y'
dangerous: UNLISTEN *
dangerous: LOAD 'lib'
dangerous: LOCK TABLE customers
dangerous: LOCK customers IN ACCESS EXCLUSIVE MODE
dangerous: VACUUM
dangerous: VACUUM FULL customers
dangerous: ANALYZE
dangerous: CLUSTER customers
dangerous: REINDEX TABLE customers
dangerous: CHECKPOINT
dangerous: DO $$BEGIN DELETE FROM t; END$$
dangerous: DO LANGUAGE plpython3u 'x'
dangerous: CALL p()
dangerous: PREPARE p AS SELECT 1
dangerous: PREPARE p AS DELETE FROM t
dangerous: EXECUTE p
dangerous: DEALLOCATE ALL
dangerous: DECLARE c CURSOR WITH HOLD FOR SELECT 1
dangerous: FETCH c
dangerous: MOVE c
dangerous: CLOSE c
dangerous: COPY customers TO STDOUT
dangerous: COPY customers FROM STDIN
dangerous: COPY customers TO '/tmp/x'
dangerous: COPY customers TO PROGRAM 'id'
dangerous: COPY customers FROM PROGRAM 'id'
dangerous: COPY (SELECT 1) TO PROGRAM 'id'
dangerous: COPY (DELETE FROM departments RETURNING *) TO STDOUT
dangerous: EXPLAIN SELECT 1
dangerous: EXPLAIN ANALYZE DELETE FROM departments
dangerous: EXPLAIN (ANALYZE, VERBOSE) SELECT * FROM customers
dangerous: EXPLAIN ANALYZE EXECUTE p
dangerous: SELECT 1; SELECT 2
dangerous: SELECT 1; DROP TABLE departments
dangerous: COMMIT; DROP TABLE departments
dangerous: SELECT 1;; DELETE FROM departments
dangerous: ;
dangerous: \n
dangerous: --
dangerous: /* */
dangerous: /* /* */
dangerous: SELECT 'a
dangerous: SELECT "a
dangerous: SELECT $$a
dangerous: SELECT 1 /*
dangerous: SELECT E'\\'
dangerous: SELECT 1 \\; DROP TABLE x
dangerous: SELECT U&'\\0041' UESCAPE '!'
dangerous: SELECT * FROM U&"d!0061t" UESCAPE '!'
dangerous: SELECT pg_sleep(10)
dangerous: SELECT pg_catalog.pg_sleep(10)
dangerous: SELECT "pg_sleep"(10)
dangerous: SELECT pg_sleep_for('1 hour')
dangerous: SELECT * FROM pg_sleep(10)
dangerous: SELECT * FROM LATERAL pg_sleep(10)
dangerous: SELECT 1 FROM departments WHERE pg_sleep(1) IS NULL
dangerous: SELECT 1 ORDER BY pg_sleep(1)
dangerous: SELECT 1 LIMIT pg_backend_pid()
dangerous: SELECT 1 GROUP BY pg_sleep(1)
dangerous: SELECT sum(1) OVER (ORDER BY pg_sleep(1))
dangerous: SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL)
dangerous: VALUES (pg_sleep(1))
dangerous: SELECT CASE WHEN true THEN pg_sleep(1) END
dangerous: SELECT ARRAY[pg_sleep(1)]
dangerous: SELECT COALESCE(pg_sleep(1), NULL)
dangerous: SELECT (SELECT pg_sleep(1))
dangerous: SELECT json_build_object('a', pg_sleep(1))
dangerous: SELECT * FROM generate_series(1, pg_backend_pid())
dangerous: SELECT string_agg('a', pg_read_file('x'))
dangerous: SELECT * FROM XMLTABLE('/a' PASSING (pg_read_file('x')::xml) COLUMNS a text PATH '.')
dangerous: SELECT pg_read_file('/etc/passwd')
dangerous: SELECT pg_read_binary_file('x')
dangerous: SELECT pg_ls_dir('.')
dangerous: SELECT pg_ls_logdir()
dangerous: SELECT pg_stat_file('x')
dangerous: SELECT lo_import('/etc/passwd')
dangerous: SELECT lo_export(1, '/tmp/x')
dangerous: SELECT lo_create(1)
dangerous: SELECT lo_unlink(1)
dangerous: SELECT lo_put(1, 0, 'x')
dangerous: SELECT lowrite(1, 'x')
dangerous: SELECT loread(1, 1)
dangerous: SELECT pg_terminate_backend(1)
dangerous: SELECT pg_cancel_backend(1)
dangerous: SELECT pg_reload_conf()
dangerous: SELECT pg_rotate_logfile()
dangerous: SELECT pg_switch_wal()
dangerous: SELECT pg_create_restore_point('x')
dangerous: SELECT pg_promote()
dangerous: SELECT pg_advisory_lock(1)
dangerous: SELECT pg_try_advisory_xact_lock(1)
dangerous: SELECT pg_notify('a', 'b')
dangerous: SELECT pg_export_snapshot()
dangerous: SELECT pg_logical_emit_message(true, 'a', 'b')
dangerous: SELECT pg_create_logical_replication_slot('a', 'b')
dangerous: SELECT pg_drop_replication_slot('a')
dangerous: SELECT pg_stat_reset()
dangerous: SELECT pg_stat_get_activity(1)
dangerous: SELECT pg_get_functiondef(1)
dangerous: SELECT pg_get_userbyid(10)
dangerous: SELECT pg_current_logfile()
dangerous: SELECT pg_hba_file_rules()
dangerous: SELECT pg_show_all_settings()
dangerous: SELECT set_config('role', 'postgres', true)
dangerous: SELECT current_setting('data_directory')
dangerous: SELECT system_user
dangerous: SELECT pg_catalog.system_user()
dangerous: SELECT nextval('s')
dangerous: SELECT setval('s', 1)
dangerous: SELECT currval('s')
dangerous: SELECT lastval()
dangerous: SELECT setseed(0.5)
dangerous: SELECT txid_current()
dangerous: SELECT pg_current_xact_id()
dangerous: SELECT dblink_exec('x', 'y')
dangerous: SELECT dblink('dbname=x', 'SELECT 1')
dangerous: SELECT query_to_xml('DELETE FROM departments', true, true, '')
dangerous: SELECT query_to_xml_and_xmlschema('SELECT 1', true, true, '')
dangerous: SELECT database_to_xmlschema(true, true, '')
dangerous: SELECT ts_stat('SELECT 1')
dangerous: SELECT ts_rewrite('a'::tsquery, 'SELECT 1')
dangerous: SELECT crosstab('DELETE FROM departments')
dangerous: SELECT plpgsql_call_handler()
dangerous: SELECT fmgr_sql_validator(1)
dangerous: SELECT binary_upgrade_set_next_pg_type_oid(1)
dangerous: SELECT brin_summarize_new_values('x')
dangerous: SELECT gin_clean_pending_list('x')
dangerous: SELECT has_database_privilege('x', 'CREATE')
dangerous: SELECT row_security_active('customers')
dangerous: SELECT shout('x')
dangerous: SELECT public.shout('x')
dangerous: SELECT nosuch(1)
dangerous: SELECT nosuch.f(1)
dangerous: SELECT hidden.slug('x')
dangerous: SELECT a.b.c.d(1)
dangerous: SELECT (1).pg_sleep
dangerous: SELECT n.pg_sleep FROM generate_series(1, 3) n
dangerous: SELECT n.pg_terminate_backend FROM generate_series(1, 100000) n
dangerous: SELECT v.pg_read_file FROM (VALUES ('/etc/passwd')) v(x)
dangerous: SELECT t.lo_unlink FROM unnest(ARRAY[1]) t
dangerous: SELECT t.shout FROM unnest(ARRAY['a']) t
dangerous: SELECT 1::nosuch
dangerous: SELECT 'pg_class'::regclass
dangerous: SELECT 1::regrole
dangerous: SELECT 1::pg_catalog.regtype
dangerous: SELECT 'x'::cstring
dangerous: SELECT NULL::departments
dangerous: SELECT * FROM pg_class
dangerous: SELECT * FROM pg_catalog.pg_proc
dangerous: SELECT * FROM information_schema.tables
dangerous: SELECT * FROM pg_stat_activity
dangerous: SELECT * FROM pg_shadow
dangerous: SELECT * FROM pg_file_settings
dangerous: SELECT * FROM pg_temp.x
dangerous: SELECT * FROM nosuch
dangerous: SELECT 1 OPERATOR(public.+) 2
dangerous: SELECT 1 OPERATOR(pg_temp.+) 2
dangerous: SELECT ctid FROM departments
dangerous: SELECT xmin, xmax FROM departments
dangerous: SELECT d.cmin FROM departments d
dangerous: SELECT (d).tableoid FROM departments d
dangerous: SELECT * FROM departments WHERE CURRENT OF c
dangerous: SELECT * FROM departments TABLESAMPLE public.evil (1)
dangerous: SELECT $0
dangerous: SELECT :name
dangerous: SELECT `a`
dangerous: SELECT 1 INTO OUTFILE '/tmp/x'
dangerous: HANDLER t OPEN
dangerous: PRAGMA a
dangerous: USE x
dangerous: EXEC('x')
dangerous: BEGIN; DELETE FROM departments; COMMIT
dangerous: SELECT 1 \u200b
dangerous: SELECT \u202e1
dangerous: \ufeffSELECT 1
dangerous: SELECT "a\u200b"
dangerous: SELECT 1 -- \u202e
dangerous: SELECT \u00a01
dangerous: SELECT tollgate.token('email', 'a@b.example')
dangerous: SELECT "tollgate"."token"('email', email) FROM customers
dangerous: SELECT TOLLGATE . TOKEN ( 'email' , 'a' )
dangerous: SELECT token('email', 'a')
dangerous: SELECT * FROM tollgate.token('email', 'a')
dangerous: SELECT d.id FROM departments d, LATERAL tollgate.session_token('email', d.name) t
dangerous: SELECT * FROM ROWS FROM (tollgate.token('email', 'a'))
dangerous: SELECT * FROM tollgate.token_key
dangerous: TABLE tollgate.token_key
dangerous: SELECT U&"t\006fllgate".token('email', 'a')
dangerous: SELECT 'a' OPERATOR(tollgate.=) 'b'
dangerous: SELECT 'a'::tollgate.token_key
