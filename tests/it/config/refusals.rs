//! One test per family of mistakes; the snapshots are what a person reads.

use insta::assert_snapshot;
use tollgate::config::Kind;
use tollgate::resource::sql::ColumnsDefault;

use super::{LEAST, parse, refusal, refusal_of};

const GIT: &str =
    "[[resource]]\nname = \"web\"\nkind = \"git\"\npath = \"web.git\"\nrefs = [\"refs/heads/main\"]\n";
const SQLITE: &str = "[[resource]]\nname = \"shop\"\nkind = \"sqlite\"\npath = \"shop.db\"\n";
const ISSUER: &str = "[[issuer]]\nname = \"corp\"\nurl = \"https://login.example.com\"\nmode = \"bearer\"\n";

#[test]
fn the_smallest_configuration_has_these_defaults() {
    let config = parse(LEAST).unwrap();
    assert_snapshot!(format!("{:#?}", (&config.server.listen, config.server.public_url.as_str(), &config.store, &config.limits, &config.audit, &config.policies)), @r#"
    (
        127.0.0.1:7330,
        "http://127.0.0.1:7330/",
        Store {
            address: File(
                "/etc/tollgate/tollgate.db",
            ),
            password: None,
        },
        Limits {
            call: Limits {
                rows: 1000,
                bytes: 1048576,
                seconds: 30,
            },
            calls: 256,
            calls_per_person: 64,
            lookups_per_hour: 20,
            body_bytes: 1048576,
        },
        Audit {
            key_file: "/etc/tollgate/tollgate.key",
            checkpoint_file: None,
            origin: "127.0.0.1/tollgate",
            checkpoint_every: 1000,
            disk_floor: 67108864,
            disk_warn: 1073741824,
        },
        Policies {
            dir: "/etc/tollgate/policies",
            candidate: None,
        },
    )
    "#);
}

/// Row 17: `read_only-true` was accepted and meant read-write.
#[test]
fn incident_17_an_unknown_key_is_a_refusal_to_start() {
    assert_snapshot!(refusal_of("read_only-true = true\n"), @r#"
    tollgate.toml:3:1: unknown key `read_only-true` in [store]
      instead: the keys here are `url`, `password`
    "#);
    assert_snapshot!(refusal_of("[limits]\nrow = 5\n"), @r#"
    tollgate.toml:4:1: unknown key `row` in [limits]
      instead: did you mean `rows`?
    "#);
    assert_snapshot!(refusal_of(&format!("{SQLITE}lables = [\"pii\"]\n")), @r#"
    tollgate.toml:7:1: unknown key `lables` in [[resource]]
      instead: did you mean `labels`?
    "#);
    assert_snapshot!(refusal_of(&format!("{SQLITE}[resource.colums]\n\"a.b\" = \"public\"\n")), @r#"
    tollgate.toml:7:11: unknown key `colums` in the header [resource.colums]
      instead: did you mean `columns`?
    "#);
    assert_snapshot!(refusal_of("[servr]\n"), @r#"
    tollgate.toml:3:2: unknown key `servr` in the header [servr]
      instead: did you mean `server`?
    "#);
    for section in ["server", "policies", "tools", "limits", "approval", "audit"] {
        let refused = refusal_of(&format!("[{section}]\nunheard_of = 1\n"));
        assert!(refused.contains("unknown key `unheard_of` in"), "{refused}");
    }
    for table in ["issuer", "resource", "approval.channel"] {
        let refused = refusal_of(&format!("[[{table}]]\nunheard_of = 1\n"));
        assert!(refused.contains("unknown key `unheard_of` in"), "{refused}");
    }
}

#[test]
fn toml_mistakes_are_placed() {
    assert_snapshot!(refusal("[store]\nurl = sqlite:tollgate.db\n"), @r#"
    tollgate.toml:2:7: string values must be quoted, expected literal string (in [store])
      instead: see docs/configuration.md
    "#);
    assert_snapshot!(refusal("[store\n"), @r#"
    tollgate.toml:1:7: unclosed table, expected `]` (at the top of the file)
      instead: see docs/configuration.md
    "#);
    assert_snapshot!(refusal("[store]\n"), @r#"
    tollgate.toml:1:1: `url` is missing in [store]
      instead: see docs/configuration.md
    "#);
    assert_snapshot!(refusal(""), @r#"
    tollgate.toml: [store] is missing: without it nothing could be recorded
      instead: add [store] with url = "sqlite:tollgate.db"
    "#);
    assert_snapshot!(refusal_of("[limits]\nrows = \"many\"\n"), @r#"
    tollgate.toml:4:8: a string where a whole number is expected, in [limits]
      instead: see docs/configuration.md
    "#);
    assert_snapshot!(refusal_of("[server]\nlisten = 7330\n"), @r#"
    tollgate.toml:4:10: an integer where a string is expected, in [server]
      instead: see docs/configuration.md
    "#);
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_file() {
    let text = format!(
        "{LEAST}[limits]\nrows = 0\nseconds = -1\n{SQLITE}columns_default = \"hide\"\n[classes]\npublic = \"null\"\n"
    );
    assert_snapshot!(refusal(&text), @r#"
    tollgate.toml:4:8: rows = 0 is out of range
      instead: write a number from 1 to 1000000
    tollgate.toml:5:11: seconds = -1 is out of range
      instead: write a number from 1 to 3600
    tollgate.toml:10:19: unknown columns_default `hide`
      instead: the values are `mask`, `show`
    tollgate.toml:12:1: the class `public` is built in
      instead: choose another name: `public` always shows, `unlisted` is what no line in columns names
    "#);
}

#[test]
fn store() {
    assert_snapshot!(refusal("[store]\nurl = \"postgres://db.example.com/tollgate\"\n"), @r#"
    tollgate.toml:2:7: the store's url names no user, host or database
      instead: write `postgres://user@host:port/database`
    "#);
    let password = refusal("[store]\nurl = \"postgres://tollgate:hunter2@db.example.com/tollgate\"\n");
    assert!(password.contains("the store's url holds a password") && !password.contains("hunter2"));
    let file = refusal("[store]\nurl = \"sqlite:a.db\"\npassword = \"env:X\"\n");
    assert!(file.contains("a file has no password"), "{file}");
    assert_snapshot!(refusal("[store]\nurl = \"sqlite::memory:\"\n"), @r#"
    tollgate.toml:2:7: the store must be one file: the journal has to outlive the process
      instead: write `sqlite:` and a path without ? or #
    "#);
    assert_snapshot!(refusal("[store]\nurl = \"tollgate.db\"\n"), @r#"
    tollgate.toml:2:7: the store's url is none Tollgate knows
      instead: write `sqlite:tollgate.db`, or `postgres://user@host/database`
    "#);
}

#[test]
fn public_urls_are_https_or_this_machine() {
    let server = |lines: &str| refusal_of(&format!("[server]\n{lines}\n"));
    assert_snapshot!(server("public_url = \"http://tollgate.example.com\""), @r#"
    tollgate.toml:4:14: public_url is not https, so tokens would cross the network in the clear
      instead: write https:// and put a TLS proxy in front; http is for loopback hosts only
    "#);
    assert_snapshot!(server("public_url = \"https://tollgate.example.com/mcp\""), @r#"
    tollgate.toml:4:14: public_url has more than scheme, host and port
      instead: leave out everything after the port; MCP is served at /mcp below it
    "#);
    assert_snapshot!(server("public_url = \"tollgate.example.com\""), @r#"
    tollgate.toml:4:14: public_url is not a URL (relative URL without a base)
      instead: write e.g. "https://tollgate.example.com"
    "#);
    assert_snapshot!(server("public_url = \"https://a:b@tollgate.example.com\""), @r#"
    tollgate.toml:4:14: public_url carries a user name or password
      instead: write e.g. "https://tollgate.example.com"
    "#);
    assert_snapshot!(server("public_url = \"http://0.0.0.0:7330\""), @r#"
    tollgate.toml:4:14: public_url names no host a client could reach
      instead: write the host name clients use; 0.0.0.0 and [::] only make sense in listen
    "#);
    assert_snapshot!(server("listen = \"0.0.0.0:7330\""), @r#"
    tollgate.toml:4:10: public_url is missing although listen is not a loopback address
      instead: add the address clients use, e.g. public_url = "https://tollgate.example.com"
    "#);
    assert_snapshot!(server("listen = \"localhost:7330\""), @r#"
    tollgate.toml:4:10: `localhost:7330` is not an IP address and port
      instead: write "127.0.0.1:7330", or "[::1]:7330" for IPv6
    "#);
    let good = parse(&format!(
        "{LEAST}[server]\nlisten = \"0.0.0.0:7330\"\npublic_url = \"https://t.example.com\"\n"
    ));
    assert_eq!(good.unwrap().server.mcp_url(), "https://t.example.com/mcp");
    for loopback in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost"] {
        assert!(
            parse(&format!("{LEAST}[server]\npublic_url = \"{loopback}\"\n")).is_ok(),
            "{loopback}"
        );
    }
    for elsewhere in [
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://128.0.0.1",
    ] {
        assert!(
            parse(&format!("{LEAST}[server]\npublic_url = \"{elsewhere}\"\n")).is_err(),
            "{elsewhere}"
        );
    }
}

#[test]
fn the_side_for_people_is_apart() {
    let server = |lines: &str| refusal_of(&format!("[server]\n{lines}\n"));
    assert_snapshot!(server("control_listen = \"127.0.0.1:7331\""), @r#"
    tollgate.toml:4:18: control_listen and control_url belong together
      instead: write both, or neither
    "#);
    assert_snapshot!(server("control_listen = \"127.0.0.1:7330\"\ncontrol_url = \"http://127.0.0.1:7331\""), @r#"
    tollgate.toml:4:18: control_listen is the same address as listen
      instead: give the people's side its own port, e.g. "127.0.0.1:7331"
    tollgate.toml:5:15: control_url has the same host name as public_url, so cookies of one would reach the other
      instead: give the people's side its own host name; on one machine use localhost for one, 127.0.0.1 for the other
    "#);
    let issuer = format!("{ISSUER}audience = \"x\"\ncontrol_audience = \"x\"\n");
    assert_snapshot!(refusal_of(&issuer), @r#"
    tollgate.toml:8:20: control_audience is the same as audience, so an agent's token would open the people's side
      instead: give the people's side its own audience, e.g. "tollgate-control"
    "#);
    let facade = "[[issuer]]\nname = \"corp\"\nurl = \"https://login.example.com\"\nclient_id = \"x\"\ncontrol_audience = \"x\"\n";
    assert!(
        refusal_of(facade).contains("control_audience is the same as client_id"),
        "{}",
        refusal_of(facade)
    );
    let login = refusal_of(&format!(
        "{ISSUER}login_client_id = \"x\"\ncontrol_audience = \"x\"\n"
    ));
    assert!(
        login.contains("control_audience is the same as login_client_id"),
        "{login}"
    );
}

#[test]
fn issuers() {
    let issuer = |lines: &str| refusal_of(&format!("{ISSUER}{lines}\n"));
    assert_snapshot!(refusal_of("[[issuer]]\nname = \"corp\"\n"), @r#"
    tollgate.toml:3:1: `url` is missing in [[issuer]]
      instead: see docs/configuration.md
    "#);
    assert_snapshot!(refusal_of("[[issuer]]\nname = \"local\"\nurl = \"http://login.example.com\"\nmode = \"bearer\"\n"), @r#"
    tollgate.toml:4:8: `local` is a name Tollgate keeps for itself
      instead: give an issuer another name
    tollgate.toml:5:7: an issuer's url is not https
      instead: write exactly what `iss` says in its tokens, e.g. "https://login.example.com"; http is for loopback hosts only
    "#);
    assert_snapshot!(refusal_of("[[issuer]]\nname = \"Corp\"\nurl = \"https://login.example.com/?x\"\nmode = \"bearer\"\n"), @r#"
    tollgate.toml:4:8: `Corp` cannot be the name of an issuer
      instead: use 1 to 63 of a-z 0-9 _ - : it is the first part of every user's id
    tollgate.toml:5:7: an issuer's url has more than scheme, host and path
      instead: write exactly what `iss` says in its tokens, e.g. "https://login.example.com"; http is for loopback hosts only
    "#);
    assert_snapshot!(refusal_of(&format!("{ISSUER}{ISSUER}")), @r#"
    tollgate.toml:8:8: there is another issuer `corp`
      instead: give each issuer its own name; names that differ only in case count as the same
    tollgate.toml:9:7: another [[issuer]] has the same url, so its tokens would belong to two
      instead: name each issuer once
    "#);
    let facade = ISSUER.replace("mode = \"bearer\"\n", "");
    assert_snapshot!(refusal_of(&facade), @r#"
    tollgate.toml:4:8: there is no client_id, which mode "facade" (the default) needs
      instead: add client_id, the id of the client you registered there for Tollgate; or mode = "bearer" if agents bring its access tokens
    "#);
    assert_snapshot!(refusal_of(&format!("{facade}client_id = \"x\"\nopaque = true\n")), @r#"
    tollgate.toml: [facade] has no key: what identity providers give us for asking again must not lie open in the store
      instead: add [facade] with key = "env:TOLLGATE_FACADE_KEY", and make one with `openssl rand -base64 32`
    tollgate.toml:7:10: opaque is of no use in mode facade
      instead: leave it out, or change the mode
    "#);
    assert_snapshot!(issuer("audience = \" \""), @r#"
    tollgate.toml:7:12: audience is empty
      instead: write a value, or leave the key out
    "#);
    assert_snapshot!(issuer("groups_claim = \"groups\""), @r#"
    tollgate.toml:7:16: groups_claim is not a JSON pointer (RFC 6901)
      instead: start with a slash, e.g. "/groups" or "/realm_access/roles"
    "#);
    assert_snapshot!(issuer("algorithms = [\"HS256\", \"none\"]"), @r#"
    tollgate.toml:7:15: the algorithm `HS256` is not accepted
      instead: name what the issuer signs with, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA
    tollgate.toml:7:24: the algorithm `none` is not accepted
      instead: name what the issuer signs with, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA
    "#);
    assert_snapshot!(issuer("algorithms = []"), @r#"
    tollgate.toml:7:14: algorithms is empty, so no token could be accepted
      instead: leave it out for the default, or name what the issuer signs with
    "#);
    assert_snapshot!(issuer("client_ids = []"), @r#"
    tollgate.toml:7:14: client_ids is empty, so no agent could call
      instead: name the clients, or leave client_ids out to accept every client of this issuer
    "#);
    assert_snapshot!(issuer("required_scopes = [\"mcp:read mcp:write\"]"), @r#"
    tollgate.toml:7:20: a required scope is not one scope
      instead: write each as its own text: ["mcp:read", "mcp:write"]
    "#);
    assert_snapshot!(issuer("jwks_uri = \"http://keys.example.com\""), @r#"
    tollgate.toml:7:12: jwks_uri is not an https URL
      instead: write the address, or leave it out to use the issuer's discovery document
    "#);
    let issuer = &parse(&format!("{LEAST}{ISSUER}groups_cut_at = 0\n"))
        .unwrap()
        .issuers[0];
    assert_eq!(
        (issuer.groups_cut_at, issuer.accept_typ_jwt, &issuer.client_ids),
        (None, false, &None)
    );
    assert_eq!(issuer.audience, "http://127.0.0.1:7330/mcp");
    assert!(issuer.algorithms.iter().all(|name| !name.starts_with("HS")));
}

#[test]
fn groups() {
    let groups = |line: &str| refusal_of(&format!("{ISSUER}groups_claim = \"/groups\"\n[groups]\n{line}\n"));
    assert_snapshot!(groups("analyst = [\"analysts\"]"), @r#"
    tollgate.toml:9:12: `analysts` does not say whose claim it is
      instead: write "<issuer name>:<group there>", or "local:<user name>"
    "#);
    assert_snapshot!(groups("analyst = [\"crop:analysts\"]"), @r#"
    tollgate.toml:9:12: there is no issuer `crop`
      instead: did you mean `corp`?
    "#);
    assert_snapshot!(groups("analyst = [\"corp:\"]"), @r#"
    tollgate.toml:9:12: `corp:` does not say whose claim it is
      instead: write "<issuer name>:<group there>", or "local:<user name>"
    "#);
    assert_snapshot!(groups("\"a b\" = []"), @r#"
    tollgate.toml:9:1: `a b` cannot be the name of a group
      instead: use 1 to 63 of a-z A-Z 0-9 _ - . and start with a letter or digit
    "#);
    assert_snapshot!(groups("dba = []\nDBA = []"), @r#"
    tollgate.toml:9:1: there is another group `dba`
      instead: give each group its own name; names that differ only in case count as the same
    "#);
    assert_snapshot!(refusal_of(&format!("{ISSUER}[groups]\nanalyst = [\"corp:analysts\"]\n")), @r#"
    tollgate.toml:8:12: issuer `corp` has no groups_claim, so nobody could be in this group
      instead: add groups_claim to the [[issuer]], e.g. groups_claim = "/groups"
    "#);
    let config = parse(&format!("{LEAST}[groups]\ndba = [\"local:al:ice\"]\n")).unwrap();
    assert_eq!(config.groups["dba"][0].value, "al:ice");
}

#[test]
fn names_are_unique_and_not_ours() {
    assert_snapshot!(refusal_of(&format!("{GIT}{GIT}")), @r#"
    tollgate.toml:9:8: there is another resource `web`
      instead: give each resource its own name; names that differ only in case count as the same
    "#);
    assert_snapshot!(refusal_of(&format!("{GIT}{}", GIT.replace("web\"", "Web\""))), @r#"
    tollgate.toml:9:8: there is another resource `Web`
      instead: give each resource its own name; names that differ only in case count as the same
    "#);
    assert_snapshot!(refusal_of(&GIT.replace("\"web\"", "\"tollgate\"")), @r#"
    tollgate.toml:4:8: `tollgate` is a name Tollgate keeps for itself
      instead: give a resource another name
    "#);
    assert_snapshot!(refusal_of(&GIT.replace("\"web\"", "\"we b\"")), @r#"
    tollgate.toml:4:8: `we b` cannot be the name of a resource
      instead: use 1 to 63 of a-z A-Z 0-9 _ - . and start with a letter or digit
    "#);
    assert_snapshot!(refusal_of(&GIT.replace("\"web\"", "\"\"")), @r#"
    tollgate.toml:4:8: `` cannot be the name of a resource
      instead: use 1 to 63 of a-z A-Z 0-9 _ - . and start with a letter or digit
    "#);
}

#[test]
fn kinds() {
    for later in ["ssh", "http"] {
        let refused = refusal_of(&SQLITE.replace("sqlite", later));
        assert!(refused.contains("not available in this version"), "{refused}");
    }
    assert_snapshot!(refusal_of(&SQLITE.replace("sqlite", "ssh")), @r#"
    tollgate.toml:5:8: resources of kind "ssh" are not available in this version
      instead: this version has the kinds `git`, `sqlite`, `postgres`, `mysql` and `shell`
    "#);
    assert_snapshot!(refusal_of(&SQLITE.replace("sqlite", "oracle")), @r#"
    tollgate.toml:5:8: unknown kind `oracle`
      instead: the kinds of this version are `git`, `sqlite`, `postgres`, `mysql`, `shell`
    "#);
    assert_snapshot!(refusal_of(&GIT.replace("path = \"web.git\"", "url = \"https://git.example.com/web.git\"")), @r#"
    tollgate.toml:6:7: remote repositories come later
      instead: clone it (git clone --mirror) and give `path`
    "#);
    assert_snapshot!(refusal_of(&format!("{SQLITE}refs = []\n")), @r#"
    tollgate.toml:7:8: `refs` does not belong to a resource of kind "sqlite"
      instead: take it out, or correct `kind`
    "#);
    assert_snapshot!(refusal_of(&format!("{GIT}columns_default = \"show\"\nworkdir = \"work\"\n")), @r#"
    tollgate.toml:8:19: `columns_default` does not belong to a resource of kind "git"
      instead: take it out, or correct `kind`
    tollgate.toml:9:11: `workdir` does not belong to a resource of kind "git"
      instead: take it out, or correct `kind`
    "#);
    assert_snapshot!(refusal_of("[[resource]]\nname = \"web\"\nkind = \"git\"\n"), @r#"
    tollgate.toml:4:8: a git resource does not say which refs may be read
      instead: add refs = ["refs/heads/main", "refs/tags/*"]
    "#);
    assert_snapshot!(refusal_of("[[resource]]\nname = \"shop\"\nkind = \"sqlite\"\n"), @r#"
    tollgate.toml:4:8: `shop` has no path
      instead: add path = "…", relative to this file
    "#);
}

#[test]
fn refs_and_hidden_paths() {
    let refs = |refs: &str| refusal_of(&GIT.replace("\"refs/heads/main\"", refs));
    assert_snapshot!(refs("\"main\""), @r#"
    tollgate.toml:7:9: `main` is not a full ref name
      instead: write "refs/heads/main"
    "#);
    assert_snapshot!(refs("\"--upload-pack=x\""), @r#"
    tollgate.toml:7:9: `--upload-pack=x` is not a full ref name
      instead: write "refs/heads/--upload-pack=x"
    "#);
    for bad in [
        "*",
        "refs/*/main",
        "refs/heads/../x",
        "refs/heads/a b",
        "HEAD~1",
        "refs/heads/",
        "refs//x",
        "refs/x.lock",
    ] {
        assert!(
            refs(&format!("\"{bad}\"")).contains("is not a full ref name"),
            "{bad}"
        );
    }
    assert_snapshot!(refusal_of(&format!("{GIT}hidden = [\" \"]\n")), @r#"
    tollgate.toml:8:11: ` ` hides nothing
      instead: write a gitignore pattern, e.g. "*.pem" or "secrets/", or take it out
    "#);
    let config = parse(&format!("{LEAST}{}", GIT.replace("\"refs/heads/main\"", ""))).unwrap();
    assert!(
        config.resource("web").is_some(),
        "an empty list is allowed, and allows nothing"
    );
}

#[test]
fn classes_and_columns() {
    let columns = |line: &str| {
        refusal_of(&format!(
            "[classes]\nemail = \"null\"\n{SQLITE}[resource.columns]\n{line}\n"
        ))
    };
    assert_snapshot!(columns("\"customers.email\" = \"emial\""), @r#"
    tollgate.toml:10:21: unknown class `emial`
      instead: did you mean `email`? (a class is defined in [classes], as in email = "constant")
    "#);
    assert_snapshot!(columns("customers = \"email\""), @r#"
    tollgate.toml:10:1: `customers` does not name a column
      instead: write "table.column" = "class", with the quotes
    "#);
    assert_snapshot!(columns("\"Customers.Email\" = \"email\"\n\"customers.email\" = \"public\""), @r#"
    tollgate.toml:11:1: there is another column `customers.email`
      instead: give each column its own name; names that differ only in case count as the same
    "#);
    assert_snapshot!(refusal_of("[classes]\npublic = \"null\"\n"), @r#"
    tollgate.toml:4:1: the class `public` is built in
      instead: choose another name: `public` always shows, `unlisted` is what no line in columns names
    "#);
    assert_snapshot!(refusal_of("[classes]\nPhone_2 = \"token\"\n"), @r#"
    tollgate.toml:4:1: the class `Phone_2` cannot have tokens: of `phone` there are too few values
      instead: a token tells which values are equal, and who can have guesses compared finds them all; write "constant", or "last4" or "domain" if that much may show
    "#);
    assert_snapshot!(refusal_of("[masking]\ntokens = \"sessions\"\n"), @r#"
    tollgate.toml:4:10: unknown scope of tokens `sessions`
      instead: did you mean `session`?
    "#);
    assert_snapshot!(refusal_of("[classes]\nemail = \"hash\"\n"), @r#"
    tollgate.toml:4:9: unknown way to mask `hash`
      instead: the ways to mask are `constant`, `null`, `last4`, `domain`, `token`
    "#);
}

#[test]
fn tokens_are_for_what_cannot_be_counted_up_and_nobody_names_our_own_schema() {
    let resource = |kind: &str, rest: &str, columns: &str| {
        format!(
            "[classes]\ncode = \"token\"\n[[resource]]\nname = \"x\"\nkind = \"{kind}\"\n{rest}\n[resource.columns]\n{columns}\n"
        )
    };
    let few = refusal_of(&resource(
        "sqlite",
        "path = \"shop.db\"",
        "\"people.dateOfBirth\" = \"code\"",
    ));
    assert!(
        few.contains("the column `dateOfBirth` cannot have tokens"),
        "{few}"
    );
    let url = "url = \"postgres://a@localhost/b\"";
    for (line, wrong) in [
        ("schemas = [\"tollgate\"]", "cannot be a schema"),
        ("functions = [\"tollgate.token\"]", "does not name a function"),
        ("session = \"tollgate.session\"", "cannot be a session variable"),
    ] {
        let refused = refusal_of(&resource(
            "postgres",
            &format!("{url}\n{line}"),
            "\"a.b\" = \"public\"",
        ));
        assert!(refused.contains(wrong), "{line}: {refused}");
    }
    let session = format!("{LEAST}[masking]\ntokens = \"session\"\n[classes]\nemail = \"token\"\n");
    let config = parse(&session).unwrap();
    let style = tollgate::resource::sql::MaskStyle::Token(tollgate::resource::sql::TokenScope::Session);
    assert_eq!(config.classes["email"], style);
    assert!(config.token_key_file.to_string_lossy().ends_with(".tokens.key"));
}

/// Two resources whose masking views have one place and are not the same would undo each other's.
#[test]
fn masking_views_of_two_resources_are_apart_or_the_same() {
    let two = |rest: &str, columns: &str| {
        format!(
            "[[resource]]\nname = \"x\"\nkind = \"mysql\"\nurl = \"mysql://a@localhost/shop\"\n[resource.columns]\n\"a.b\" = \"public\"\n\
             [[resource]]\nname = \"y\"\nkind = \"mysql\"\n{rest}\n[resource.columns]\n{columns}\n"
        )
    };
    let (same, other) = ("\"a.b\" = \"public\"", "\"a.c\" = \"public\"");
    for (rest, columns) in [
        ("url = \"mysql://b@localhost/shop\"", other),
        ("url = \"mysql://b@localhost:3306/shop\"", other),
        (
            "url = \"mysql://b@localhost/blog\"\nviews = \"SHOP_tollgate\"",
            same,
        ),
        (
            "url = \"mysql://b@localhost/shop\"\nviews = \"shop_tollgate_key\"",
            same,
        ),
        (
            "url = \"mysql://b@localhost/shop\"\ncolumns_default = \"show\"",
            "\"a.b\" = \"public\"\n\"a.c\" = \"none\"",
        ),
    ] {
        let refused = refusal_of(&format!("[classes]\nnone = \"null\"\n{}", two(rest, columns)));
        assert!(
            refused.contains("`y` and `x` would have different masking views"),
            "{rest}: {refused}"
        );
        assert!(refused.contains("views = \"y_views\""), "{rest}: {refused}");
    }
    for (rest, columns) in [
        ("url = \"mysql://b@localhost/shop\"", same), // another account, the same views
        ("url = \"mysql://b@localhost/shop\"\nviews = \"shop_y\"", other),
        ("url = \"mysql://b@localhost:3307/shop\"", other),
        (
            "url = \"mysql://b@localhost/shop\"\ncolumns_default = \"show\"",
            same,
        ), // reads the tables
    ] {
        let text = format!("{LEAST}{}", two(rest, columns));
        assert!(parse(&text).is_ok(), "{rest}: {:?}", parse(&text).err());
    }
}

/// Row 44: a default key shared by every installation opened the gateway.
#[test]
fn incident_44_a_secret_is_a_reference_and_has_no_default() {
    let channel = |secret: &str| {
        refusal_of(&format!(
            "[[approval.channel]]\nkind = \"webhook\"\nurl = \"https://hook.example.com\"\n{secret}"
        ))
    };
    assert_snapshot!(channel(""), @r#"
    tollgate.toml:4:8: the webhook has no secret, so nobody could tell our notices from forged ones
      instead: add secret = "env:NAME" with a Standard Webhooks secret (whsec_…)
    "#);
    assert_snapshot!(channel("secret = \"\"\n"), @r#"
    tollgate.toml:6:10: secret: is empty
      instead: write "env:NAME" for an environment variable or "file:/absolute/path" for a file
    "#);
    assert_snapshot!(refusal_of("[[approval.channel]]\nkind = \"pigeon\"\nsecret = \"env:HOOK\"\n"), @r#"
    tollgate.toml:4:8: unknown kind of channel `pigeon`
      instead: the kinds of channel in this version are `webhook`, `teams`, `mail`, `slack`
    "#);
    assert_snapshot!(
        refusal_of("[[approval.channel]]\nkind = \"webhook\"\nurl = \"http://hook.example.com\"\nsecret = \"env:HOOK\"\n"),
        @r#"
    tollgate.toml:5:7: the webhook's url is not an https URL
      instead: write https://… without user name and fragment; http is for loopback hosts only
    "#
    );
    let literal = channel("secret = \"hunter2\"\n");
    assert!(
        literal.contains("a secret must never be written into configuration"),
        "{literal}"
    );
    assert!(!literal.contains("hunter2"), "{literal}");
}

#[test]
fn a_value_of_the_wrong_type_is_not_repeated() {
    let refused = refusal_of("[approval]\nchannel = \"hunter2\"\n");
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[test]
fn audit() {
    let audit = |line: &str| refusal_of(&format!("[audit]\n{line}\n"));
    assert_snapshot!(audit("origin = \"my log\""), @r#"
    tollgate.toml:4:10: origin cannot name a log
      instead: write something like a URL without its scheme, without spaces or +, e.g. "tollgate.example.com/journal"
    "#);
    assert_snapshot!(audit("disk_floor = 2097152\ndisk_warn = 1048576"), @r#"
    tollgate.toml:5:13: disk_warn = 1048576 is out of range
      instead: write at least 2097152
    "#);
    assert_snapshot!(audit("checkpoint_every = 0"), @r#"
    tollgate.toml:4:20: checkpoint_every = 0 is out of range
      instead: write a number from 1 to 1000000
    "#);
    assert_snapshot!(audit("key_file = \"\""), @r#"
    tollgate.toml:4:12: a path is empty
      instead: write the path of a file or folder
    "#);
}

/// Row 5: the default was unrestricted.
#[test]
fn incident_05_what_is_not_said_is_the_strict_choice() {
    let config = parse(&format!("{LEAST}{SQLITE}")).unwrap();
    let Kind::Sqlite(shop) = &config.resources[0].kind else {
        panic!("not sqlite")
    };
    assert_eq!(shop.columns_default, ColumnsDefault::Mask);
    assert!(config.groups.is_empty() && config.issuers.is_empty() && config.tools.is_none());
    assert!(config.server.listen.ip().is_loopback());
    assert!(refusal_of(&GIT.replace("refs = [\"refs/heads/main\"]\n", "")).contains("which refs"));
}

/// Rows 13 and 18: servers that could be run without anybody having to sign in.
#[test]
fn incidents_13_and_18_nothing_switches_authentication_off() {
    for mode in ["none", "anonymous", "off", "", "disabled"] {
        let refused = refusal_of(&ISSUER.replace("bearer", mode));
        assert!(refused.contains("unknown mode"), "{refused}");
    }
    assert!(refusal_of(&format!("{ISSUER}algorithms = [\"none\"]\n")).contains("not accepted"));
    for key in [
        "anonymous",
        "allow_anonymous",
        "auth",
        "insecure",
        "token",
        "api_key",
    ] {
        let refused = refusal_of(&format!("[server]\n{key} = true\n"));
        assert!(refused.contains("unknown key"), "{refused}");
    }
    assert!(refusal_of("[groups]\neverybody = [\"*\"]\n").contains("whose claim"));
}

#[test]
fn security_keys_need_a_name_and_a_page_nobody_can_change_on_its_way() {
    let with = |control: &str, webauthn: &str| {
        let server = format!("[server]\ncontrol_listen = \"127.0.0.1:7331\"\ncontrol_url = \"{control}\"\n");
        let text = format!("{server}{LEAST}");
        parse(&format!("{text}[approval]\nwebauthn = \"{webauthn}\"\n"))
    };
    for (control, webauthn, needed) in [
        ("https://approve.example.com", "required", true),
        ("http://localhost:7331", "required", true),
        ("https://approve.example.com", "off", false),
        ("https://192.0.2.1", "off", false),
    ] {
        assert_eq!(
            with(control, webauthn).unwrap().approval.security_key,
            needed,
            "{control}"
        );
    }
    let insecure = with("http://approve.example.com", "required").unwrap_err();
    assert!(
        insecure.contains("control_url is not https") && !insecure.contains("webauthn"),
        "{insecure}"
    );
    for control in [
        "https://192.0.2.1",
        "https://[2001:db8::1]",
        "http://127.0.0.1:7331",
    ] {
        let refused = with(control, "required").unwrap_err();
        assert!(
            refused.contains("browsers use no security keys at this control_url"),
            "{refused}"
        );
    }
    let refused = with("https://approve.example.com", "on").unwrap_err();
    assert!(refused.contains("neither \"off\" nor \"required\""), "{refused}");
    let refused = parse(&format!("{LEAST}[approval]\nwebauthn = \"required\"\n"))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("without a side for people"), "{refused}");
}
