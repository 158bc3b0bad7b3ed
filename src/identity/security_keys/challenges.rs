//! Challenges in the store, so that of all processes which share it exactly one takes an answer.

use serde_json::json;
use webauthn_rp::response::SentChallenge;

use super::ceremony::Ceremony;
use super::{About, Fault, LIFE, MOST, MOST_EACH, SecurityKeys, person};
use crate::call::User;
use crate::store::security_keys::ChallengeRow;

impl About {
    /// As it is kept: two are the same text exactly when they are the same.
    fn text(&self) -> String {
        match self {
            Self::Approve {
                approval,
                action_sha256,
            } => json!(["approve", approval, action_sha256]),
            Self::Register => json!(["register"]),
            Self::Remove(key) => json!(["remove", key]),
        }
        .to_string()
    }
}

impl SecurityKeys {
    pub(super) async fn keep(
        &self,
        challenge: SentChallenge,
        user: &User,
        about: &About,
        ceremony: &Ceremony,
    ) -> Result<(), Fault> {
        let now = self.world.now().0;
        let (issuer, subject) = person(user);
        let row = ChallengeRow {
            challenge: challenge.0.to_be_bytes(),
            issuer,
            subject,
            about: about.text(),
            kind: ceremony.kind().to_owned(),
            ceremony: ceremony.encode()?,
            expires_at: now.saturating_add(u64::try_from(LIFE.as_millis()).unwrap_or(0)),
        };
        let mut tx = self.rows.write().await?;
        tx.keep_challenge(&row, now, MOST_EACH, MOST).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a challenge away, and gives it when it was made for this. It is gone for everybody before anything
    /// about the answer is believed.
    pub(super) async fn take(
        &self,
        challenge: SentChallenge,
        user: &User,
        about: &About,
    ) -> Result<Ceremony, Fault> {
        let mut tx = self.rows.write().await?;
        let row = tx.take_challenge(challenge.0.to_be_bytes()).await?;
        tx.commit().await?;
        let row = row.ok_or(Fault::Stale)?;
        if self.world.now().0 >= row.expires_at {
            return Err(Fault::Stale);
        }
        if (row.issuer, row.subject) != person(user) || row.about != about.text() {
            return Err(Fault::Other);
        }
        Ceremony::decode(&row.kind, &row.ceremony)
    }
}
