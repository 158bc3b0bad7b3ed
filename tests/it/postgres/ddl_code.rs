//! A schema change runs as the account that owns the tables: nothing of the database's own runs with it, also what no
//! statement names.

use super::{Stand, code};

/// Made by the operator beside what `definer` owns.
const CODE: &str = "RESET ROLE;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION seen(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'as %', current_user; RETURN $1; END $$;
CREATE DOMAIN plain AS int CHECK (VALUE < 1000000);
GRANT USAGE ON TYPE mood, plain TO definer;
";

async fn stand(script: &str, listed: &[&str]) -> Stand {
    let listed = listed.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Stand::defining(&format!("{CODE} {script}"), |spec| spec.functions.extend(listed)).await
}

/// Every statement is available without the code, and none of them with it.
async fn refused(script: &str, listed: &[&str], statements: &[(&str, &str)]) {
    let (without, with) = (stand("", &[]).await, stand(script, listed).await);
    for (fine, own) in statements {
        without.defined(fine).await;
        let answer = with.undefined(own).await;
        assert_eq!(code(&answer), "statement_refused", "{own}: {answer}");
        assert!(answer.to_string().contains("code of its own"), "{own}: {answer}");
    }
    let log = with.server.log();
    assert!(!log.contains("as definer"), "{log}");
}

#[tokio::test]
async fn no_domain_with_code_of_its_own_is_given_to_a_column() {
    let script = "CREATE DOMAIN begun AS int DEFAULT seen(7); CREATE DOMAIN inside AS int CHECK (seen(VALUE) > 0);
        CREATE DOMAIN outside AS text CHECK (VALUE::inside > 0); CREATE TYPE pair AS (one inside, two int);
        CREATE DOMAIN held AS int CHECK (VALUE > 0) DEFAULT 1;
        CREATE FUNCTION more(int, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'as %', current_user; RETURN true; END $$;
        CREATE OPERATOR <<> (LEFTARG = int, RIGHTARG = int, FUNCTION = more);
        CREATE DOMAIN compared AS int CHECK (VALUE <<> 3); CREATE DOMAIN words AS tsquery;
        GRANT USAGE ON TYPE begun, inside, outside, compared, words, held TO definer;";
    refused(
        script,
        &["public.seen", "public.more"],
        &[
            (
                "ALTER TABLE orders ADD COLUMN a plain",
                "ALTER TABLE orders ADD COLUMN a begun",
            ),
            (
                "ALTER TABLE orders ADD COLUMN aa plain[]",
                "ALTER TABLE orders ADD COLUMN a words",
            ),
            ("CREATE TABLE early (a plain)", "CREATE TABLE early (a begun)"),
        ],
    )
    .await;
    let with = stand(script, &["public.seen", "public.more"]).await;
    for own in [
        "ALTER TABLE orders ADD COLUMN a inside DEFAULT 3",
        "ALTER TABLE orders ADD COLUMN a outside DEFAULT '3'",
        "ALTER TABLE orders ADD COLUMN a inside[] DEFAULT '{3}'",
        "ALTER TABLE orders ADD COLUMN a compared DEFAULT 3",
        "ALTER TABLE orders ALTER cents TYPE inside",
    ] {
        assert_eq!(code(&with.undefined(own).await), "statement_refused", "{own}");
    }
    with.defined("ALTER TABLE orders ADD COLUMN a held").await;
    assert!(!with.server.log().contains("as definer"));
}

#[tokio::test]
async fn no_cast_with_code_of_its_own_runs_also_where_agents_may_call_it() {
    let script = "CREATE FUNCTION to_mood(int) RETURNS mood LANGUAGE plpgsql AS
        $$ BEGIN RAISE WARNING 'as %', current_user; RETURN 'good'; END $$;
        CREATE CAST (int AS mood) WITH FUNCTION to_mood(int) AS ASSIGNMENT;";
    refused(
        script,
        &["public.to_mood"],
        &[
            (
                "ALTER TABLE orders ALTER cents TYPE bigint",
                "ALTER TABLE orders ALTER cents TYPE mood",
            ),
            (
                "ALTER TABLE orders ADD COLUMN m mood DEFAULT 'bad'",
                "ALTER TABLE orders ADD COLUMN m mood DEFAULT 3",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn no_operator_class_with_code_of_its_own_orders_an_index() {
    let script = "CREATE FUNCTION compare(int, int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN RAISE WARNING 'as %', current_user; RETURN $1 - $2; END $$;
        CREATE OPERATOR CLASS own_order FOR TYPE int USING btree AS
          OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 compare(int, int);";
    refused(
        script,
        &[],
        &[
            (
                "CREATE INDEX ON orders (cents)",
                "CREATE INDEX ON orders (cents own_order)",
            ),
            (
                "CREATE INDEX ON orders (cents int4_ops)",
                "CREATE UNIQUE INDEX ON orders (cents public.own_order)",
            ),
        ],
    )
    .await;
}
