//! Server-Sent Events: that a page is out of date, and nothing else. What changed is asked for like any page, so a
//! stream can show nothing that its reader could not open, and is silent about what they may not see.
//!
//! A stream belongs to the session that opened it and ends with it, or with the server. There are only so many, and of
//! one session and of one person only a few: whoever gets none reloads by hand. However many somebody has, what they see
//! is looked up once for each change; and who does not read loses theirs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::StreamExt;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Desk;
use super::answer::{self, Answer};
use super::front::{Asked, Front};
use super::html;
use super::problem::Problem;
use super::sessions::{Seated, Sessions};
use crate::approval::listing::{Shelf, Wanted};
use crate::approval::review::Reviewer;
use crate::call::{ApprovalId, Hash};

/// The script that listens.
pub(super) const SCRIPT: &str = include_str!("events.js");
/// Streams at once.
const MOST: usize = 128;
/// Streams of one session: one for each page that is looked at.
const PER_SESSION: usize = 6;
/// Streams of one person, however often they signed in: nobody takes everybody's.
const PER_PERSON: usize = 12;
/// Parts that wait for their reader, and how long one of them may.
const QUEUE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(30);
/// What comes this close together is one change.
const TOGETHER: Duration = Duration::from_millis(300);
/// How often a silent stream shows that it is one, and looks whether its session still stands.
const BEAT: Duration = Duration::from_secs(10);

/// How many streams there are of each session and of each person.
type Counts = Arc<Mutex<HashMap<Hash, usize>>>;

/// The streams of one listener.
pub(super) struct Streams {
    all: Arc<Semaphore>,
    of: Counts,
    looks: Looks,
    pulse: OnceLock<watch::Receiver<u64>>,
    stop: CancellationToken,
}

/// The place of one stream: of its session, of its person, of all.
struct Seat {
    of: Counts,
    whose: [Hash; 2],
    _one: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in &self.whose {
            if let Some(count) = of.get_mut(hash) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    of.remove(hash);
                }
            }
        }
    }
}

impl Streams {
    /// They end when `stop` fires.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST)),
            of: Arc::default(),
            looks: Looks::default(),
            pulse: OnceLock::new(),
            stop,
        }
    }

    fn seat(&self, session: Hash, person: Hash) -> Option<Seat> {
        let one = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |hash: &Hash| of.get(hash).copied().unwrap_or(0);
        if has(&session) >= PER_SESSION || has(&person) >= PER_PERSON {
            return None;
        }
        for hash in [session, person] {
            *of.entry(hash).or_insert(0) += 1;
        }
        drop(of);
        Some(Seat {
            of: Arc::clone(&self.of),
            whose: [session, person],
            _one: one,
        })
    }

    /// Counts up when something may have changed: for all streams at once, and not more often than it is worth.
    fn pulse(&self, changes: watch::Receiver<()>) -> watch::Receiver<u64> {
        let begin = || {
            let (pulse, felt) = watch::channel(0);
            tokio::spawn(beat(changes, pulse, self.stop.clone()));
            felt
        };
        self.pulse.get_or_init(begin).clone()
    }
}

/// Every change, and every while without one: what is over by now changes without anybody's doing.
async fn beat(mut changes: watch::Receiver<()>, pulse: watch::Sender<u64>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(BEAT) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TOGETHER) => {}
        }
        changes.borrow_and_update();
        pulse.send_modify(|at| *at += 1);
    }
}

/// What people see, for as long as a stream of theirs asks.
#[derive(Default)]
struct Looks(Mutex<HashMap<Hash, Weak<Look>>>);

/// What somebody sees of something, as of a pulse.
#[derive(Default)]
struct Look(tokio::sync::Mutex<Option<(u64, String)>>);

impl Looks {
    fn of(&self, reviewer: &Reviewer, about: &About) -> Arc<Look> {
        let user = &reviewer.user;
        let of = match about {
            About::Lists => None,
            About::One(id) => Some(&id.0),
        };
        let key = Hash::of_json(&json!([
            user.issuer,
            user.subject,
            user.groups,
            reviewer.acr,
            reviewer.may_reach,
            of
        ]));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, look| look.strong_count() > 0);
        if let Some(look) = all.get(&key).and_then(Weak::upgrade) {
            return look;
        }
        let look = Arc::new(Look::default());
        all.insert(key, Arc::downgrade(&look));
        look
    }
}

impl Look {
    /// As of `at` or later; `look` is asked by whoever comes first, and the others wait for it.
    async fn at(&self, at: u64, look: impl AsyncFnOnce() -> String) -> String {
        let mut held = self.0.lock().await;
        if let Some((of, seen)) = held.as_ref()
            && *of >= at
        {
            return seen.clone();
        }
        let seen = look().await;
        *held = Some((at, seen.clone()));
        seen
    }
}

/// What a page shows that can change: one request, or all lists.
#[derive(Debug, Clone, PartialEq, Eq)]
enum About {
    Lists,
    One(ApprovalId),
}

/// The parts of a page that let it renew itself; `of` is the request it shows, or none for the lists.
pub(super) async fn parts(front: &Front, reviewer: &Reviewer, of: Option<&ApprovalId>) -> String {
    let about = of.map_or(About::Lists, |id| About::One(id.clone()));
    let seen = look(&*front.desk, reviewer, &about).await;
    let mut pairs = vec![("seen", seen.as_str())];
    if let Some(id) = of {
        pairs.push(("of", &id.0));
    }
    let mut out = format!("<div data-events=\"/events?{}\"></div>", html::query(&pairs));
    let _ = write!(
        out,
        "<p id=\"says\" class=\"says\" role=\"status\"></p><noscript><p class=\"faint\">Without scripts this page does not \
         renew itself: load it again to see what has changed.</p></noscript>\
         <script src=\"/events.js\" defer></script>"
    );
    out
}

/// A digest of what somebody sees; of nothing, when they see nothing.
async fn look(desk: &dyn Desk, reviewer: &Reviewer, about: &About) -> String {
    let seen = match about {
        About::One(id) => match desk.show(reviewer, id).await {
            Ok(shown) => json!([shown.card, shown.history]),
            Err(why) => json!(why.to_string()),
        },
        About::Lists => {
            let mut all = Vec::new();
            for shelf in [Shelf::Waiting, Shelf::Own] {
                match desk.page(reviewer, &Wanted::on(shelf)).await {
                    Ok(page) => all.push(json!(page)),
                    Err(why) => all.push(json!(why.to_string())),
                }
            }
            let counts = desk.counts(reviewer).await.ok();
            json!([all, counts])
        }
    };
    Hash::of(seen.to_string().as_bytes()).hex()
}

/// `/events`.
pub(super) async fn answer(front: &Front, asked: Asked) -> Result<Answer, Problem> {
    asked.only(&[Method::GET])?;
    let site = asked.headers.get("sec-fetch-site");
    if !front.names.owns_origin(&asked.headers) || site.is_some_and(|site| site != "same-origin") {
        return Err(Problem::foreign());
    }
    let Some(seated) = super::pages::seated(front, &asked.headers) else {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "signed-out",
            "Signed out",
            "Sign in first.",
        ));
    };
    let one = |name: &str| {
        let mut found = asked.query.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    };
    let about = match one("of") {
        None => About::Lists,
        Some(id) => About::One(super::front::approval(id).ok_or_else(Problem::not_found)?),
    };
    let reviewer = super::pages::reviewer(front, &seated);
    let person = Hash::of(reviewer.user.id().as_bytes());
    let (Some(seat), Some(changes)) = (front.streams.seat(seated.hash, person), front.desk.changes()) else {
        return Err(Problem::overloaded());
    };
    let stream = Stream {
        desk: Arc::clone(&front.desk),
        sessions: Arc::clone(&front.sessions),
        look: front.streams.looks.of(&reviewer, &about),
        reviewer,
        seated,
        about,
        seen: one("seen").unwrap_or_default().to_owned(),
        pulse: front.streams.pulse(changes),
        stop: front.streams.stop.clone(),
        at: Step::Begin,
        _seat: seat,
    };
    let (give, take) = mpsc::channel(QUEUE);
    let parts = futures::stream::unfold(stream, Stream::next).boxed();
    tokio::spawn(forward(parts, give, PATIENCE));
    let parts = futures::stream::unfold(take, async |mut take: mpsc::Receiver<Part>| {
        take.recv().await.map(|part| (part, take))
    });
    let body = Body::from_stream(parts);
    let mut answer = answer::of("text/event-stream", body);
    let headers = answer.headers_mut();
    headers.insert("x-accel-buffering", HeaderValue::from_static("no")); // or a proxy keeps it to itself
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(answer)
}

/// Hands a stream on, until its reader is gone or does not take it: then its place is somebody else's.
async fn forward(
    mut parts: futures::stream::BoxStream<'static, Part>,
    give: mpsc::Sender<Part>,
    patience: Duration,
) {
    loop {
        let part = tokio::select! {
            () = give.closed() => return,
            part = parts.next() => part,
        };
        let Some(part) = part else { return };
        if give.send_timeout(part, patience).await.is_err() {
            return;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Begin,
    Compare,
    Wait,
    End,
}

struct Stream {
    desk: Arc<dyn Desk>,
    sessions: Arc<Sessions>,
    reviewer: Reviewer,
    seated: Seated,
    about: About,
    seen: String,
    look: Arc<Look>,
    pulse: watch::Receiver<u64>,
    stop: CancellationToken,
    at: Step,
    _seat: Seat,
}

type Part = Result<Bytes, Infallible>;

impl Stream {
    /// The next words, and the stream after them.
    async fn next(mut self) -> Option<(Part, Self)> {
        loop {
            let words = match self.at {
                Step::End => return None,
                Step::Begin => {
                    self.at = Step::Compare;
                    Some("retry: 5000\n\n")
                }
                Step::Compare => self.compare().await,
                Step::Wait => self.wait().await?,
            };
            if let Some(words) = words {
                return Some((Ok(Bytes::from_static(words.as_bytes())), self));
            }
        }
    }

    /// Whether the page is still what its reader would see now.
    async fn compare(&mut self) -> Option<&'static str> {
        self.at = Step::Wait;
        if !self.sessions.stands(&self.seated) {
            self.at = Step::End;
            return Some("event: over\ndata: over\n\n");
        }
        let at = *self.pulse.borrow_and_update();
        let fresh = async || look(&*self.desk, &self.reviewer, &self.about).await;
        let now = self.look.at(at, fresh).await;
        if now == self.seen {
            return None;
        }
        self.seen = now;
        Some("event: changed\ndata: changed\n\n")
    }

    /// Until something happened, or a while; `None` at the server's end.
    async fn wait(&mut self) -> Option<Option<&'static str>> {
        let silent = tokio::select! {
            () = self.stop.cancelled() => return None,
            changed = self.pulse.changed() => {
                changed.ok()?;
                false
            }
            () = tokio::time::sleep(BEAT) => true,
        };
        self.at = Step::Compare;
        Some(silent.then_some(":\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_many_streams_of_somebody_show_is_looked_up_once_for_each_change() {
        let (look, asked) = (Look::default(), AtomicUsize::new(0));
        for at in [0, 0, 1, 7] {
            let fresh = async || {
                tokio::task::yield_now().await;
                format!("{}", asked.fetch_add(1, Ordering::SeqCst))
            };
            let all = futures::future::join_all((0..8).map(|_| look.at(at, fresh))).await;
            assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn nobody_takes_the_places_of_others() {
        let streams = Streams::new(CancellationToken::new());
        let hash = |of: usize| Hash::of(&of.to_be_bytes());
        let person = hash(1_000);
        let mut seats: Vec<_> = (0..PER_PERSON)
            .map(|one| streams.seat(hash(one), person).unwrap())
            .collect();
        assert!(streams.seat(hash(500), person).is_none(), "in a session more");
        let other = streams.seat(hash(600), hash(1_001)).unwrap();
        seats.pop();
        seats.push(streams.seat(hash(501), person).unwrap());
        drop((seats, other));
        assert!(streams.of.lock().unwrap().is_empty());
        // Of one session fewer, and of all so many.
        let few: Vec<_> = (0..=PER_SESSION).map(|_| streams.seat(hash(0), person)).collect();
        assert_eq!(few.iter().flatten().count(), PER_SESSION);
        drop(few);
        let all: Vec<_> = (0..=MOST)
            .map(|one| streams.seat(hash(one), hash(one + 5_000)))
            .collect();
        assert_eq!(all.iter().flatten().count(), MOST);
    }

    #[tokio::test]
    async fn who_does_not_read_loses_the_stream() {
        let (give, mut take) = mpsc::channel(QUEUE);
        let parts = futures::stream::repeat_with(|| Ok(Bytes::from_static(b":\n\n"))).boxed();
        forward(parts, give, Duration::ZERO).await; // ends by itself
        let mut had = 0;
        while take.recv().await.is_some() {
            had += 1;
        }
        assert_eq!(had, QUEUE);
        // And who is gone loses it at once, though nothing happens.
        let (give, take) = mpsc::channel(QUEUE);
        drop(take);
        forward(futures::stream::pending().boxed(), give, PATIENCE).await;
    }
}
