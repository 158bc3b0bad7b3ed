//! A work folder with a sandbox, and ways to run things in it. The helper is the real program, which cargo
//! builds beside the test's own file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::super::line::{Argv, Line, ProgramKind, Step, When};
use super::super::runner::Allowance;
use super::super::{Bounds, Folder, Job, Spec};
use crate::call::{Effect, LastLook, RawOutput, Refusal};
use crate::clock::System;
use crate::mask::Mask;

pub(super) const USER: &str = "corp#u-1";
/// Longer than any test takes: what ends earlier was ended by something else.
pub(super) const LONG: Duration = Duration::from_secs(600);

pub(super) struct Site {
    pub(super) dir: TempDir,
    pub(super) folder: Folder,
}

/// The real program, beside this test's file.
pub(super) fn helper() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let helper = this.parent().unwrap().parent().unwrap().join("tollgate");
    assert!(helper.is_file(), "{} is not built: cargo build", helper.display());
    helper
}

pub(super) fn site_with(bounds: Bounds) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let spec = Spec {
        name: "build".to_owned(),
        workdir: dir.path().join("work"),
        programs: ["sh".to_owned()].into(),
        bounds,
        helper: helper(),
        screen: Arc::new(Mask::new()),
    };
    let folder = Folder::open(spec, Arc::new(System::new())).unwrap();
    if let Err(fault) = folder.layers() {
        panic!("there is no sandbox here: {fault}; instead: {}", fault.remedy());
    }
    Site { dir, folder }
}

pub(super) fn site() -> Site {
    site_with(Bounds::default())
}

pub(super) fn argv(words: &[&str]) -> Argv {
    Argv {
        program: words[0].to_owned(),
        args: words[1..].iter().map(|word| (*word).to_owned()).collect(),
        kind: ProgramKind::Script,
    }
}

pub(super) fn line(steps: Vec<(When, Vec<Argv>)>) -> Line {
    let steps = steps.into_iter().map(|(when, pipeline)| Step { when, pipeline });
    Line {
        steps: steps.collect(),
    }
}

pub(super) fn one(words: &[&str]) -> Line {
    line(vec![(When::Always, vec![argv(words)])])
}

/// A script of the shell that happens to be in the sandbox: the easiest way to try to get out.
pub(super) fn script(text: &str) -> Line {
    one(&["sh", "-c", text])
}

/// Says yes and remembers what it was told.
#[derive(Default)]
pub(super) struct Yes {
    pub(super) looks: AtomicUsize,
    pub(super) news: Mutex<Vec<String>>,
    pub(super) refuses: bool,
    /// Fires with the first news.
    pub(super) heard: CancellationToken,
}

impl LastLook for Yes {
    fn look<'a>(&'a self, _: Option<&'a Effect>) -> BoxFuture<'a, Result<(), Refusal>> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        let answer = if self.refuses {
            Err(Refusal::cancelled())
        } else {
            Ok(())
        };
        Box::pin(std::future::ready(answer))
    }

    fn progress<'a>(&'a self, text: &'a str) -> BoxFuture<'a, ()> {
        self.news.lock().unwrap().push(text.to_owned());
        self.heard.cancel();
        Box::pin(std::future::ready(()))
    }
}

pub(super) struct Given {
    pub(super) data: Value,
    pub(super) raw: RawOutput,
}

impl Given {
    pub(super) fn out(&self) -> &str {
        self.data["stdout"].as_str().unwrap()
    }
    pub(super) fn err(&self) -> &str {
        self.data["stderr"].as_str().unwrap()
    }
    pub(super) fn code(&self) -> i64 {
        self.data["exit_code"].as_i64().unwrap()
    }
    pub(super) fn stopped_by(&self) -> Option<&str> {
        self.data["stopped_by"].as_str()
    }
}

impl Site {
    pub(super) fn allowance(&self, wall: Duration) -> Allowance {
        Allowance {
            wall,
            keep: 32 * 1024,
            output: self.folder.sandbox.as_ref().unwrap().bounds().output,
        }
    }

    pub(super) async fn try_run(
        &self,
        line: &Line,
        change: bool,
        wall: Duration,
        last: &Yes,
        cancel: &CancellationToken,
    ) -> Result<Given, Refusal> {
        let job = Job {
            user: USER,
            change,
            line,
            allowance: self.allowance(wall),
        };
        let mut raw = self.folder.execute(job, last, cancel).await?;
        Ok(Given {
            data: raw.take_data(),
            raw,
        })
    }

    pub(super) async fn run(&self, line: &Line, change: bool) -> Given {
        let cancel = CancellationToken::new();
        self.try_run(line, change, LONG, &Yes::default(), &cancel)
            .await
            .unwrap()
    }

    /// A script, and all it wrote.
    pub(super) async fn sh(&self, text: &str) -> Given {
        self.run(&script(text), false).await
    }
}

/// Processes on this machine in whose command line `marker` is.
pub(super) fn running(marker: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| String::from_utf8_lossy(line).contains(marker))
        .count()
}

/// Children of this process, zombies included.
pub(super) fn children() -> Vec<String> {
    let me = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let after = stat.rsplit(')').next().unwrap_or_default();
            after.split_whitespace().nth(1) == Some(me.as_str())
        })
        .collect()
}
