//! Approving for a while: what may be offered, the grant that a quorum makes, and calls that fall under it.
//!
//! A call under a grant is a request like any other, granted at once by the people of the grant. So whatever holds
//! for an approved call holds for it: its effect is measured, its action is bound, it is spent once, and its outcome
//! is learnt. The use is counted in the transaction that spends it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Subject;
use super::asking::steady;
use super::counting::{Count, Held, decision, person};
use super::deciding::over;
use super::people::{People, failed, millis};
use super::repeatable;
use super::review::{NotDecided, State};
use super::shape::Shape;
use super::terms::{Asked, Sealed, Terms, Under, all_met, readable, requester};
use super::words;
use crate::call::{Effect, Hash, Unmet, User};
use crate::policy::{Ask, RuleSet};
use crate::store::StoreError;
use crate::store::approvals::{ApprovalRow, Change, DecisionRow, GrantRow, PersonRow};
use crate::store::rows::Tx;

/// Most names that one grant frees: what is free everywhere is no longer what somebody saw.
const FREE: usize = 8;

/// What a reviewer wishes beside an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// For so long from the moment in which the quorum is met.
    pub minutes: u32,
    /// So many times, beside the call that is approved.
    pub uses: u32,
    /// Each time at most so many rows; without it what is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Only in the session that asked.
    #[serde(default)]
    pub session: bool,
    /// What may be another value of the same kind, by the names of [`Offer::free`].
    #[serde(default)]
    pub free: BTreeSet<String>,
}

/// How far an approval for a while may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Most minutes.
    pub minutes: u32,
    /// Most uses beside the call itself.
    pub uses: u32,
    /// Most rows each time; none where nothing is changed and policy sets no bound of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Whether whoever frees a value has to say how many rows each use may give: the value can be the one that bounds it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub needs_rows: bool,
    /// What may be freed, by name, as it is in this call.
    pub free: BTreeMap<String, Value>,
}

/// What a grant's row says in JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GrantTerms {
    pub(super) asks: Vec<Asked>,
    pub(super) free: BTreeSet<String>,
    pub(super) rows: Option<u64>,
    /// Relation → what may happen to its rows. `None` where nothing was measured: nothing may be measured then.
    pub(super) changes: Option<BTreeMap<String, BTreeSet<String>>>,
}

impl GrantTerms {
    pub(super) fn read(row: &GrantRow) -> Result<Self, StoreError> {
        serde_json::from_str(&row.terms)
            .map_err(|error| StoreError::Damaged(format!("grant {}: {error}", row.id)))
    }

    /// Whether what it reads is bounded: a value that is free can be the one that bounded it.
    fn is_bounded(&self, subject: Subject<'_>, effect: Option<&Effect>) -> bool {
        let reads = effect.is_none() && subject.facts.sql.is_some();
        !reads || self.free.is_empty() || self.rows.is_some()
    }

    /// Whether one use may do this: no other change to no other relation, and not more rows.
    fn covers(&self, effect: Option<&Effect>) -> bool {
        match (effect, &self.changes) {
            (None, None) => true,
            (Some(effect), Some(allowed)) => {
                let mut changed = changes(effect).into_iter();
                let known = changed.all(|(table, kinds)| {
                    let allowed = allowed.get(&table);
                    allowed.is_some_and(|allowed| kinds.is_subset(allowed))
                });
                let within = self.rows.is_some_and(|most| rows(effect) <= most);
                known && within
            }
            _ => false,
        }
    }
}

/// A grant with its people.
pub(super) type PeoplesGrant = (GrantRow, GrantTerms, Vec<PersonRow>);

impl People {
    /// How far this request may be approved for a while, if at all.
    pub(super) fn offer(&self, row: &ApprovalRow, terms: &Terms) -> Result<Option<Offer>, StoreError> {
        let settings = &self.settings;
        // A security key signs one action; what else it would be for, nobody could show later.
        if settings.grant_minutes == 0 || settings.security_key || row.state != State::Pending.as_str() {
            return Ok(None);
        }
        let Some(Sealed {
            effect, shape, ahead, ..
        }) = Sealed::read(row)?
        else {
            return Ok(None);
        };
        let asked = ahead.and_then(|ahead| ahead.minutes).unwrap_or(u32::MAX); // nobody is given more than they ask
        let is_sql = terms.facts.get("sql").is_some_and(|sql| !sql.is_null());
        let all: Option<Vec<_>> = terms.asks.iter().map(|asked| asked.grantable).collect();
        let (Some(all), Some(shape)) = (all.filter(|all| !all.is_empty()), shape) else {
            return Ok(None);
        };
        if !repeatable::is_offered(terms, effect.as_ref()) {
            return Ok(None);
        }
        let seconds = all.iter().map(|one| one.seconds).min().unwrap_or_default();
        let minutes = u32::try_from(seconds / 60).unwrap_or(u32::MAX);
        let bound = all.iter().filter_map(|one| one.rows).min();
        Ok(Some(Offer {
            minutes: minutes.min(settings.grant_minutes).min(asked),
            uses: all.iter().map(|one| one.uses).min().unwrap_or_default(),
            needs_rows: effect.is_none() && bound.is_none() && is_sql,
            rows: effect
                .as_ref()
                .map_or(bound, |effect| Some(bound.unwrap_or(rows(effect)))),
            free: shape.open,
        })
        .filter(|offer| offer.minutes > 0 && offer.uses > 0))
    }

    /// Whether a wish is within what is offered.
    pub(super) fn grantable(&self, row: &ApprovalRow, terms: &Terms, wish: &Wish) -> Result<(), NotDecided> {
        let no = |what: String| Err(NotDecided::NotOffered(what));
        let Some(offer) = self.offer(row, terms).map_err(super::review::unrecorded)? else {
            return no("this can only be approved once".to_owned());
        };
        if wish.minutes == 0 || wish.minutes > offer.minutes {
            return no(format!("it may be approved for 1 to {} minutes", offer.minutes));
        }
        if wish.uses == 0 || wish.uses > offer.uses {
            return no(format!("it may be approved for 1 to {} further uses", offer.uses));
        }
        if let (Some(rows), Some(most)) = (wish.rows, offer.rows)
            && rows > most
        {
            return no(format!("each use may touch at most {most} rows"));
        }
        if offer.needs_rows && !wish.free.is_empty() && wish.rows.is_none() {
            let why = "say how many rows each use may give (rows): a value that is free can be the one that bounded it";
            return no(why.to_owned());
        }
        if wish.free.len() > FREE {
            return no(format!("at most {FREE} values can be free"));
        }
        match wish.free.iter().find(|name| !offer.free.contains_key(*name)) {
            Some(_) => no("one of the names is of nothing in this call that can be free".to_owned()),
            None => Ok(()),
        }
    }

    /// Makes the grant, if everybody who approved wished for the same one.
    pub(super) async fn grant(
        &self,
        tx: &mut Tx,
        row: &ApprovalRow,
        terms: &Terms,
        decisions: &[DecisionRow],
    ) -> Result<(), StoreError> {
        let Some((wish, offer, sealed, shape_sha256)) = self.wished(row, terms, decisions)? else {
            return Ok(());
        };
        let damaged = |error: serde_json::Error| StoreError::Damaged(format!("a wish: {error}"));
        let held = GrantTerms {
            asks: terms.asks.clone(),
            free: wish.free.clone(),
            rows: wish.rows.or(offer.rows),
            changes: sealed.effect.as_ref().map(changes),
        };
        let now = self.now();
        let free: BTreeMap<_, _> = offer
            .free
            .iter()
            .filter(|(name, _)| wish.free.contains(*name))
            .collect();
        let runs = if sealed.runs.is_null() {
            json!(sealed.arguments)
        } else {
            sealed.runs.clone()
        };
        // Nobody's word lasts longer than what it rests on.
        let ends_at = now.saturating_add(u64::from(wish.minutes).saturating_mul(60_000));
        let ends_at = ends_at.min(self.until(tx, decisions).await?);
        let grant = GrantRow {
            id: self.new_id(),
            approval: row.id.clone(),
            issuer: row.issuer.clone(),
            subject: row.subject.clone(),
            client_id: row.client_id.clone(),
            session: wish.session.then(|| row.session.clone()),
            tool: row.tool.clone(),
            resource: row.resource.clone(),
            shape_sha256: shape_sha256.0,
            terms: serde_json::to_string(&held).map_err(damaged)?,
            sealed: Some(json!({"runs": runs, "free": free}).to_string()),
            uses: wish.uses,
            uses_left: wish.uses,
            created_at: now,
            ends_at,
            ended_at: None,
            ended_how: None,
            ended_by: None,
        };
        let people: Vec<PersonRow> = decisions.iter().map(person).collect();
        tx.grant(&grant, &people).await?;
        let told = told(&grant.id, &wish);
        tx.event(&row.id, now, "grant_made", None, Some(&told), None)
            .await
    }

    /// What everybody who approved wished for, if it was the same, with what it takes to grant it.
    fn wished(
        &self,
        row: &ApprovalRow,
        terms: &Terms,
        decisions: &[DecisionRow],
    ) -> Result<Option<(Wish, Offer, Sealed, Hash)>, StoreError> {
        let mut wishes = decisions.iter().map(|one| one.wish.as_deref());
        let Some(Some(first)) = wishes.next() else {
            return Ok(None);
        };
        if wishes.any(|wish| wish != Some(first)) {
            return Ok(None);
        }
        let damaged = |error: serde_json::Error| StoreError::Damaged(format!("a wish: {error}"));
        let wish: Wish = serde_json::from_str(first).map_err(damaged)?;
        // It was on offer when each of them said so; it may not be any more.
        let (Some(offer), Some(sealed)) = (self.offer(row, terms)?, Sealed::read(row)?) else {
            return Ok(None);
        };
        if self.grantable(row, terms, &wish).is_err() {
            return Ok(None);
        }
        let shape = sealed.shape.as_ref().and_then(|shape| shape.digest(&wish.free));
        Ok(shape.map(|shape| (wish, offer, sealed, shape)))
    }

    /// The grant that stands for such a call, whatever it would change.
    pub(super) async fn standing_grant(
        &self,
        subject: Subject<'_>,
        asks: &[Asked],
    ) -> Result<Vec<PeoplesGrant>, StoreError> {
        let mut found = Vec::new();
        let off = self.settings.grant_minutes == 0 || self.settings.security_key;
        if off || !repeatable::is_kind(subject.facts) {
            return Ok(found);
        }
        let Some(shape) = Shape::of(subject, asks) else {
            return Ok(found);
        };
        let principal = &subject.arrival.principal;
        let user = (principal.user.issuer.as_str(), principal.user.subject.as_str());
        let mut tx = self.rows.read().await?;
        let client = &principal.agent.client_id;
        for row in tx
            .grants_for(user, client, &subject.arrival.tool, self.now())
            .await?
        {
            let here = row
                .session
                .as_ref()
                .is_none_or(|session| *session == principal.session.id);
            let terms = GrantTerms::read(&row)?;
            let same = shape
                .digest(&terms.free)
                .is_some_and(|digest| digest.0 == row.shape_sha256);
            if here && same && row.resource == subject.invocation.resource {
                let people = tx.grant_people(&row.id).await?;
                found.push((row, terms, people));
            }
        }
        tx.commit().await?;
        Ok(found)
    }

    /// Whether a grant stands for such a call: then the identical call is not the same request again.
    pub(super) async fn has_grant(&self, ask: &Ask, subject: Subject<'_>) -> Result<bool, StoreError> {
        let asks = Terms::asks_of_ask(ask);
        let may = !asks.is_empty() && asks.iter().all(|asked| asked.grantable.is_some());
        Ok(may && !self.standing_grant(subject, &asks).await?.is_empty())
    }

    /// See [`super::Approvals::under_grant`].
    pub(super) async fn under_grant(
        &self,
        ask: &Ask,
        subject: Subject<'_>,
        effect: Option<&Effect>,
        rules: &RuleSet,
    ) -> Result<(), Unmet> {
        let asks = Terms::asks_of_ask(ask);
        if asks.is_empty() || asks.iter().any(|asked| asked.grantable.is_none()) {
            return Ok(());
        }
        let grants = self.standing_grant(subject, &asks).await.map_err(failed)?;
        let mut found = None;
        let mut tx = self.rows.read().await.map_err(failed)?;
        for grant in grants {
            let fits = repeatable::is_repeatable(subject.facts, effect)
                && grant.1.covers(effect)
                && grant.1.is_bounded(subject, effect);
            if fits
                && self
                    .is_valid(&mut tx, &grant, &asks, subject, rules)
                    .await
                    .map_err(failed)?
            {
                found = Some(grant);
                break;
            }
        }
        tx.commit().await.map_err(failed)?;
        let Some((grant, held, people)) = found else {
            return Ok(());
        };
        let effect = match effect.cloned().map(steady) {
            Some(None) => return Ok(()),
            Some(Some(effect)) => Some(effect),
            None => None,
        };
        let mut terms = Terms::of(ask, false, subject.facts, effect.as_ref());
        terms.grant = Some(Under {
            id: grant.id.clone(),
            rows: held.rows.filter(|_| effect.is_none()),
        });
        let mut row = self.row_of(&mut terms, subject, effect).map_err(failed)?;
        row.unattended = false; // whoever is not there does not use it
        row.escalate_at = None;
        self.take_up(&row, &grant, &people, subject)
            .await
            .map_err(failed)?;
        self.wake();
        Ok(())
    }

    /// Puts the request of a use in, granted by the people of the grant.
    async fn take_up(
        &self,
        row: &ApprovalRow,
        grant: &GrantRow,
        people: &[PersonRow],
        subject: Subject<'_>,
    ) -> Result<(), StoreError> {
        let mut tx = self.rows.write().await?;
        let newest = tx.newest(&row.request_key).await?;
        if let Some(open) = newest.filter(|row| matches!(row.state.as_str(), "pending" | "granted"))
            && self
                .taken(&mut tx, &open.id)
                .await?
                .is_some_and(|row| matches!(row.state.as_str(), "pending" | "granted"))
        {
            return Ok(()); // another call of the same was faster: it is this one's request, too
        }
        tx.insert(row).await?;
        for one in people {
            tx.decide(&row.id, &decision(one)).await?;
        }
        let now = self.now();
        let change = Change {
            granted: Some((now, now.saturating_add(millis(self.settings.execute_within)))),
            ..Change::default()
        };
        let (pending, granted) = (State::Pending.as_str(), State::Granted.as_str());
        tx.shift(&row.id, pending, granted, &change).await?;
        let call = subject.arrival.call_id.as_str();
        let told = format!("under grant {}", grant.id);
        tx.event(&row.id, now, granted, None, Some(&told), Some(call))
            .await?;
        tx.commit().await
    }

    /// See [`super::Approvals::still_granted`].
    pub(super) async fn still_granted(
        &self,
        id: &str,
        approval: &str,
        rules: &RuleSet,
        resource: &str,
    ) -> Result<(), Unmet> {
        let mut tx = self.rows.read().await.map_err(failed)?;
        let people = tx.grant_people(id).await.map_err(failed)?;
        let used = tx.row(approval).await.map_err(failed)?;
        let mut stands = false;
        if let Some(row) = used {
            let (terms, asker) = (Terms::read(&row).map_err(failed)?, requester(&row));
            let count = Count::of(&terms, &asker).under(rules, Some(resource));
            stands = self.agree(&mut tx, &people, count).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        if stands {
            return Ok(());
        }
        let mut tx = self.rows.write().await.map_err(failed)?;
        let row = self.taken(&mut tx, approval).await.map_err(failed)?;
        self.end_grant(&mut tx, id, "void", None).await.map_err(failed)?;
        if let Some(row) = row.filter(|row| row.state == State::Granted.as_str()) {
            let why = "policy no longer lets those approve who granted it";
            self.overtake(&mut tx, &row, why).await.map_err(failed)?;
        }
        tx.commit().await.map_err(failed)?;
        self.wake();
        self.record(Some(approval))
            .await
            .map_err(|_| words::unrecorded())?;
        Err(words::void().into())
    }

    /// Whether policy would still have these people give such a grant for such a call, whatever it would change.
    pub(super) async fn is_valid(
        &self,
        tx: &mut Tx,
        (grant, terms, people): &PeoplesGrant,
        asks: &[Asked],
        subject: Subject<'_>,
        rules: &RuleSet,
    ) -> Result<bool, StoreError> {
        let resource = subject.invocation.resource.as_deref().unwrap_or_default();
        let count = Count {
            asks,
            requester: &subject.arrival.principal.user,
            rules: Some((rules, resource)),
            lasting: true,
        };
        Ok(is_offered(asks, grant, terms) && self.agree(tx, people, count).await?)
    }

    /// Whether all the people of a grant still count, and are enough.
    async fn agree(&self, tx: &mut Tx, people: &[PersonRow], count: Count<'_>) -> Result<bool, StoreError> {
        let decisions: Vec<DecisionRow> = people.iter().map(decision).collect();
        let standing = self.standing_people(tx, &decisions, count).await?;
        let all = standing.len() == people.len();
        Ok(all && all_met(count.asks, &self.distinct(standing, count), count.requester))
    }

    /// When the first ends of the delegations by which somebody agreed, in Unix milliseconds.
    async fn until(&self, tx: &mut Tx, decisions: &[DecisionRow]) -> Result<u64, StoreError> {
        let mut until = u64::MAX;
        for one in decisions {
            for (delegation, _) in Held::read(one)?.delegated {
                let row = tx.delegation(&delegation).await?;
                until = until.min(row.map_or(0, |row| row.ends_at));
            }
        }
        Ok(until)
    }

    /// Ends a grant, with the event that tells of it.
    pub(super) async fn end_grant(
        &self,
        tx: &mut Tx,
        id: &str,
        how: &str,
        by: Option<&str>,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let Some(row) = tx.grant_row(id).await? else {
            return Ok(false);
        };
        if !tx.end_grant(id, now, how, by).await? {
            return Ok(false);
        }
        if tx.row(&row.approval).await?.is_some() {
            let word = if how == "revoked" {
                "grant_revoked"
            } else {
                "grant_ended"
            };
            let told = format!("grant {id}: {how}, {} of {} uses left", row.uses_left, row.uses);
            tx.event(&row.approval, now, word, by, Some(&told), None).await?;
        }
        Ok(true)
    }

    /// What is over by now is noted as over, and shows nothing any more.
    pub(super) async fn end_grants(&self) -> Result<(), StoreError> {
        let now = self.now();
        let mut tx = self.rows.read().await?;
        let due = tx.grants_over(now).await?;
        tx.commit().await?;
        for row in due {
            let mut tx = self.rows.write().await?;
            let how = if row.uses_left == 0 { "used up" } else { "expired" };
            self.end_grant(&mut tx, &row.id, how, None).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Withdraws what is granted and not yet spent under a grant that is over.
    pub(super) async fn drop_uses(&self, tx: &mut Tx, grant: &str) -> Result<(), StoreError> {
        for row in tx.granted_open().await? {
            let under = readable(Terms::read(&row))?.and_then(|terms| terms.grant);
            if under.is_some_and(|under| under.id == grant) {
                let (word, now) = (State::Cancelled.as_str(), self.now());
                if tx.shift(&row.id, &row.state, word, &over(now)).await? {
                    let why = Some("its grant is over");
                    tx.event(&row.id, now, word, None, why, None).await?;
                }
            }
        }
        Ok(())
    }
}

fn told(id: &str, wish: &Wish) -> String {
    let names: Vec<&str> = wish.free.iter().map(String::as_str).collect();
    let free = if names.is_empty() {
        "nothing free".to_owned()
    } else {
        format!("free: {}", names.join(", "))
    };
    format!("grant {id}: {} minutes, {} uses, {free}", wish.minutes, wish.uses)
}

/// Whether policy would still let people give such a grant, as far as time, uses and rows go.
fn is_offered(asks: &[Asked], grant: &GrantRow, held: &GrantTerms) -> bool {
    let lasts = grant.ends_at.saturating_sub(grant.created_at);
    let few = |most: u64| held.rows.is_some_and(|rows| rows <= most);
    asks.iter().filter_map(|asked| asked.grantable).all(|most| {
        grant.uses <= most.uses && lasts <= most.seconds.saturating_mul(1_000) && most.rows.is_none_or(few)
    })
}

/// How many rows an effect changes.
fn rows(effect: &Effect) -> u64 {
    let all = effect.rows.values();
    all.flat_map(|changes| [&changes.inserted, &changes.updated, &changes.deleted])
        .fold(0, |sum, affected| sum.saturating_add(affected.count))
}

/// What happens to which relations.
fn changes(effect: &Effect) -> BTreeMap<String, BTreeSet<String>> {
    let kinds = |changes: &crate::call::effect::RowChanges| {
        let all = [
            ("inserted", &changes.inserted),
            ("updated", &changes.updated),
            ("deleted", &changes.deleted),
        ];
        let happens = all.into_iter().filter(|(_, affected)| affected.count > 0);
        happens.map(|(word, _)| word.to_owned()).collect::<BTreeSet<_>>()
    };
    let all = effect
        .rows
        .iter()
        .map(|(table, changes)| (table.clone(), kinds(changes)));
    all.filter(|(_, kinds)| !kinds.is_empty()).collect()
}

/// Whether `user` asked for what a grant is of.
pub(super) fn is_theirs(row: &GrantRow, user: &User) -> bool {
    row.issuer == user.issuer && row.subject == user.subject
}
