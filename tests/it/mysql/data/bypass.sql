-- What each statement is. No query is anything but `read`; the reads are those of reads.sql. \n and \u stand for characters.
write: INSERT INTO departments VALUES (1, 'x', 1)
write: INSERT departments VALUES (1, 'x', 1)
write: INSERT INTO departments SELECT * FROM departments
write: insert/**/into departments(id) values(1)
write: /* x */ INSERT INTO departments (id) VALUES (1)
write: # SELECT\nINSERT INTO departments (id) VALUES (1)
write: -- SELECT\nINSERT INTO departments (id) VALUES (1)
write: INSERT IGNORE INTO departments (id) VALUES (1)
write: INSERT LOW_PRIORITY INTO departments (id) VALUES (1)
write: INSERT DELAYED INTO departments (id) VALUES (1)
write: INSERT INTO departments SET id = 1
write: INSERT INTO departments (id) VALUES (1) ON DUPLICATE KEY UPDATE name = 'x'
write: INSERT INTO departments (id) VALUES (1) RETURNING id
write: INSERT INTO departments () VALUES ()
write: REPLACE INTO departments VALUES (1, 'x', 1)
write: REPLACE departments SET id = 1
write: WITH a AS (SELECT 1) INSERT INTO departments (id) SELECT * FROM a
write: INSERT INTO departments (id) WITH a AS (SELECT 1) SELECT * FROM a
write: UPDATE departments SET name = 'x'
write: UPDATE departments SET name = 'x' WHERE id = 1
write: UPDATE LOW_PRIORITY IGNORE departments SET name = 'x'
write: UPDATE departments d, categories c SET d.name = c.name
write: UPDATE departments d JOIN categories c ON c.id = d.id SET d.name = c.name
write: WITH a AS (SELECT 1 AS id) UPDATE departments, a SET name = 'x'
write: DELETE FROM departments
write: DELETE FROM departments WHERE id = 1 RETURNING name
write: DELETE QUICK FROM departments
write: DELETE d FROM departments d JOIN categories c ON c.id = d.id
write: DELETE FROM d USING departments d
write: WITH a AS (SELECT 1 AS id) DELETE FROM departments WHERE id IN (SELECT id FROM a)
write: (DELETE FROM departments)
write: TRUNCATE departments
write: TRUNCATE TABLE departments
write: LOAD DATA INFILE '/etc/passwd' INTO TABLE departments
write: LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE departments
write: LOAD XML INFILE '/tmp/x' INTO TABLE departments
write: SELECT * INTO OUTFILE '/tmp/x' FROM departments
write: SELECT * FROM departments INTO OUTFILE '/tmp/x'
write: SELECT name FROM departments INTO DUMPFILE '/tmp/x'
write: SELECT 1 INTO @a
write: SELECT id FROM departments LIMIT 1 INTO @a
write: SELECT 1 UNION SELECT 2 INTO OUTFILE '/tmp/x'
write: (SELECT 1) INTO OUTFILE '/tmp/x'
write: (SELECT 1 INTO OUTFILE '/tmp/x')
write: SELECT * FROM (SELECT 1 INTO OUTFILE '/tmp/x') t
write: WITH a AS (SELECT 1) SELECT * FROM a INTO OUTFILE '/tmp/x'
write: SELECT 1 in\u200bto outfile '/tmp/x'
write: SELECT 1 /*! INTO OUTFILE '/tmp/x' */
write: SELECT 1 /*!50000 INTO OUTFILE '/tmp/x' */
write: SELECT 1 /*M! INTO OUTFILE '/tmp/x' */
write: SELECT 1 /*M!100100 INTO OUTFILE '/tmp/x' */
write: SELECT * FROM departments FOR UPDATE
write: SELECT * FROM departments FOR UPDATE SKIP LOCKED
write: SELECT * FROM departments FOR UPDATE NOWAIT
write: SELECT * FROM departments FOR UPDATE OF departments
write: SELECT * FROM departments FOR SHARE
write: SELECT * FROM departments LOCK IN SHARE MODE
write: SELECT * FROM departments LIMIT 1 OFFSET 1 LOCK IN SHARE MODE
write: SELECT * FROM (SELECT * FROM departments FOR UPDATE) x
write: SELECT id FROM departments WHERE id IN (SELECT id FROM departments FOR UPDATE)
write: WITH a AS (SELECT * FROM departments FOR UPDATE) SELECT * FROM a
write: SELECT @a := 1
write: SELECT @a := @a + 1 FROM departments
write: SELECT id, (@n := @n + 1) FROM departments, (SELECT @n := 0) t
write: SET @a = 1
write: SET @a := 1
write: SET GLOBAL general_log = 1
write: SET SESSION sql_mode = 'ANSI_QUOTES'
write: SET sql_mode = ''
write: SET NAMES gbk
write: SET CHARACTER SET gbk
write: SET PASSWORD = PASSWORD('x')
write: SET STATEMENT max_statement_time = 0 FOR SELECT 1
write: SET TRANSACTION READ WRITE
write: SET autocommit = 0
write: SET ROLE admin
ddl: CREATE TABLE t (a int)
ddl: CREATE TEMPORARY TABLE customers (a int)
ddl: CREATE TABLE t AS SELECT * FROM customers
ddl: CREATE TABLE t SELECT * FROM customers
ddl: CREATE TABLE t LIKE customers
ddl: CREATE OR REPLACE TABLE t (a int)
ddl: CREATE VIEW v AS SELECT * FROM customers
ddl: CREATE OR REPLACE VIEW v AS SELECT 1
ddl: CREATE INDEX i ON customers (email)
ddl: CREATE FULLTEXT INDEX i ON articles (body)
ddl: CREATE DATABASE d
ddl: CREATE SCHEMA d
ddl: CREATE USER u IDENTIFIED BY 'x'
ddl: CREATE ROLE r
ddl: CREATE FUNCTION f() RETURNS int RETURN 1
ddl: CREATE FUNCTION f RETURNS STRING SONAME 'x.so'
ddl: CREATE PROCEDURE p() SELECT 1
ddl: CREATE TRIGGER t BEFORE INSERT ON departments FOR EACH ROW SET NEW.id = 1
ddl: CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM departments
ddl: CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')
ddl: CREATE SEQUENCE s
ddl: ALTER TABLE departments ADD COLUMN x int
ddl: ALTER VIEW customer_overview AS SELECT 1
ddl: ALTER DATABASE shop CHARACTER SET latin1
ddl: ALTER USER u IDENTIFIED BY 'x'
ddl: DROP TABLE departments
ddl: DROP VIEW customer_overview
ddl: DROP DATABASE shop
ddl: DROP INDEX i ON customers
ddl: DROP USER u
ddl: DROP FUNCTION f
ddl: RENAME TABLE departments TO d
ddl: RENAME USER a TO b
ddl: GRANT ALL ON *.* TO u
ddl: REVOKE ALL ON *.* FROM u
ddl: FLUSH PRIVILEGES
ddl: FLUSH TABLES WITH READ LOCK
ddl: RESET MASTER
ddl: PURGE BINARY LOGS TO 'x'
ddl: OPTIMIZE TABLE departments
ddl: REPAIR TABLE departments
ddl: ANALYZE TABLE departments
ddl: CHECK TABLE departments
ddl: INSTALL PLUGIN x SONAME 'x.so'
ddl: UNINSTALL PLUGIN x
ddl: INSTALL SONAME 'x'
dangerous: SELECT 1; DROP TABLE departments
dangerous: SELECT 1; SELECT 2
dangerous: ;SELECT 1; DELETE FROM departments;
dangerous: SELECT ';'; DELETE FROM departments
dangerous: SELECT 'a\\\\'; DELETE FROM departments; -- '
dangerous: SELECT "a\\\\"; DELETE FROM departments; -- "
dangerous: SELECT `a`; DELETE FROM departments
dangerous: DELIMITER //
dangerous: SELECT SLEEP(10)
dangerous: SELECT sleep (10)
dangerous: SELECT `sleep`(10)
dangerous: SELECT SLEEP/**/(10)
dangerous: SELECT id FROM departments WHERE SLEEP(1) = 0
dangerous: SELECT id FROM departments ORDER BY SLEEP(1)
dangerous: SELECT id FROM departments GROUP BY SLEEP(1)
dangerous: SELECT id FROM departments LIMIT 1 PROCEDURE ANALYSE()
dangerous: SELECT BENCHMARK(1000000, MD5('x'))
dangerous: SELECT GET_LOCK('x', 10)
dangerous: SELECT RELEASE_LOCK('x')
dangerous: SELECT RELEASE_ALL_LOCKS()
dangerous: SELECT IS_USED_LOCK('x')
dangerous: SELECT MASTER_POS_WAIT('x', 1)
dangerous: SELECT MASTER_GTID_WAIT('0-1-1')
dangerous: SELECT WAIT_FOR_EXECUTED_GTID_SET('x')
dangerous: SELECT LOAD_FILE('/etc/passwd')
dangerous: SELECT LAST_INSERT_ID(7)
dangerous: SELECT UUID_SHORT()
dangerous: SELECT UUID()
dangerous: SELECT SETVAL(s, 1)
dangerous: SELECT NEXTVAL(s)
dangerous: SELECT NEXT VALUE FOR s
dangerous: SELECT s.nextval
dangerous: SELECT s.currval FROM departments
dangerous: SELECT LASTVAL(s)
dangerous: SELECT SYS_EXEC('id')
dangerous: SELECT my_function(1)
dangerous: SELECT shop.my_function(1)
dangerous: SELECT `shop`.`my_function`(1)
dangerous: SELECT mysql.x(1)
dangerous: SELECT shop.count(1)
dangerous: SELECT EXTRACTVALUE(1, CONCAT('~', (SELECT email FROM customers LIMIT 1)))
dangerous: SELECT UPDATEXML(1, CONCAT('~', (SELECT email FROM customers LIMIT 1)), 1)
dangerous: SELECT USER()
dangerous: SELECT CURRENT_USER
dangerous: SELECT CURRENT_USER()
dangerous: SELECT SESSION_USER()
dangerous: SELECT SYSTEM_USER()
dangerous: SELECT CURRENT_ROLE
dangerous: SELECT CURRENT_ROLE()
dangerous: SELECT DATABASE()
dangerous: SELECT SCHEMA()
dangerous: SELECT VERSION()
dangerous: SELECT CONNECTION_ID()
dangerous: SELECT FOUND_ROWS()
dangerous: SELECT ROW_COUNT()
dangerous: SELECT PASSWORD('x')
dangerous: SELECT ENCRYPT('x')
dangerous: SELECT AES_DECRYPT('x', 'y')
dangerous: SELECT NAME_CONST('a', 1)
dangerous: SELECT @@version
dangerous: SELECT @@global.secure_file_priv
dangerous: SELECT @@session.sql_mode
dangerous: SELECT @a
dangerous: SELECT @`a`
dangerous: SELECT @'a'
dangerous: SELECT ROWNUM()
dangerous: SELECT ST_ASTEXT(1)
dangerous: SELECT COLUMN_GET(payload, 'a' AS CHAR) FROM events
dangerous: SELECT DEFAULT(name) FROM departments
dangerous: SELECT VALUES(name) FROM departments
dangerous: SELECT VALUE(name) FROM departments
dangerous: SELECT * FROM mysql.user
dangerous: SELECT * FROM `mysql`.`user`
dangerous: SELECT * FROM mysql . user
dangerous: SELECT * FROM mysql/**/.user
dangerous: SELECT * FROM information_schema.tables
dangerous: SELECT * FROM INFORMATION_SCHEMA.PROCESSLIST
dangerous: SELECT * FROM performance_schema.threads
dangerous: SELECT * FROM sys.session
dangerous: SELECT * FROM shop_masked.customers
dangerous: SELECT * FROM other.customers
dangerous: SELECT * FROM SHOP.customers
dangerous: SELECT * FROM def.shop.customers
dangerous: SELECT * FROM shop.shop.customers
dangerous: SELECT * FROM nosuch
dangerous: SELECT * FROM CUSTOMERS
dangerous: SELECT mysql.user.host FROM mysql.user
dangerous: SELECT other.customers.email FROM customers
dangerous: SELECT shop_masked.customers.email FROM customers
dangerous: SELECT (SELECT host FROM mysql.user LIMIT 1)
dangerous: SELECT 1 FROM departments WHERE id IN (SELECT 1 FROM mysql.user)
dangerous: SELECT * FROM departments JOIN mysql.user ON 1 = 1
dangerous: SELECT * FROM departments NATURAL JOIN mysql.user
dangerous: SELECT * FROM (departments, mysql.user)
dangerous: SELECT * FROM departments UNION SELECT * FROM mysql.user
dangerous: WITH a AS (SELECT * FROM mysql.user) SELECT * FROM a
dangerous: WITH user AS (SELECT 1) SELECT * FROM mysql.user
dangerous: WITH nosuch AS (SELECT 1) SELECT * FROM shop.nosuch
dangerous: WITH nosuch AS (SELECT 1) SELECT * FROM NoSuch
dangerous: SELECT * FROM (WITH nosuch AS (SELECT 1) SELECT * FROM nosuch) t, nosuch
dangerous: SELECT 1 UNION TABLE customers
dangerous: TABLE customers
dangerous: (TABLE customers)
dangerous: SELECT * FROM (TABLE customers) t
dangerous: SELECT 1 IN (TABLE customers)
dangerous: SELECT * FROM customers PARTITION (p0)
dangerous: SELECT * FROM customers FOR SYSTEM_TIME ALL
dangerous: SELECT * FROM customers FOR SYSTEM_TIME AS OF NOW()
dangerous: SELECT * FROM { OJ customers LEFT OUTER JOIN orders ON 1 = 1 }
dangerous: SELECT * FROM customers USE INDEX (email)
dangerous: SELECT * FROM customers FORCE INDEX (PRIMARY)
dangerous: SELECT * FROM customers IGNORE KEY (email)
dangerous: SELECT /*+ SET_VAR(sql_mode='') */ 1
dangerous: SELECT /*+ MAX_EXECUTION_TIME(1) */ 1
dangerous: SELECT /*!50000 * FROM mysql.user */
dangerous: SELECT /*! SLEEP(10) */
dangerous: SELECT/*!999999 1*/ 2
dangerous: SELECT 1 /* a /* b */ c */
dangerous: SELECT 1 /*/
dangerous: SELECT 1 /* open
dangerous: SELECT 1 */ 2
dangerous: SELECT 'open
dangerous: SELECT "open
dangerous: SELECT `open
dangerous: SELECT ``
dangerous: SELECT `a``b` FROM departments
dangerous: SELECT _latin1'a'
dangerous: SELECT _gbk X'bf27'
dangerous: SELECT _utf8mb4 'a'
dangerous: SELECT N'a'
dangerous: SELECT n"a"
dangerous: SELECT \N
dangerous: SELECT $$a$$
dangerous: SELECT $a FROM departments
dangerous: SELECT 1abc FROM departments
dangerous: SELECT departments.1 FROM departments
dangerous: SELECT 0X1F
dangerous: SELECT 1e FROM departments
dangerous: SELECT a\u202eb FROM departments
dangerous: SELECT\ufeff1
dangerous: SELECT\u00a01
dangerous: SELECT 'a' || 'b'
dangerous: SELECT BINARY name = 'x' FROM departments
dangerous: SELECT [1]
dangerous: SELECT name FROM departments QUALIFY 1
dangerous: SELECT name::text FROM departments
dangerous: SELECT name FROM departments LIMIT 1 BY name
dangerous: SELECT HIGH_PRIORITY name FROM departments
dangerous: SELECT SQL_CALC_FOUND_ROWS name FROM departments
dangerous: SELECT SQL_BUFFER_RESULT name FROM departments
dangerous: SELECT TOP 1 name FROM departments
dangerous: FROM departments
dangerous: SELECT name FROM departments |> WHERE 1
dangerous: SELECT * FROM UNNEST(1)
dangerous: SELECT * FROM TABLE(x)
dangerous: SELECT * FROM generate_series(1, 2)
dangerous: SELECT * FROM departments TABLESAMPLE (10)
dangerous: SELECT * FROM departments PIVOT (SUM(id) FOR name IN ('a'))
dangerous: SELECT * EXCLUDE name FROM departments
dangerous: EXPLAIN SELECT * FROM customers
dangerous: EXPLAIN FORMAT=JSON SELECT * FROM customers
dangerous: EXPLAIN EXTENDED SELECT * FROM customers
dangerous: ANALYZE FORMAT=JSON SELECT * FROM customers
dangerous: ANALYZE SELECT * FROM customers
dangerous: EXPLAIN UPDATE departments SET name = 'x'
dangerous: EXPLAIN FOR CONNECTION 1
dangerous: DESCRIBE customers
dangerous: DESC customers email
dangerous: SHOW TABLES
dangerous: SHOW CREATE TABLE customers
dangerous: SHOW VARIABLES
dangerous: SHOW PROCESSLIST
dangerous: SHOW INDEX FROM customers
dangerous: SHOW WARNINGS
dangerous: SHOW GRANTS
dangerous: HELP 'x'
dangerous: HANDLER customers OPEN
dangerous: HANDLER customers READ FIRST
dangerous: CALL p()
dangerous: DO SLEEP(1)
dangerous: EXECUTE IMMEDIATE 'SELECT 1'
dangerous: PREPARE p FROM 'SELECT 1'
dangerous: EXECUTE p
dangerous: DEALLOCATE PREPARE p
dangerous: BEGIN
dangerous: BEGIN NOT ATOMIC SELECT 1; END
dangerous: START TRANSACTION
dangerous: COMMIT
dangerous: ROLLBACK
dangerous: SAVEPOINT a
dangerous: XA START 'x'
dangerous: LOCK TABLES customers READ
dangerous: UNLOCK TABLES
dangerous: KILL 1
dangerous: SHUTDOWN
dangerous: USE mysql
dangerous: CHANGE MASTER TO MASTER_HOST = 'x'
dangerous: START SLAVE
dangerous: STOP SLAVE
dangerous: BACKUP STAGE START
dangerous: SIGNAL SQLSTATE '45000'
dangerous: GET DIAGNOSTICS @a = NUMBER
dangerous: CACHE INDEX t1 IN hot
dangerous: BINLOG 'x'
dangerous: CHECKSUM TABLE customers
dangerous: IF 1 THEN SELECT 1; END IF
dangerous: 
dangerous: ;
dangerous: /* only */
dangerous: -- only
dangerous: 1
