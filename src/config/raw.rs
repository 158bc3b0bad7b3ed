//! The file as it is written: every key there is, before anything is checked.
//!
//! Scalars are [`Spanned`] so that a check can point at them. A resource is one flat table with the
//! keys of every kind: an internally tagged enum would lose the positions.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(super) type Text = Spanned<String>;
pub(super) type Number = Spanned<i64>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) server: Server,
    pub(super) store: Option<Store>,
    #[serde(default)]
    pub(super) issuer: Vec<Issuer>,
    pub(super) facade: Option<Facade>,
    #[serde(default)]
    pub(super) scopes: BTreeMap<Text, Vec<Text>>,
    #[serde(default)]
    pub(super) groups: BTreeMap<Text, Vec<Text>>,
    #[serde(default)]
    pub(super) policies: Policies,
    pub(super) tools: Option<Tools>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) resource: Vec<Resource>,
    #[serde(default)]
    pub(super) classes: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) masking: Masking,
    #[serde(default)]
    pub(super) approval: Approval,
    #[serde(default)]
    pub(super) audit: Audit,
    pub(super) telemetry: Option<Telemetry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) listen: Option<Text>,
    pub(super) public_url: Option<Text>,
    pub(super) control_listen: Option<Text>,
    pub(super) metrics_listen: Option<Text>,
    pub(super) control_url: Option<Text>,
    pub(super) trusted_proxies: Option<Spanned<Vec<Text>>>,
    pub(super) leave_seconds: Option<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    pub(super) url: Text,
    pub(super) password: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    pub(super) name: Text,
    pub(super) url: Text,
    pub(super) mode: Option<Text>,
    pub(super) audience: Option<Text>,
    pub(super) control_audience: Option<Text>,
    pub(super) control_client_secret: Option<Text>,
    #[serde(default)]
    pub(super) control_acr: Vec<Text>,
    pub(super) client_id: Option<Text>,
    pub(super) client_secret: Option<Text>,
    pub(super) scopes: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) acr: Vec<Text>,
    pub(super) opaque: Option<Spanned<bool>>,
    pub(super) login_client_id: Option<Text>,
    pub(super) metadata: Option<Text>,
    pub(super) groups_claim: Option<Text>,
    pub(super) groups_cut_at: Option<Number>,
    pub(super) algorithms: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) accept_typ_jwt: bool,
    pub(super) accept_missing_aud: Option<Spanned<bool>>,
    pub(super) subject_claim: Option<Text>,
    pub(super) introspection_endpoint: Option<Text>,
    pub(super) client_ids: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) required_scopes: Vec<Text>,
    pub(super) required_claims: Option<Spanned<BTreeMap<Text, Spanned<Texts>>>>,
    pub(super) kind: Option<Text>,
    pub(super) jwks_uri: Option<Text>,
    pub(super) max_lifetime_seconds: Option<Number>,
}

/// One text or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
pub(super) enum Texts {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facade {
    pub(super) key: Option<Text>,
    pub(super) former_key: Option<Text>,
    pub(super) access_seconds: Option<Number>,
    pub(super) idle_seconds: Option<Number>,
    pub(super) session_seconds: Option<Number>,
    pub(super) recheck_seconds: Option<Number>,
    pub(super) unchecked_seconds: Option<Number>,
    #[serde(default)]
    pub(super) registration: bool,
    pub(super) client_documents: Option<Spanned<bool>>,
    pub(super) client_document_hosts: Option<Spanned<Vec<Text>>>,
    #[serde(default)]
    pub(super) client_documents_private: bool,
    #[serde(default)]
    pub(super) client: Vec<FacadeClient>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FacadeClient {
    pub(super) id: Text,
    pub(super) name: Option<Text>,
    pub(super) redirect_uris: Spanned<Vec<Text>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policies {
    pub(super) dir: Option<Text>,
    pub(super) candidate: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tools {
    pub(super) dir: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) rows: Option<Number>,
    pub(super) bytes: Option<Number>,
    pub(super) seconds: Option<Number>,
    pub(super) calls: Option<Number>,
    pub(super) calls_per_person: Option<Number>,
    pub(super) lookups_per_hour: Option<Number>,
    pub(super) body_bytes: Option<Number>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    pub(super) name: Text,
    pub(super) kind: Text,
    pub(super) description: Option<Text>,
    #[serde(default)]
    pub(super) labels: Vec<Text>,
    pub(super) path: Option<Text>,
    pub(super) url: Option<Text>,
    pub(super) refs: Option<Spanned<Vec<Text>>>,
    pub(super) hidden: Option<Spanned<Vec<Text>>>,
    pub(super) columns: Option<Spanned<BTreeMap<Text, Text>>>,
    pub(super) columns_default: Option<Text>,
    pub(super) workdir: Option<Text>,
    pub(super) programs: Option<Spanned<Vec<Text>>>,
    pub(super) password: Option<Text>,
    pub(super) ca: Option<Text>,
    pub(super) schemas: Option<Spanned<Vec<Text>>>,
    pub(super) views: Option<Text>,
    pub(super) functions: Option<Spanned<Vec<Text>>>,
    pub(super) session: Option<Text>,
    pub(super) privileged: Option<Spanned<bool>>,
    pub(super) write: Option<Text>,
    pub(super) write_password: Option<Text>,
    pub(super) ddl: Option<Text>,
    pub(super) ddl_password: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Masking {
    pub(super) tokens: Option<Text>,
    pub(super) key_file: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    pub(super) hold_seconds: Option<Number>,
    pub(super) decide_within_seconds: Option<Number>,
    pub(super) execute_within_seconds: Option<Number>,
    pub(super) result_seconds: Option<Number>,
    pub(super) pending_per_person: Option<Number>,
    pub(super) requests_per_hour: Option<Number>,
    pub(super) max_age_seconds: Option<Number>,
    pub(super) grant_minutes: Option<Number>,
    pub(super) delegation_days: Option<Number>,
    pub(super) disjoint_issuers: Option<bool>,
    pub(super) webauthn: Option<Text>,
    #[serde(default)]
    pub(super) channel: Vec<Channel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Channel {
    pub(super) kind: Text,
    pub(super) url: Option<Text>,
    pub(super) secret: Option<Text>,
    #[serde(default)]
    pub(super) allow_private: bool,
    pub(super) channel: Option<Text>,
    pub(super) bot_token: Option<Text>,
    pub(super) app_token: Option<Text>,
    pub(super) signing_secret: Option<Text>,
    pub(super) routes: Option<Spanned<BTreeMap<Text, Text>>>,
    pub(super) escalate_after_seconds: Option<Number>,
    pub(super) escalate_to: Option<Text>,
    pub(super) escalate_routes: Option<Spanned<BTreeMap<Text, Vec<Text>>>>,
    pub(super) link_days: Option<Number>,
    pub(super) from: Option<Text>,
    pub(super) to: Option<Text>,
    pub(super) user: Option<Text>,
    pub(super) ca: Option<Text>,
    #[serde(default)]
    pub(super) clear_text: bool,
    pub(super) callback: Option<Text>,
    pub(super) callback_secrets: Option<Spanned<Vec<Text>>>,
    pub(super) callback_groups: Option<Spanned<Vec<Text>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Telemetry {
    pub(super) endpoint: Text,
    #[serde(default)]
    pub(super) headers: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<Text, Text>,
    pub(super) sample_percent: Option<Number>,
    pub(super) traceparent: Option<Text>,
    pub(super) traces: Option<bool>,
    pub(super) logs: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audit {
    pub(super) key_file: Option<Text>,
    pub(super) checkpoint_file: Option<Text>,
    pub(super) origin: Option<Text>,
    pub(super) checkpoint_every: Option<Number>,
    pub(super) disk_floor: Option<Number>,
    pub(super) disk_warn: Option<Number>,
}

#[cfg(test)]
mod tests;
