//! Sessions of the facade in front of the certified provider, on a clock of the test: who is dismissed
//! there is out here within the bound, and a refresh token that rotates there is followed.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;
use tollgate::call::{Hash, hex};
use tollgate::clock::{System, World};
use tollgate::identity::ends::Ends;
use tollgate::identity::facade::Times;
use tollgate::identity::provider::{Oidc, OidcClient, Provider, SignedIn};
use tollgate::identity::seal::Seal;
use tollgate::identity::sessions::{
    Issued, Parts, Proof, Redeem, Refresh, Refused, Sessions, open_upstream, seal_upstream,
};
use tollgate::identity::{GroupMap, HttpFetch, OwnTokens, Reason, Scopes};
use tollgate::secret::Secret;
use tollgate::store::rows::Rows;
use tollgate::store::sign_ins::CodeRow;
use tollgate::store::{Store, Tuning};

use super::idp::{Clock, Idp, RESOURCE};
use super::relying::{answered, question};

const AGENT: &str = "agent-1";
const REDIRECT: &str = "http://127.0.0.1/callback";
const VERIFIER: &str = "v0123456789012345678901234567890123456789012";
/// The bound, in seconds.
const RECHECK: u64 = 600;

fn seal() -> Arc<Seal> {
    Arc::new(Seal::new(vec![Secret::new("k".repeat(32))]).unwrap())
}

/// Sessions whose people sign in at the provider as this public client of it.
struct Bench {
    sessions: Sessions,
    rows: Rows,
    oidc: Arc<Oidc>,
    clock: Arc<Clock>,
    ends: Ends,
    _folder: TempDir,
}

impl Bench {
    async fn start(idp: &Idp) -> Self {
        let clock = Arc::new(Clock::at(System::new().now().seconds()));
        let client = OidcClient {
            id: "gate-none".to_owned(),
            secret: None,
            scopes: Vec::new(),
            acr_values: Vec::new(),
        };
        let oidc = Oidc::new(idp.spec(), client, Arc::new(HttpFetch::new()), clock.clone());
        let oidc = Arc::new(oidc.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        let rows = Rows::new(Store::open(&url, &Tuning::default()).await.unwrap());
        let ends = Ends::default();
        let parts = Parts {
            rows: rows.clone(),
            seal: seal(),
            providers: vec![oidc.clone()],
            groups: GroupMap::parse([("analyst", vec!["corp:analysts"])]).unwrap(),
            scopes: Scopes::default(),
            resource: RESOURCE.to_owned(),
            times: Times {
                access: Duration::from_secs(3600),
                idle: Duration::from_secs(7200),
                session: Duration::from_secs(86_400),
                recheck: Duration::from_secs(RECHECK),
                unchecked: Duration::from_secs(3600),
            },
            ended: ends.clone(),
            world: clock.clone(),
        };
        Self {
            sessions: Sessions::start(parts).await.unwrap(),
            rows,
            oidc,
            clock,
            ends,
            _folder: folder,
        }
    }

    /// A real sign-in there, which leaves a code here, which an agent redeems.
    async fn open(&self, idp: &Idp, user: &str) -> Issued {
        let asked = question(0);
        let fields = answered(idp, &self.oidc, &asked, user, None).await;
        let signed_in = self.oidc.finish(&asked, &fields).await.unwrap();
        let code = format!("tgc_{user}");
        self.leave(&code, &signed_in).await;
        let redeem = Redeem {
            code: Hash::of(code.as_bytes()),
            client_id: AGENT,
            proof: Proof::Began {
                verifier: VERIFIER,
                redirect_uri: REDIRECT,
            },
            resource: Some(RESOURCE),
        };
        self.sessions.redeem(&redeem).await.unwrap()
    }

    async fn leave(&self, code: &str, signed_in: &SignedIn) {
        let (hash, now) = (Hash::of(code.as_bytes()), self.clock.now().0);
        let row = CodeRow {
            hash: hash.0,
            client_id: AGENT.to_owned(),
            client_name: "Agent".to_owned(),
            verified: true,
            redirect_uri: Some(REDIRECT.to_owned()),
            challenge: Some(URL_SAFE_NO_PAD.encode(Hash::of(VERIFIER.as_bytes()).0)),
            resource: RESOURCE.to_owned(),
            scope: String::new(),
            issuer: signed_in.issuer.clone(),
            subject: signed_in.subject.clone(),
            claimed: serde_json::to_string(&signed_in.claimed).unwrap(),
            auth_time: signed_in.auth_time,
            provider_sid: signed_in.sid.clone(),
            sealed: seal_upstream(&seal(), &hex(&hash.0), &signed_in.upstream, self.clock.as_ref()),
            created_at: now,
            expires_at: now + 60_000,
        };
        assert!(row.sealed.is_some());
        let mut tx = self.rows.write().await.unwrap();
        tx.add_code(&row).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The refresh token of the provider that is kept for a session.
    async fn kept(&self, session: &str) -> String {
        let mut tx = self.rows.read().await.unwrap();
        let row = tx.session(session).await.unwrap().unwrap();
        tx.commit().await.unwrap();
        let about = format!("session/{session}");
        let upstream = open_upstream(&seal(), &about, &row.sealed.unwrap()).unwrap();
        upstream.refresh.clone().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_rotates_there_survives_many_rechecks() {
    let idp = Idp::start();
    let bench = Bench::start(&idp).await;
    let issued = bench.open(&idp, "alice").await;
    let mut seen = vec![bench.kept(&issued.session).await];
    for _ in 0..4 {
        bench.clock.advance(RECHECK);
        let principal = bench.sessions.admit(&issued.access).await.unwrap();
        assert_eq!(principal.user.id(), "corp#alice");
        assert!(principal.user.groups.contains("analyst"));
        let kept = bench.kept(&issued.session).await;
        assert!(!seen.contains(&kept), "the provider was asked, and rotated it");
        seen.push(kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_dismissed_there_is_out_here_within_the_bound() {
    let idp = Idp::start();
    let bench = Bench::start(&idp).await;
    let issued = bench.open(&idp, "alice").await;
    let mut ended = bench.ends.listen();
    let principal = bench.sessions.admit(&issued.access).await.unwrap();
    idp.ask("dismiss", &[("user", "alice")]).await;
    assert_eq!(
        bench.sessions.stands(&principal).await,
        Some(true),
        "asked just now"
    );
    bench.clock.advance(RECHECK);
    assert_eq!(bench.sessions.stands(&principal).await, Some(false));
    let refused = bench.sessions.admit(&issued.access).await.unwrap_err();
    assert_eq!(refused, Reason::Ended);
    let refresh = Refresh {
        token: &issued.refresh,
        client_id: AGENT,
        scope: None,
        resource: Some(RESOURCE),
    };
    assert_eq!(
        bench.sessions.refresh(&refresh).await.unwrap_err(),
        Refused::Grant
    );
    assert_eq!(
        *ended.recv().await.unwrap(),
        *issued.session,
        "what hangs on it hears of it"
    );
}
