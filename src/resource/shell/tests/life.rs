//! Nothing outlives a call: not a timeout, not a cancelled or dropped one.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::support::*;

/// Ways to get away from whoever kills a process group; each leaves `marker` in a command line.
fn escapes(marker: &str) -> Vec<String> {
    [
        "sleep 600MARK & sleep 600MARK",
        "setsid sleep 600MARK & exec sleep 600MARK",
        "(setsid sh -c 'sleep 600MARK & sleep 600MARK' &) ; sleep 600MARK",
        "nohup setsid sh -c 'trap \"\" TERM INT HUP; sleep 600MARK; sleep 600MARK' >/dev/null 2>&1 & sleep 600MARK",
        "perl -e 'fork and exit; setpgrp; fork and exit; close STDOUT; close STDERR; sleep 600 if \"MARK\"' & sleep 600MARK",
    ]
    .iter()
    .map(|text| text.replace("MARK", marker))
    .collect()
}

/// How many children there are once those that are on their way out have gone.
pub(super) async fn settled() -> usize {
    for _ in 0..500 {
        if children().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    children().len()
}

/// A number that `sleep` takes and nothing else has.
fn marker(salt: u32) -> String {
    format!(".{}{salt}7", std::process::id())
}

#[tokio::test]
async fn nothing_survives_a_timeout() {
    let site = site();
    let marker = marker(1);
    for escape in escapes(&marker) {
        let given = site
            .try_run(
                &script(&escape),
                false,
                Duration::from_millis(250),
                &Yes::default(),
                &Default::default(),
            )
            .await
            .unwrap();
        assert_eq!(given.stopped_by(), Some("timeout"), "{escape}: {}", given.err());
        assert_eq!(running(&marker), 0, "{escape}");
        assert_eq!(children(), Vec::<String>::new(), "{escape}");
    }
}

#[tokio::test]
async fn nothing_survives_the_end_of_the_line() {
    let site = site();
    let marker = marker(2);
    let given = site
        .sh(&format!("setsid sleep 600{marker} >/dev/null 2>&1 & echo done"))
        .await;
    assert_eq!((given.out(), given.stopped_by()), ("done\n", None));
    assert_eq!((running(&marker), children().len()), (0, 0));
}

#[tokio::test]
async fn a_cancelled_call_ends_and_leaves_nothing() {
    let site = site();
    let marker = marker(3);
    let yes = Yes::default();
    let cancel = yes.heard.clone(); // fires once the program is seen to run
    let text = format!("echo it has started.; setsid sleep 600{marker} & sleep 600{marker}");
    let refused = site.try_run(&script(&text), false, LONG, &yes, &cancel).await;
    assert_eq!(refused.err().unwrap().code.as_str(), "cancelled");
    assert_eq!((running(&marker), children().len()), (0, 0));
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing() {
    let site = Arc::new(site());
    let marker = marker(4);
    for _ in 0..10 {
        let yes = Arc::new(Yes::default());
        let (heard, text) = (
            yes.heard.clone(),
            format!("echo it has started.; setsid sleep 600{marker} & sleep 600{marker}"),
        );
        let task = tokio::spawn({
            let (site, yes) = (site.clone(), yes.clone());
            async move {
                site.try_run(&script(&text), false, LONG, &yes, &CancellationToken::new())
                    .await
                    .is_ok()
            }
        });
        heard.cancelled().await;
        task.abort();
        let _ = task.await;
    }
    // Dropped before the sandbox was there, too: at every point of the way.
    for polls in 1..30 {
        let line = script(&format!("sleep 600{marker}"));
        let (yes, cancel) = (Yes::default(), CancellationToken::new());
        let run = site.try_run(&line, false, LONG, &yes, &cancel);
        let mut run = Box::pin(run);
        for _ in 0..polls {
            let _ = futures::poll!(&mut run);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(run);
    }
    assert_eq!(settled().await, 0, "{:?}", children());
    assert_eq!(running(&marker), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_timeouts_leave_no_descendant_and_no_zombie() {
    let site = site();
    let marker = marker(5);
    let escapes = escapes(&marker);
    let scripts: Vec<_> = (0..1000).map(|n| script(&escapes[n % escapes.len()])).collect();
    let stopped = futures::stream::iter(&scripts)
        .map(|line| {
            let site = &site;
            async move {
                let wall = Duration::from_millis(40);
                let (yes, cancel) = (Yes::default(), CancellationToken::new());
                let given = site.try_run(line, false, wall, &yes, &cancel).await.unwrap();
                given.stopped_by() == Some("timeout")
            }
        })
        .buffer_unordered(8)
        .filter(|stopped| std::future::ready(*stopped))
        .count()
        .await;
    assert_eq!(stopped, 1000);
    assert_eq!((running(&marker), children().len()), (0, 0));
}
