//! Taking tokens back (RFC 7009).

use super::Asked;
use super::token::{Exchange, Fault, client_form};

impl Exchange {
    /// A refresh token ends its session, an access token ends alone. A token that is unknown, or another
    /// client's, changes nothing and is not told apart (section 2.2). Whoever holds a token may take it
    /// back: `client_id` is compared when it is there.
    pub(super) async fn revoke(&self, asked: &Asked<'_>) -> Result<(), Fault> {
        let fields = client_form(asked)?;
        let token = fields
            .get("token")
            .ok_or(Fault::new("invalid_request", "token is missing"))?;
        Ok(self.sessions.revoke(token, fields.get("client_id")).await?)
    }
}
