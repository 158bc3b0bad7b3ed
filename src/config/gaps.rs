//! What a set-up does not protect against, derived from it and said before anybody relies on it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::is_loopback;
use super::{Config, Facade, Git, Kind, Shell};
use crate::resource::sql::{ColumnsDefault, MaskStyle};

/// One thing this set-up does not protect against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// A stable word for machines.
    pub id: &'static str,
    /// Whether the configuration could close it. The others are limits of what Tollgate is.
    pub avoidable: bool,
    /// What is not protected.
    pub what: String,
    /// What closes or narrows it.
    pub advice: String,
}

/// Every gap of a configuration; the same configuration always gives the same list.
#[must_use]
pub fn gaps(config: &Config) -> Vec<Gap> {
    let mut list = List::default();
    stdio(&mut list);
    people(config, &mut list);
    network(config, &mut list);
    for resource in &config.resources {
        match &resource.kind {
            Kind::Git(git) => repository(&resource.name, git, &mut list),
            Kind::Sqlite(sqlite) => {
                let columns = (&sqlite.columns, sqlite.columns_default);
                database(&resource.name, columns, config, &mut list);
            }
            Kind::Postgres(postgres) => {
                let columns = (&postgres.columns, postgres.columns_default);
                database(&resource.name, columns, config, &mut list);
            }
            Kind::Mysql(mysql) => {
                let columns = (&mysql.columns, mysql.columns_default);
                database(&resource.name, columns, config, &mut list);
            }
            Kind::Shell(shell) => commands(&resource.name, shell, &mut list),
        }
    }
    journal(config, &mut list);
    list.0
}

#[derive(Default)]
struct List(Vec<Gap>);

impl List {
    fn limit(&mut self, id: &'static str, what: impl Into<String>, advice: impl Into<String>) {
        self.push(id, false, what.into(), advice.into());
    }

    fn avoidable(&mut self, id: &'static str, what: impl Into<String>, advice: impl Into<String>) {
        self.push(id, true, what.into(), advice.into());
    }

    fn push(&mut self, id: &'static str, avoidable: bool, what: String, advice: String) {
        self.0.push(Gap {
            id,
            avoidable,
            what,
            advice,
        });
    }
}

fn stdio(list: &mut List) {
    list.limit(
        "stdio-same-user",
        "`tollgate stdio` runs as you: an agent that has a shell there can read the databases, repositories, \
         policies and journal directly. It guards against mistakes and leaks to the model, not against an \
         agent that sets out to get around it.",
        "Run `tollgate serve` under its own user or on another host, and take the old credentials away.",
    );
    list.limit(
        "stdio-no-approval",
        "Over `tollgate stdio` no second person is asked: a policy with @approval answers approval_unavailable, \
         and @confirm may come from the same person.",
        "Let calls that need a second person go to `tollgate serve`.",
    );
}

fn people(config: &Config, list: &mut List) {
    if config.issuers.is_empty() {
        list.avoidable(
            "no-issuer",
            "Nobody can call over HTTP: there is no [[issuer]].",
            "Add the identity provider of your organisation, or use stdio alone.",
        );
    }
    if let Some(facade) = &config.facade
        && config.issuers.iter().any(|issuer| issuer.mode.is_facade())
    {
        signed_in(facade, list);
    }
    let bearers = config.issuers.iter().filter(|issuer| !issuer.mode.is_facade());
    for (at, issuer) in bearers.enumerate() {
        if at == 0 {
            own_tokens(list);
        }
        if issuer.accept_typ_jwt {
            list.avoidable(
                "plain-jwt",
                format!(
                    "Issuer `{}` may send tokens of type JWT, which ID tokens are as well.",
                    issuer.name
                ),
                "Let the issuer mark access tokens as at+jwt (RFC 9068), and take accept_typ_jwt out.",
            );
        }
        if issuer.client_ids.is_none() {
            list.avoidable(
                "any-client",
                format!(
                    "Any program that issuer `{}` gives tokens to may call.",
                    issuer.name
                ),
                "List the agents you registered in client_ids.",
            );
        }
    }
    for (group, claims) in &config.groups {
        if claims.is_empty() {
            list.avoidable(
                "empty-group",
                format!("Nobody is in group `{group}`: a forbid that names it forbids nobody."),
                format!("Name its claims in [groups], or take `{group}` out of groups and policies."),
            );
        }
    }
}

/// Of sessions of the facade.
fn signed_in(facade: &Facade, list: &mut List) {
    list.limit(
        "session-recheck",
        format!(
            "Somebody who has left, or lost a group, can go on for {} seconds, and for {} where the identity provider \
             gives nothing to ask again with.",
            facade.recheck.as_secs(),
            facade.unchecked.as_secs()
        ),
        "Lower recheck_seconds and unchecked_seconds, or let the provider tell of logouts \
         (<public_url>/oauth/logged-out/<issuer>).",
    );
    list.limit(
        "loopback-client",
        "Which program listens at a loopback address nobody can say: another one on the person's computer can ask \
         in the name of a known one. People are told where their yes leads.",
        "Write policies on people and resources, not on client_id alone.",
    );
    if facade.registration {
        list.avoidable(
            "self-registration",
            "Any program may register itself, under any name: people alone decide whom they say yes to.",
            "Take registration out; add the programs you know as [[facade.client]].",
        );
    }
    if facade
        .documents
        .as_ref()
        .is_some_and(|documents| documents.allow_private)
    {
        list.avoidable(
            "private-documents",
            "Strangers can make this server look at addresses of private networks (client_documents_private).",
            "Take it out where your agents' documents are at public addresses.",
        );
    }
}

/// Of tokens that issuers sign for agents themselves.
fn own_tokens(list: &mut List) {
    list.limit(
        "token-lifetime",
        "A token of an issuer with mode = \"bearer\" stays good until it expires, also after the person has left.",
        "Let the issuer give access tokens for an hour or less, or let people sign in here (mode = \"facade\").",
    );
    list.limit(
        "claimed-agent",
        "Which program speaks for a person is only as certain as the issuer's client_id; the name a client \
         gives itself is a claim.",
        "Register each agent as its own client at the issuer, and write policies on client_id.",
    );
}

fn commands(name: &str, shell: &Shell, list: &mut List) {
    list.limit(
        "shared-kernel",
        format!(
            "Programs of `{name}` run on this machine's kernel: a fault in the kernel is a way out of the sandbox."
        ),
        "Keep the kernel up to date, and run Tollgate on a host that holds nothing else.",
    );
    list.limit(
        "work-folder-size",
        format!(
            "Nothing bounds how much the programs of `{name}` may write into a work folder over many calls."
        ),
        "Put workdir on a file system of its own, or under a quota.",
    );
    if shell.programs.is_empty() {
        list.avoidable(
            "no-programs",
            format!("`{name}` allows no program, so every command is refused."),
            "Add names to programs.",
        );
    }
}

fn network(config: &Config, list: &mut List) {
    let server = &config.server;
    if !server.listen.ip().is_loopback() {
        list.avoidable(
            "clear-text-listener",
            format!(
                "{} speaks plain HTTP: whoever can see that network reads tokens and answers.",
                server.listen
            ),
            "Listen on 127.0.0.1 behind a TLS proxy on the same machine, or keep that network to the proxy.",
        );
    } else if is_loopback(&server.public_url) {
        list.limit(
            "loopback-only",
            "Only programs on this machine can connect, and every user of this machine can try.",
            "For other machines put a TLS proxy in front and set public_url to its https address.",
        );
    }
    control(config, list);
}

fn several_issuers(config: &Config, list: &mut List) {
    let mut issuers = config.issuers.iter();
    if config.issuers.len() < 2 || issuers.all(|issuer| issuer.control_audience.is_none()) {
        return;
    }
    if config.approval.disjoint_issuers {
        list.limit(
            "one-person-two-issuers",
            "Somebody with accounts at two issuers is two people here: they can approve at one what they asked for at the other.",
            "Map the groups that approve to one issuer, and let nobody in them have an account at another one that agents use.",
        );
    } else {
        list.limit(
            "one-issuer-approves",
            "People of another issuer than the requester's can refuse and not approve: their account could be the requester's second one.",
            "Where nobody has accounts at two of them, set disjoint_issuers = true in [approval].",
        );
    }
}

fn control(config: &Config, list: &mut List) {
    several_issuers(config, list);
    let Some(control) = &config.server.control else {
        list.avoidable(
            "no-control-side",
            "Nobody can be asked: without control_listen and control_url a policy with @approval answers approval_unavailable.",
            "Set both, and control_audience of an [[issuer]].",
        );
        return;
    };
    if config
        .issuers
        .iter()
        .all(|issuer| issuer.control_audience.is_none())
    {
        list.avoidable(
            "nobody-decides",
            "Nobody can sign in on the people's side: no [[issuer]] has a control_audience, so every request expires.",
            "Register a client for it at the issuer, and set control_audience to its client id.",
        );
    }
    let weak = |issuer: &super::Issuer| issuer.control_audience.is_some() && issuer.control_acr.is_empty();
    if config.approval.security_key && config.issuers.iter().any(weak) {
        list.avoidable(
            "first-security-key",
            "A first security key is registered with a sign-in alone: whoever can sign in as somebody who has none can.",
            "Let control_acr name a class of sign-in that cannot be phished, and look at tollgate security-keys list until everybody has theirs.",
        );
    }
    if !control.listen.ip().is_loopback() {
        list.avoidable(
            "clear-text-control",
            format!(
                "{} speaks plain HTTP: whoever can see that network reads and takes over people's sessions.",
                control.listen
            ),
            "Listen on 127.0.0.1 behind a TLS proxy on the same machine, or keep that network to the proxy.",
        );
    }
    if is_loopback(&control.url) {
        list.avoidable(
            "control-beside-agents",
            "The people's side is on loopback, beside agents with a shell: and cookies know no port, so any server on localhost that the deciding browser visits is handed its session.",
            "Put it behind TLS under a host name of its own, and let people decide from another machine or user.",
        );
    }
    integrations(config, list);
    notices(config, list);
}

fn notices(config: &Config, list: &mut List) {
    if config
        .mail
        .as_ref()
        .is_some_and(super::Mail::is_readable_underway)
    {
        list.avoidable(
            "clear-text-mail",
            "Mail goes to its server in clear text: whoever can see or change that network reads who asks for what, and can put other links into the mail.",
            "Take clear_text out: TLS is what every mail server of today offers.",
        );
    }
    let private = config.webhooks.iter().any(|webhook| webhook.allow_private);
    let private = private || config.mail.as_ref().is_some_and(|mail| mail.allow_private);
    if private || config.teams.iter().any(|teams| teams.allow_private) {
        list.avoidable(
            "private-webhook",
            "Notices may go to addresses of private networks.",
            "Take allow_private out where the receiver has a public address.",
        );
    }
}

fn integrations(config: &Config, list: &mut List) {
    let decides = |webhook: &super::Webhook| {
        let callback = webhook.callback.as_ref()?;
        (!callback.groups.is_empty()).then(|| callback.name.clone())
    };
    let deciding: Vec<String> = config.webhooks.iter().filter_map(decides).collect();
    if !deciding.is_empty() {
        list.avoidable(
            "deciding-integration",
            format!(
                "Whoever holds the key of {} approves as it, with one vote; for whom it says it does is a claim that nobody here can check.",
                deciding.join(", ")
            ),
            "Let policy ask for it beside people: a group of its own, @approval(\"1 dba, 1 portal\"), and @risk(\"high\") where it must not decide.",
        );
    }
}

fn repository(name: &str, git: &Git, list: &mut List) {
    if git.refs.is_empty() {
        list.avoidable(
            "empty-refs",
            format!("`{name}` allows no ref, so nothing in it can be read."),
            "Add refs, e.g. [\"refs/heads/main\"].",
        );
    }
    if git
        .refs
        .iter()
        .any(|reference| matches!(reference.as_str(), "refs/*" | "refs/heads/*"))
    {
        list.avoidable(
            "any-branch",
            format!("Whoever can push a branch to `{name}` decides what agents read there."),
            "Allow protected branches by name.",
        );
    }
    if git.hidden.is_empty() {
        list.avoidable(
            "nothing-hidden",
            format!(
                "`{name}` hides no path: only content masks stand between a committed secret and a model."
            ),
            "Add hidden, e.g. [\".env*\", \"*.pem\", \"secrets/\"].",
        );
    }
}

fn database(
    name: &str,
    (columns, default): (&BTreeMap<String, String>, ColumnsDefault),
    config: &Config,
    list: &mut List,
) {
    if default == ColumnsDefault::Show {
        list.avoidable(
            "columns-shown",
            format!("`{name}` shows every column nobody listed, also one that is added tomorrow."),
            "Take columns_default out and list the public columns.",
        );
    } else if !columns.values().any(|class| class == "public") {
        list.avoidable(
            "all-masked",
            format!("`{name}` has no public column: every value is masked."),
            "List what may be seen in [resource.columns], e.g. \"orders.id\" = \"public\".",
        );
    }
    let partial = columns.iter().find(|(_, class)| {
        matches!(
            config.classes.get(*class),
            Some(MaskStyle::Last4 | MaskStyle::Domain)
        )
    });
    let token = columns
        .iter()
        .find(|(_, class)| matches!(config.classes.get(*class), Some(MaskStyle::Token(_))));
    if let Some((column, class)) = token {
        list.avoidable(
            "token-mask",
            format!("`{name}` shows tokens for {column} ({class}): which values are equal, and how often, can be seen."),
            "Use constant or null where the answer must not depend on the value.",
        );
    }
    if let Some((column, class)) = partial {
        list.avoidable(
            "partial-mask",
            format!(
                "`{name}` masks {column} ({class}) in part: what stays can be seen, grouped and joined on."
            ),
            "Use constant or null where the answer must not depend on the value.",
        );
    }
}

fn journal(config: &Config, list: &mut List) {
    let folder = config.store.address.file().and_then(std::path::Path::parent);
    let beside = |path: &std::path::Path| folder.is_some() && path.parent() == folder;
    match &config.audit.checkpoint_file {
        None => list.avoidable(
            "no-outside-checkpoint",
            "Whoever holds the journal and its key can rewrite what nobody else has seen.",
            "Set audit.checkpoint_file to a place somebody else keeps, or fetch checkpoints regularly.",
        ),
        Some(file) if beside(file) => list.avoidable(
            "checkpoint-beside-journal",
            "The checkpoints lie beside the journal, so who can change one can change both.",
            "Write them to another machine's folder, or let somebody fetch them.",
        ),
        Some(_) => {}
    }
    if beside(&config.audit.key_file) {
        list.avoidable(
            "key-beside-journal",
            "The signing key lies beside the journal: one stolen backup holds both.",
            "Set audit.key_file to a folder that is not backed up with the store.",
        );
    }
}
