//! The sandbox from inside: what somebody who runs any program there can see, reach and change.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::support::*;

#[tokio::test]
async fn no_network_of_any_kind() {
    let site = site();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let name = format!("tollgate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _abstract = UnixListener::bind_addr(&address).unwrap();
    let attempts = format!(
        r#"
        use Socket;
        my ($t, $u, $i, $six, $n, $p, $v, $l);
        sub say1 {{ print "$_[0]\n" }}
        socket($t, PF_INET, SOCK_STREAM, 0) and connect($t, sockaddr_in({}, inet_aton("127.0.0.1"))) and say1 "tcp";
        socket($u, PF_INET, SOCK_DGRAM, 0) and send($u, "x", 0, sockaddr_in({}, inet_aton("127.0.0.1"))) and say1 "udp";
        socket($i, PF_INET, SOCK_STREAM, 0) and say1 "an internet socket";
        socket($six, 10, SOCK_STREAM, 0) and say1 "an IPv6 socket";
        socket($n, 16, SOCK_RAW, 0) and say1 "a netlink socket";
        socket($p, 17, SOCK_RAW, 0) and say1 "a packet socket";
        socket($v, 40, SOCK_STREAM, 0) and say1 "a vsock";
        socket($l, PF_UNIX, SOCK_STREAM, 0) and connect($l, pack("S a*", AF_UNIX, "\0{name}")) and say1 "abstract";
        gethostbyname("localhost.example.com") and say1 "dns";
        print "done\n";
        "#,
        tcp.local_addr().unwrap().port(),
        udp.local_addr().unwrap().port(),
    );
    let given = site.run(&one(&["perl", "-e", &attempts]), false).await;
    assert_eq!((given.out(), given.err()), ("done\n", ""));
}

#[tokio::test]
async fn nothing_can_be_written_but_scratch_and_with_change_the_work_folder() {
    let site = site();
    let attempts = "for d in / /usr /usr/bin /etc /bin /lib /dev /dev/shm /proc /proc/sys/kernel /proc/self \
                    /work ./shared /root /home; do
                      (: > $d/mine) 2>/dev/null && echo wrote $d; mkdir $d/own 2>/dev/null && echo made $d
                    done; : > /tmp/mine && echo scratch";
    assert_eq!(site.sh(attempts).await.out(), "scratch\n");
    let given = site.run(&script(attempts), true).await;
    assert_eq!(given.out(), "wrote /work\nmade /work\nscratch\n");
    // It is there the next time, for this user, and cannot be changed any more; scratch is new each time.
    let given = site.sh("ls /work /tmp; rm ./mine 2>/dev/null || echo kept").await;
    assert_eq!(given.out(), "/tmp:\n\n/work:\nmine\nown\nshared\nkept\n");
    for (from, to) in [("own", "moved"), ("shared", "moved")] {
        let given = site
            .run(&script(&format!("mv ./{from} ./{to} && echo moved")), true)
            .await;
        assert_eq!(given.out() == "moved\n", from == "own", "{from}: {}", given.err());
    }
    let given = site
        .run(&script("rm -rf ./shared; umount ./shared; ls -d ./shared"), true)
        .await;
    assert_eq!(given.out(), "./shared\n");
}

#[tokio::test]
async fn the_operators_files_are_there_and_one_users_are_not_anothers() {
    let site = site();
    let shared = site.folder.place.shared();
    std::fs::write(shared.join("readme.txt"), "for everybody\n").unwrap();
    assert_eq!(
        site.sh("cat shared/readme.txt; pwd").await.out(),
        "for everybody\n/work\n"
    );
    site.run(&script("echo mine > ./private"), true).await;
    let (first, second) = (
        site.folder.place.of(USER),
        site.folder.place.ready("corp#u-2").unwrap(),
    );
    assert_ne!(first, second);
    assert!(first.join("private").is_file() && !second.join("private").exists());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&first).unwrap());
    assert_eq!(mode & 0o7777, 0o700);
    assert!(
        !first.display().to_string().contains("u-1"),
        "{}",
        first.display()
    );
}

#[tokio::test]
async fn a_link_in_place_of_a_work_folder_is_not_followed() {
    let site = site();
    let path = site.folder.place.of(USER);
    std::os::unix::fs::symlink("/etc", &path).unwrap();
    let refused = site
        .try_run(&script("ls"), true, LONG, &Yes::default(), &Default::default())
        .await;
    let refused = refused.err().unwrap();
    assert_eq!(refused.code.as_str(), "sandbox_unavailable");
    std::fs::remove_file(&path).unwrap();
    let given = site
        .run(
            &script("ln -s /etc/passwd link; ln -s /proc/1/root out; cat link out/etc/shadow"),
            true,
        )
        .await;
    assert_eq!((given.out(), given.code()), ("", 1), "{}", given.err());
}

#[tokio::test]
async fn no_other_process_is_visible_and_the_first_one_cannot_be_touched() {
    let site = site();
    let given = site
        .sh("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/comm; done; kill -9 1; kill -9 -1 2>/dev/null; echo alive")
        .await;
    // `kill -9 -1` ends everybody but the first process and itself.
    let names: Vec<&str> = given.out().lines().collect();
    assert!(names.len() <= 4, "{names:?}");
    let attempts = "for f in environ mem maps fd/0 fd/3 root/etc/passwd cwd/x exe; do
        cat /proc/1/$f >/dev/null 2>&1 && echo read $f; done; ls /proc/1/fd /proc/1/root 2>/dev/null; echo done";
    assert_eq!(site.sh(attempts).await.out(), "done\n");
}

#[tokio::test]
async fn no_namespace_no_tracing_no_devices_no_kernel() {
    let site = site();
    let calls = [
        ("ptrace", libc::SYS_ptrace, "16, 1, 0, 0"),
        ("unshare", libc::SYS_unshare, "0x10000000"),
        ("unshare net", libc::SYS_unshare, "0x40000000"),
        ("setns", libc::SYS_setns, "0, 0"),
        ("mount", libc::SYS_mount, "\"none\", \"/tmp\", \"tmpfs\", 0, 0"),
        ("bpf", libc::SYS_bpf, "0, 0, 0"),
        ("keyctl", libc::SYS_keyctl, "0, -3, 1"),
        ("io_uring", libc::SYS_io_uring_setup, "1, 0"),
        ("userfaultfd", libc::SYS_userfaultfd, "1"),
        ("perf", libc::SYS_perf_event_open, "0, 0, 0, 0, 0"),
        ("process_vm_readv", libc::SYS_process_vm_readv, "1, 0, 0, 0, 0, 0"),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, "0, 0, 0"),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, "0, 0, 0"),
        ("clone newuser", libc::SYS_clone, "0x10000011, 0, 0, 0, 0"),
    ];
    let mut text = String::new();
    for (name, number, arguments) in calls {
        text.push_str(&format!(
            "{{ $! = 0; my @a = ({arguments}); my $r = syscall({number}, @a); print \"{name} $r $!{{EPERM}}\\n\" unless $r == -1 && $!{{EPERM}}; }}\n"
        ));
    }
    text.push_str(&format!(
        "$! = 0; syscall({}, 0, 0); print \"clone3\\n\" unless $!{{ENOSYS}}; print \"done\\n\";",
        libc::SYS_clone3
    ));
    let given = site.run(&one(&["perl", "-MErrno", "-e", &text]), false).await;
    assert_eq!((given.out(), given.err()), ("done\n", ""));
    let given = site
        .sh(
            "unshare -Ur id; unshare -n id; nsenter -t 1 -m id; ls /dev; cat /dev/mem /dev/kmsg /dev/sda; \
             mknod /tmp/null c 1 3; chroot / id; dmesg",
        )
        .await;
    let devices = "core\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert_eq!(given.out(), devices, "{}", given.err());
}

#[tokio::test]
async fn incident_19_policies_store_keys_and_configuration_are_out_of_reach() {
    let site = site();
    let beside = site.dir.path().join("tollgate.toml");
    std::fs::write(&beside, "[store]").unwrap();
    let users = site.folder.place.users();
    let attempts = format!(
        "for f in {} {} /etc/shadow /etc/passwd /etc/hostname /root /home /var /run /sys /boot /opt /srv /mnt \
         /proc/1/root/etc /proc/self/root/etc/shadow /proc/thread-self/root/root /.tollgate; do
           cat $f >/dev/null 2>&1 && echo read $f; ls $f >/dev/null 2>&1 && echo listed $f; (: >> $f) 2>/dev/null && echo wrote $f
         done; echo done",
        beside.display(),
        users.display(),
    );
    let out = site.sh(&attempts).await.out().replace("listed /.tollgate\n", ""); // its name is no secret
    assert_eq!(out, "done\n");
    let given = site.sh("ls /").await;
    assert!(
        given.out().lines().all(|name| name == "usr"
            || name.starts_with("lib")
            || "bin dev etc proc sbin tmp work".contains(name)),
        "{}",
        given.out()
    );
    let given = site
        .sh("/.tollgate check; /.tollgate __sandbox < /dev/null")
        .await;
    assert_eq!(given.code(), 126, "{}", given.err());
}

/// Runs only as a child of the test below, which gives it a secret in its environment.
#[tokio::test]
async fn the_environment_is_ours() {
    let given = site()
        .sh("env | sort; cat /proc/self/environ | tr '\\0' '\\n' | grep -c CANARY")
        .await;
    assert_eq!(
        given.out(),
        "HOME=/tmp\nLANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\nPWD=/work\nTZ=UTC\n0\n"
    );
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test binary started again with another environment"
)]
async fn incident_21_the_servers_credentials_are_not_visible() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "resource::shell::tests::inside::the_environment_is_ours",
        ])
        .env("AWS_SECRET_ACCESS_KEY", "CANARY")
        .env("LD_PRELOAD_CANARY", "CANARY")
        .env("BASH_ENV", "/tmp/CANARY")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn inside_nobody_is_root() {
    let site = site();
    let given = site
        .sh("id -u; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; su -c id; sudo id; mount")
        .await;
    let mut lines = given.out().lines();
    assert_eq!(lines.next(), Some("1000"));
    let rest: Vec<&str> = lines.collect();
    assert!(
        rest.contains(&"NoNewPrivs:\t1") && rest.contains(&"Seccomp:\t2"),
        "{rest:?}"
    );
    assert_eq!(
        rest.iter()
            .filter(|line| line.ends_with("\t0000000000000000"))
            .count(),
        5,
        "{rest:?}"
    );
    // To the kernel, too: who runs it is known outside.
    let mounts = crate::resource::shell::Mounts {
        work: site.folder.place.ready(USER).unwrap(),
        shared: None,
        change: false,
    };
    let started = site
        .folder
        .sandbox
        .as_ref()
        .unwrap()
        .prepare(&mounts)
        .await
        .unwrap();
    assert_ne!(started.uid().unwrap(), 0);
}
