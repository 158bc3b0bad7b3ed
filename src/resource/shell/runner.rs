//! Runs a plan in a sandbox that is ready: limits, output, news, and the end of everything in it.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use super::output::{Channel, Kept};
use super::protocol::{Plan, Report};
use super::recording::Recording;
use super::sandbox::Started;
use crate::call::{LastLook, Screen};
use crate::clock::World;

/// News at most this often.
const NEWS_EVERY: Duration = Duration::from_millis(250);
/// The most bytes of one piece of news.
const NEWS_BYTES: usize = 1024;
/// Bytes taken from a pipe at once.
const CHUNK: usize = 64 * 1024;
/// How long what was killed may take to be gone before the rest is left to the kernel.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// What one run may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Wall time.
    pub(super) wall: Duration,
    /// Bytes of the head, and of the tail, of each stream.
    pub(super) keep: usize,
    /// Bytes of both streams after which everything is stopped.
    pub(super) output: u64,
}

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stopped_by: Option<String>,
    pub(super) stdout: Kept,
    pub(super) stderr: Kept,
    pub(super) recording: String,
}

/// Why there is no [`Ended`].
#[derive(Debug)]
pub(super) enum Broken {
    /// The caller went away.
    Cancelled,
    /// The helper could not do its part; nothing was started.
    NotStarted(String),
    /// The helper ended without a word: what the programs did is not known.
    Silent,
}

/// Runs it. When this returns, and when it is dropped, nothing of it is left.
pub(super) async fn run(
    mut started: Started,
    plan: &Plan,
    allowance: Allowance,
    around: &Around<'_>,
    cancel: &CancellationToken,
) -> Result<Ended, Broken> {
    let mut streams = Streams::new(allowance, around);
    let stopped = {
        let Started {
            control,
            stdout,
            stderr,
            ..
        } = &mut started;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Stop::Cancelled),
            () = tokio::time::sleep(allowance.wall) => Err(Stop::Word("timeout")),
            done = async {
                Started::send(control, plan).await.map_err(|_| Stop::Silent)?;
                let report = async { Started::report(control).await.ok_or(Stop::Silent) };
                let (report, ()) = tokio::try_join!(report, streams.read(stdout, stderr))?;
                Ok(report)
            } => done,
        }
    };
    started.kill();
    let rest = async {
        let Started { stdout, stderr, .. } = &mut started;
        let _ = streams.read(stdout, stderr).await; // what was in the pipes; the ends are closed now
        started.gone().await;
    };
    let _ = tokio::time::timeout(GONE_WITHIN, rest).await;
    let (code, word) = match stopped {
        Ok(Report::Ended { code, stopped_by }) => (code, stopped_by),
        Ok(Report::Failed(why)) => return Err(Broken::NotStarted(why)),
        Ok(Report::Probed(_)) | Err(Stop::Silent) => return Err(Broken::Silent),
        Err(Stop::Cancelled) => return Err(Broken::Cancelled),
        Err(Stop::Word(word)) => (KILLED, Some(word.to_owned())),
    };
    Ok(streams.ended(code, word))
}

/// 128 + SIGKILL, as a shell would say.
const KILLED: i32 = 137;

enum Stop {
    Cancelled,
    Word(&'static str),
    Silent,
}

/// What a run needs of the world.
pub(super) struct Around<'a> {
    pub(super) world: &'a dyn World,
    pub(super) screen: &'a dyn Screen,
    pub(super) last: &'a dyn LastLook,
}

struct Streams<'a> {
    around: &'a Around<'a>,
    out: Channel,
    err: Channel,
    recording: Recording,
    began: Duration,
    /// Bytes that may still come.
    left: u64,
    /// Seen and not told yet.
    news: String,
    told: Duration,
}

impl<'a> Streams<'a> {
    fn new(allowance: Allowance, around: &'a Around<'a>) -> Self {
        let began = around.world.monotonic();
        Self {
            around,
            out: Channel::new(around.screen.stream(), allowance.keep),
            err: Channel::new(around.screen.stream(), allowance.keep),
            recording: Recording::new(around.world.now().seconds()),
            began,
            left: allowance.output,
            news: String::new(),
            told: began,
        }
    }

    /// Reads both streams to their ends.
    async fn read(
        &mut self,
        stdout: &mut tokio::net::unix::pipe::Receiver,
        stderr: &mut tokio::net::unix::pipe::Receiver,
    ) -> Result<(), Stop> {
        let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
        let (mut more_out, mut more_err) = (true, true);
        while more_out || more_err {
            let quiet = self.quiet_for();
            let (is_out, read) = tokio::select! {
                read = stdout.read(&mut out), if more_out => (true, read),
                read = stderr.read(&mut err), if more_err => (false, read),
                () = tokio::time::sleep(quiet), if !self.news.is_empty() => {
                    self.tell().await;
                    continue;
                }
            };
            let length = read.unwrap_or(0); // a pipe that cannot be read is over
            let buffer = if is_out { &out } else { &err };
            if length == 0 {
                *(if is_out { &mut more_out } else { &mut more_err }) = false;
                continue;
            }
            self.take(is_out, buffer.get(..length).unwrap_or_default())?;
            self.tell().await;
        }
        Ok(())
    }

    fn take(&mut self, is_out: bool, written: &[u8]) -> Result<(), Stop> {
        let after = self.around.world.monotonic().saturating_sub(self.began);
        let channel = if is_out { &mut self.out } else { &mut self.err };
        let seen = channel.push(written);
        self.recording.output(after, &seen);
        self.news.push_str(&seen);
        trim(&mut self.news);
        let length = written.len() as u64;
        if length > self.left {
            self.left = 0;
            return Err(Stop::Word("output"));
        }
        self.left -= length;
        Ok(())
    }

    /// How long until the next news may be told.
    fn quiet_for(&self) -> Duration {
        let since = self.around.world.monotonic().saturating_sub(self.told);
        NEWS_EVERY.saturating_sub(since)
    }

    /// Passes on the end of what was seen since the last time.
    async fn tell(&mut self) {
        if self.news.is_empty() || !self.quiet_for().is_zero() {
            return;
        }
        self.told = self.around.world.monotonic();
        let news = std::mem::take(&mut self.news);
        self.around.last.progress(&news).await;
    }

    fn ended(self, code: i32, stopped_by: Option<String>) -> Ended {
        let after = self.around.world.monotonic().saturating_sub(self.began);
        let mut recording = self.recording;
        let (seen, stdout) = self.out.finish();
        recording.output(after, &seen);
        let (seen, stderr) = self.err.finish();
        recording.output(after, &seen);
        Ended {
            code,
            stopped_by,
            stdout,
            stderr,
            recording: recording.finish(),
        }
    }
}

/// Keeps the last lines.
fn trim(news: &mut String) {
    if news.len() <= NEWS_BYTES {
        return;
    }
    let mut start = news.len() - NEWS_BYTES;
    while !news.is_char_boundary(start) {
        start += 1;
    }
    news.drain(..start);
    if let Some(end) = news.find('\n').filter(|end| end + 1 < news.len()) {
        news.drain(..=end);
    }
}
