//! Bombs: each ends in time, with the right word.

use std::time::Duration;

use super::support::*;
use crate::call::Code;
use crate::resource::shell::Bounds;
use crate::resource::shell::line::Line;

const MIB: u64 = 1024 * 1024;

fn small() -> Bounds {
    Bounds {
        memory: 96 * MIB,
        cpu_seconds: 1,
        file: MIB,
        scratch: 4 * MIB,
        processes: 40,
        output: 2 * MIB,
        ..Bounds::default()
    }
}

/// Which limit a bomb is refused for.
async fn refused(site: &Site, line: &Line) -> String {
    let (look, cancel) = (Yes::default(), Default::default());
    let wall = Duration::from_secs(600);
    let given = site.try_run(line, false, wall, &look, &cancel).await;
    let refusal = given.err().unwrap();
    assert_eq!(refusal.code, Code::LimitExceeded, "{refusal:?}");
    let words = refusal.message.split("the limit on ").nth(1).unwrap();
    words.split(',').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_memory_bomb_is_stopped_by_memory() {
    let bombs = [
        "my $x = 'a' x 400_000_000; sleep 600",
        "my @x; push @x, 'a' x 1_000_000 while 1",
        "for (1..8) { fork or last } my $x = 'a' x 30_000_000; sleep 600",
    ];
    let site = site_with(Bounds {
        cpu_seconds: 600,
        ..small()
    });
    for bomb in bombs {
        let line = one(&["perl", "-e", bomb]);
        assert_eq!(refused(&site, &line).await, "memory", "{bomb}");
    }
    // What asks for more than a program may ever have is told so by its own memory allocation.
    let given = site
        .run(
            &one(&["perl", "-e", "my $x = 'a' x 8_000_000_000; print 1"]),
            false,
        )
        .await;
    assert_eq!((given.out(), given.code() != 0), ("", true));
}

/// Memory is memory whoever else can see it, and whether or not anybody still holds it.
#[tokio::test]
async fn a_memory_bomb_in_shared_memory_is_stopped_by_memory() {
    // mmap(2) of shared anonymous memory, filled by read(2), alone and in parts; and memory in no address space.
    const MAP: &str = "sub fill { my $n = shift; my $at = syscall(9, 0, $n, 3, 0x21, -1, 0); \
                       open my $zero, '<', '/dev/zero'; syscall(0, fileno $zero, $at, $n) }";
    const SEGMENT: &str = "my $s = shmget(0, 200_000_000, 01600) // die $!; \
                           shmwrite($s, 'x' x 1_000_000, $_ * 1_000_000, 1_000_000) for 0..199; sleep 600";
    let mut bombs = vec![SEGMENT.to_owned()];
    if cfg!(target_arch = "x86_64") {
        bombs.push(format!("{MAP} fill(200_000_000); sleep 600"));
        bombs.push(format!(
            "{MAP} for (1..8) {{ fork or last }} fill(30_000_000); sleep 600"
        ));
    }
    let site = site_with(Bounds {
        cpu_seconds: 600,
        file: 1024 * MIB,
        ..small()
    });
    for bomb in bombs {
        let line = one(&["perl", "-e", &bomb]);
        assert_eq!(refused(&site, &line).await, "memory", "{bomb}");
    }
    if cfg!(target_arch = "x86_64") {
        let given = site
            .run(
                &one(&[
                    "perl",
                    "-e",
                    "my $name = 'x'; print syscall(319, $name, 0), ' ', $! + 0",
                ]),
                false,
            )
            .await;
        assert_eq!(given.out(), "-1 38", "{}", given.err()); // ENOSYS
    }
}

/// Programs that take all a machine has take it from themselves first.
#[tokio::test]
async fn programs_give_way_to_the_server() {
    let given = site().sh("cat /proc/self/oom_score_adj; nice; echo 0 2>/dev/null > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj").await;
    let told: Vec<&str> = given.out().lines().collect();
    assert!(
        matches!(told.as_slice(), ["1000", nice, "1000"] if nice.parse::<i32>().unwrap() >= 10),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_output_bomb_is_stopped_by_output_and_a_long_output_is_not() {
    let site = site_with(small());
    for bomb in ["yes", "yes >&2", "cat /dev/zero", "yes | cat | cat"] {
        assert_eq!(refused(&site, &script(bomb)).await, "output", "{bomb}");
    }
    let given = site
        .sh("head -c 1000000 /dev/zero | tr '\\0' 'a'; echo; echo end")
        .await;
    assert_eq!((given.stopped_by(), given.code()), (None, 0));
    assert_eq!(given.data["stdout_bytes"], 1_000_005);
    assert!(given.out().contains("bytes left out]") && given.out().ends_with("end\n"));
    assert!(given.raw.truncated);
}

#[tokio::test]
async fn an_endless_loop_is_stopped_by_cpu_and_a_sleeper_by_time() {
    let site = site_with(small());
    let given = site.run(&one(&["perl", "-e", "1 while 1"]), false).await;
    assert_eq!((given.stopped_by(), given.code()), (Some("cpu"), 152));
    let given = site
        .try_run(
            &script("echo before; sleep 600; echo after"),
            false,
            Duration::from_millis(300),
            &Yes::default(),
            &Default::default(),
        )
        .await
        .unwrap();
    assert_eq!(
        (given.stopped_by(), given.code(), given.out()),
        (Some("timeout"), 137, "before\n")
    );
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_ends_with_its_time() {
    let site = site_with(small());
    let marker = format!("bomb-{}", std::process::id());
    let bomb = format!("my $m = '{marker}'; fork while 1");
    let given = site
        .try_run(
            &one(&["perl", "-e", &bomb]),
            false,
            Duration::from_millis(700),
            &Yes::default(),
            &Default::default(),
        )
        .await;
    match given {
        Ok(given) => assert!(
            matches!(given.stopped_by(), Some("timeout" | "cpu")),
            "{:?}",
            given.stopped_by()
        ),
        Err(refusal) => assert_eq!(refusal.code, Code::LimitExceeded, "{refusal:?}"),
    }
    assert_eq!(running(&marker), 0);
    let counted = "my $n = 0; while (1) { my $p = fork; last unless defined $p; if (!$p) { sleep 600 } $n++ } print $n < 60 ? 'few' : $n";
    assert_eq!(site.run(&one(&["perl", "-e", counted]), false).await.out(), "few");
}

#[tokio::test]
async fn files_and_scratch_are_bounded() {
    let site = site_with(small());
    let given = site
        .sh("head -c 3000000 /dev/zero > /tmp/one; echo $?; for i in 1 2 3 4 5 6 7 8; do head -c 1000000 /dev/zero > /tmp/f$i; done 2>/dev/null; \
             du -sk /tmp | cut -f1; ulimit -c")
        .await;
    let lines: Vec<&str> = given.out().lines().collect();
    assert_eq!(lines[0], "153", "{:?}", given.err());
    assert!(lines[1].parse::<u64>().unwrap() <= 4096, "{lines:?}");
    assert_eq!(lines[2], "0");
}
