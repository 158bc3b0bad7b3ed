//! `tollgate check`: every part that would refuse to start, said at once instead of one by one.

use std::sync::Arc;

use super::parts;
use super::report::{CheckReport, counted};
use crate::audit::{LogKey, load_or_create_key};
use crate::clock::{System, World};
use crate::config::gaps::gaps;
use crate::config::{Config, Kind, Mode};
use crate::identity::{DEMO, HttpFetch, Identity};
use crate::policy::{CandidateReport, Policies};
use crate::resource::Resource;
use crate::tool::Tools;

/// Everything that can be known before the first call. Changes nothing.
pub async fn check(config: &Config) -> CheckReport {
    let mut report = CheckReport::default();
    report.ok(
        "configuration",
        format!("{} is understood", config.file.display()),
    );
    resources(config, &mut report);
    let cards = parts::cards(config);
    match Tools::load(config.tools.as_deref(), &cards) {
        Ok(tools) => {
            report.ok("tools", counted(tools.names().count() as u64, "tool"));
            if let Err(error) = super::identity::scopes(config, &tools) {
                report.error("tools", error.to_string(), "mend [scopes]");
            }
            let scene = parts::scene(config, cards, &tools);
            policies(
                config,
                Policies::load(&config.policies.dir, scene, config.policies.candidate.as_deref()),
                &mut report,
            );
        }
        Err(error) => report.error("tools", error.to_string(), "mend the file, then check again"),
    }
    identity(config, &mut report).await;
    if let Err(error) = super::desk::channels(config) {
        report.error("approvals", format!("{error:#}"), "mend the [[approval.channel]]");
    }
    journal(config, &mut report);
    report.gaps = gaps(config);
    report
}

fn resources(config: &Config, report: &mut CheckReport) {
    let world: Arc<dyn World> = Arc::new(System::new());
    for resource in &config.resources {
        let kind = resource.resource_kind().as_str();
        match parts::open(config, resource, &world) {
            Ok(Resource::Shell(folder)) => match folder.layers() {
                Ok(layers) => report.ok(
                    "resources",
                    format!("{} ({kind}): {}", resource.name, layers.join(", ")),
                ),
                Err(fault) => report.warn(
                    "resources",
                    format!("{} ({kind}): every command is refused: {fault}", resource.name),
                    fault.remedy(),
                ),
            },
            Ok(_) => report.ok("resources", format!("{} ({kind})", resource.name)),
            Err(error) => report.error(
                "resources",
                format!("{}: {error:#}", resource.name),
                "mend the [[resource]]",
            ),
        }
        if matches!(&resource.kind, Kind::Git(git) if git.refs.is_empty()) {
            report.warn(
                "resources",
                format!("{} allows no ref, so nothing of it can be read", resource.name),
                "add refs, e.g. refs = [\"refs/heads/main\"]",
            );
        }
    }
    if config.resources.is_empty() {
        report.warn(
            "resources",
            "there is none, so no tool exists for anybody",
            "add a [[resource]]",
        );
    }
}

fn policies(config: &Config, loaded: Result<Policies, crate::policy::LoadError>, report: &mut CheckReport) {
    let set = match loaded {
        Ok(policies) => policies.current(),
        Err(error) => {
            return report.error(
                "policies",
                error.to_string(),
                "mend the policies, then check again",
            );
        }
    };
    let about = set.report();
    report.ok(
        "policies",
        format!(
            "{} in {}: {}, {}, {} of them bound to an obligation",
            counted(about.files as u64, "file"),
            config.policies.dir.display(),
            counted(about.permits as u64, "permit"),
            counted(about.forbids as u64, "forbid"),
            about.obligations
        ),
    );
    for warning in &about.warnings {
        report.warn("policies", warning.clone(), "");
    }
    match &about.candidate {
        Some(CandidateReport::Observing(_)) => report.ok("policies", "a candidate set is observed"),
        Some(CandidateReport::Faulty(error)) => {
            report.warn(
                "policies",
                format!("the candidate set does not load: {error}"),
                "mend it; it decides nothing",
            );
        }
        None => {}
    }
    let tests = set.run_tests();
    for fault in tests.faults() {
        report.error("policy tests", fault.to_string(), "mend the policy or the test");
    }
    if tests.passed() {
        report.ok("policy tests", format!("{} pass", tests.rows.len()));
    }
    if !tests.untested.is_empty() {
        let ids: Vec<&str> = tests.untested.iter().map(String::as_str).collect();
        report.warn(
            "policy tests",
            format!("no test meets {}", ids.join(", ")),
            "add a row to tests/ beside the policies",
        );
    }
}

async fn identity(config: &Config, report: &mut CheckReport) {
    let made = super::identity::spec(config).and_then(|spec| {
        let world = Arc::new(System::new());
        Ok(Identity::new(spec, Arc::new(HttpFetch::new()), world)?)
    });
    let identity = match made {
        Ok(identity) => identity,
        Err(error) => return report.error("identity", format!("{error:#}"), "mend [[issuer]] or [groups]"),
    };
    if config.issuers.is_empty() {
        report.warn(
            "identity",
            "there is no [[issuer]]: `serve` refuses everybody, `stdio` works",
            "",
        );
    }
    if let Err(error) = parts::refuse_demo_issuer(config) {
        report.error(
            "identity",
            error.to_string(),
            "`tollgate serve` does not start with it; `tollgate stdio` does",
        );
    }
    facade(config, report);
    saml(config, report);
    keys(config, &identity, report).await;
    asking(&identity, report).await;
}

/// Whether issuers can be asked: about opaque tokens, and to sign people in.
async fn asking(identity: &Identity, report: &mut CheckReport) {
    if let Some((name, found)) = identity.probe_opaque().await {
        match found {
            Ok(endpoint) => report.ok("identity", format!("{name}: opaque tokens are asked about at {endpoint}")),
            Err(error) => report.warn(
                "identity",
                format!("{name} cannot be asked about opaque tokens: {error}"),
                "mend client_id and client_secret, or set introspection_endpoint; until then such tokens are refused with 503",
            ),
        }
    }
    for (name, found) in identity.people().probe().await {
        match found {
            Ok(()) => report.ok("identity", format!("{name}: people can sign in")),
            Err(error) => report.warn(
                "identity",
                format!("{name}: {error}"),
                "nobody of this issuer can decide a request until that is mended",
            ),
        }
    }
}

/// Whether every issuer's keys can be had.
async fn keys(config: &Config, identity: &Identity, report: &mut CheckReport) {
    for (name, keys) in identity.probe().await {
        let issuer = config.issuers.iter().find(|issuer| issuer.name == name);
        let mode = issuer.map(|issuer| &issuer.mode);
        if name == DEMO || matches!(mode, Some(Mode::Saml { .. })) {
            continue; // gone with the demo; has no key set
        }
        match keys {
            Ok(count) => report.ok(
                "identity",
                format!("{name}: {}", counted(count as u64, "signing key")),
            ),
            Err(error) => report.warn(
                "identity",
                format!("{name} cannot be reached from here: {error}"),
                match mode {
                    Some(Mode::Bearer { .. }) => "tokens of this issuer are refused until it answers",
                    _ => "nobody can sign in there until it answers; `tollgate doctor identity` says more",
                },
            ),
        }
    }
}

fn facade(config: &Config, report: &mut CheckReport) {
    let world: Arc<dyn World> = Arc::new(System::new());
    match super::facade::readable(config, &world) {
        Ok(true) => report.ok(
            "identity",
            "the facade has its key and the secrets of its clients",
        ),
        Ok(false) => {}
        Err(error) => report.error(
            "identity",
            format!("{error:#}"),
            "give it where the configuration says it is; `tollgate serve` does not start without it",
        ),
    }
}

fn saml(config: &Config, report: &mut CheckReport) {
    let world: Arc<dyn World> = Arc::new(System::new());
    match super::identity::saml(config, &world) {
        Ok(providers) => {
            for provider in providers {
                report.ok(
                    "identity",
                    format!("{}: its SAML metadata is understood", provider.name()),
                );
            }
        }
        Err(error) => report.error("identity", format!("{error:#}"), "mend the [[issuer]]"),
    }
}

fn journal(config: &Config, report: &mut CheckReport) {
    let key = &config.audit.key_file;
    if !key.exists() {
        return report.ok(
            "journal",
            format!("{} will be made at the first start", key.display()),
        );
    }
    match load_or_create_key(key, &config.audit.origin, &System::new()).map(|key: LogKey| key.public()) {
        Ok(public) => report.ok("journal", format!("verifies with {public}")),
        Err(error) => report.error(
            "journal",
            error.to_string(),
            "restore the key, or start a new store",
        ),
    }
}
