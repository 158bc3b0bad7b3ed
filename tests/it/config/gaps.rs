//! What a set-up does not protect against, and that closing a gap takes it off the list.

use tollgate::config::gaps::gaps;

use super::{LEAST, parse};

fn ids(rest: &str) -> Vec<&'static str> {
    gaps(&parse(&format!("{LEAST}{rest}")).unwrap())
        .iter()
        .map(|gap| gap.id)
        .collect()
}

/// A gap is there in one set-up and gone in the other.
fn closes(id: &str, open: &str, closed: &str) {
    assert!(
        ids(open).contains(&id),
        "{id} is not said of:\n{open}\n{:?}",
        ids(open)
    );
    assert!(!ids(closed).contains(&id), "{id} is still said of:\n{closed}");
}

#[test]
fn limits_of_what_tollgate_is_are_always_said() {
    for id in ["stdio-same-user", "stdio-no-approval"] {
        assert!(ids("").contains(&id), "{id}");
    }
    let all = gaps(&parse(LEAST).unwrap());
    assert!(
        all.iter()
            .all(|gap| gap.what.ends_with('.') && gap.advice.ends_with('.')),
        "{all:#?}"
    );
}

#[test]
fn each_avoidable_gap_is_closed_by_what_it_advises() {
    let issuer = "[[issuer]]\nname = \"corp\"\nurl = \"https://login.example.com\"\nmode = \"bearer\"\n";
    closes("no-issuer", "", issuer);
    closes(
        "any-client",
        issuer,
        &format!("{issuer}client_ids = [\"claude\"]\n"),
    );
    closes("plain-jwt", &format!("{issuer}accept_typ_jwt = true\n"), issuer);
    let facade = "[[issuer]]\nname = \"corp\"\nurl = \"https://login.example.com\"\nclient_id = \"tollgate\"\n[facade]\nkey = \"env:K\"\n";
    for of_bearers in ["any-client", "token-lifetime", "claimed-agent"] {
        closes(of_bearers, issuer, facade);
    }
    for of_sessions in ["session-recheck", "loopback-client"] {
        closes(of_sessions, facade, issuer);
    }
    closes(
        "self-registration",
        &format!("{facade}registration = true\n"),
        facade,
    );
    closes(
        "private-documents",
        &format!("{facade}client_documents_private = true\n"),
        facade,
    );
    closes(
        "empty-group",
        "[groups]\ndba = []\n",
        "[groups]\ndba = [\"local:0\"]\n",
    );

    let open = "[server]\nlisten = \"0.0.0.0:1\"\npublic_url = \"https://t.example.com\"\n";
    closes("clear-text-listener", open, &open.replace("0.0.0.0", "127.0.0.1"));
    closes("loopback-only", "", open);
    let control = "[server]\ncontrol_listen = \"127.0.0.1:1\"\ncontrol_url = \"http://localhost:1\"\n";
    closes("no-control-side", "", control);
    let decides = format!("{control}{issuer}control_audience = \"people\"\n");
    closes("nobody-decides", &format!("{control}{issuer}"), &decides);
    let strong = format!("{decides}control_acr = [\"phr\"]\n");
    let keys = "[approval]\nwebauthn = \"required\"\n";
    closes(
        "first-security-key",
        &format!("{decides}{keys}"),
        &format!("{strong}{keys}"),
    );
    assert!(!ids(&decides).contains(&"first-security-key"), "nobody has any");
    let outside = control.replace("http://localhost:1", "https://approve.example.com");
    closes("control-beside-agents", control, &outside);
    closes(
        "clear-text-control",
        &outside.replace("127.0.0.1", "0.0.0.0"),
        &outside,
    );
    let webhook =
        "[[approval.channel]]\nkind = \"webhook\"\nurl = \"https://h.example.com\"\nsecret = \"env:H\"\n";
    closes(
        "private-webhook",
        &format!("{control}{webhook}allow_private = true\n"),
        &format!("{control}{webhook}"),
    );

    let audit = "[audit]\ncheckpoint_file = \"/mnt/elsewhere/log\"\nkey_file = \"/etc/keys/journal\"\n";
    closes("no-outside-checkpoint", "", audit);
    closes("key-beside-journal", "", audit);
    closes(
        "checkpoint-beside-journal",
        "[audit]\ncheckpoint_file = \"log\"\n",
        audit,
    );
}

#[test]
fn h3_that_people_of_two_issuers_can_be_one_is_said() {
    let control = "[server]\ncontrol_listen = \"127.0.0.1:1\"\ncontrol_url = \"http://localhost:1\"\n";
    let one = "[[issuer]]\nname = \"corp\"\nurl = \"https://login.example.com\"\nmode = \"bearer\"\ncontrol_audience = \"people\"\n";
    let two = "[[issuer]]\nname = \"partner\"\nurl = \"https://login.example.org\"\nmode = \"bearer\"\n";
    let disjoint = "[approval]\ndisjoint_issuers = true\n";
    closes(
        "one-person-two-issuers",
        &format!("{control}{disjoint}{one}{two}"),
        &format!("{control}{disjoint}{one}"),
    );
    closes(
        "one-issuer-approves",
        &format!("{control}{one}{two}"),
        &format!("{control}{disjoint}{one}{two}"),
    );
}

#[test]
fn each_resource_is_looked_at() {
    let git = "[[resource]]\nname = \"web\"\nkind = \"git\"\npath = \"web.git\"\nrefs = [\"refs/heads/main\"]\nhidden = [\".env*\"]\n";
    closes("empty-refs", &git.replace("\"refs/heads/main\"", ""), git);
    closes("any-branch", &git.replace("refs/heads/main", "refs/heads/*"), git);
    closes("nothing-hidden", &git.replace("\".env*\"", ""), git);

    let base =
        "[classes]\nemail = \"null\"\n[[resource]]\nname = \"shop\"\nkind = \"sqlite\"\npath = \"shop.db\"\n";
    let sqlite = format!("{base}[resource.columns]\n\"a.id\" = \"public\"\n\"a.mail\" = \"email\"\n");
    closes(
        "columns-shown",
        &format!("{base}columns_default = \"show\"\n"),
        &sqlite,
    );
    closes("all-masked", base, &sqlite);
    closes("partial-mask", &sqlite.replace("\"null\"", "\"domain\""), &sqlite);
    closes("token-mask", &sqlite.replace("\"null\"", "\"token\""), &sqlite);
    let served = sqlite
        .replace("\"sqlite\"", "\"postgres\"")
        .replace("path = \"shop.db\"", "url = \"postgres://a@localhost/b\"");
    let shows = served.replace(
        "[resource.columns]",
        "columns_default = \"show\"\n[resource.columns]",
    );
    closes("columns-shown", &shows, &served);
}
