//! The start's self-test, from inside: tries what must not work, before and after the helper's own layers,
//! so that each layer is seen to hold without the others.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::super::protocol::{Bounds, HELPER, Probed, Report, WORK};
use super::confine;

/// Documentation addresses (RFC 5737, RFC 3849): nobody is there, so only a refusal at once is good.
const ELSEWHERE: [&str; 2] = ["192.0.2.1:53", "[2001:db8::1]:53"];
const SOON: Duration = Duration::from_millis(200);

/// Tries everything.
pub(super) fn run(bounds: &Bounds, hidden: &[String]) -> Report {
    let mut breaches = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            breaches.push(what.to_owned());
        }
    };
    namespaces(&mut must);
    files(hidden, &mut must);
    let landlock = match confine::confine(bounds, false) {
        Ok(version) => version,
        Err(error) => return Report::Failed(error),
    };
    confined(landlock, &mut must);
    Report::Probed(Probed { breaches, landlock })
}

fn namespaces(must: &mut dyn FnMut(bool, &str)) {
    for address in ELSEWHERE {
        let Ok(address) = address.parse::<SocketAddr>() else {
            continue;
        };
        let reached = TcpStream::connect_timeout(&address, SOON);
        let at_once = |error: &std::io::Error| error.kind() != std::io::ErrorKind::TimedOut;
        must(
            reached.as_ref().is_err_and(at_once),
            "the network namespace lets a connection out",
        );
    }
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let others = interfaces
        .lines()
        .skip(2)
        .filter(|line| !line.trim_start().starts_with("lo:"));
    must(
        !interfaces.is_empty() && others.count() == 0,
        "there is a network interface",
    );
    #[expect(deprecated, reason = "without CLONE_FILES the call is sound")]
    let nested = rustix::thread::unshare(UnshareFlags::NEWUSER);
    must(nested.is_err(), "a nested user namespace can be made");
    must(processes() == 1, "another process is visible");
    must(
        std::process::id() == 1,
        "this is not the first process of a namespace",
    );
}

fn files(hidden: &[String], must: &mut dyn FnMut(bool, &str)) {
    for folder in ["/", "/usr", "/etc", "/dev", "/proc/sys/kernel", WORK] {
        let file = Path::new(folder).join("tollgate-probe");
        must(
            fs::write(file, "").is_err(),
            &format!("{folder} can be written to"),
        );
    }
    must(
        fs::OpenOptions::new().write(true).open(HELPER).is_err(),
        "the helper can be written to",
    );
    let fixed = [
        "/root",
        "/home",
        "/var",
        "/run",
        "/sys",
        "/boot",
        "/mnt",
        "/etc/shadow",
        "/etc/hostname",
    ];
    for path in fixed.into_iter().chain(hidden.iter().map(String::as_str)) {
        must(!Path::new(path).exists(), "a file of the host is visible");
    }
    must(
        fs::write("/tmp/tollgate-probe", "x").is_ok() && fs::remove_file("/tmp/tollgate-probe").is_ok(),
        "/tmp cannot be used",
    );
}

/// After the helper's own layers.
fn confined(landlock: u32, must: &mut dyn FnMut(bool, &str)) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .unwrap_or_default()
    };
    must(field("Seccomp:") == "2", "there is no system call filter");
    must(field("NoNewPrivs:") == "1", "no_new_privs is not set");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        must(
            field(set).bytes().all(|digit| digit == b'0'),
            "there is a capability left",
        );
    }
    let denied = |done: std::io::Result<()>| {
        done.is_err_and(|error| error.raw_os_error() == Some(Errno::PERM.raw_os_error()))
    };
    must(
        denied(UdpSocket::bind("127.0.0.1:0").map(drop)),
        "the system call filter lets a network socket be made",
    );
    must(
        landlock == 0 || fs::read(HELPER).is_err(),
        "Landlock lets a file be read that no rule names",
    );
}

/// How many processes there are to be seen.
fn processes() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .iter()
                .all(u8::is_ascii_digit)
        })
        .count()
}
