//! What the helper takes from itself, and so from every program it starts: resource limits, Landlock, system
//! calls. Layers under the namespaces, so that one hole is not a way out.
//!
//! One call here is `unsafe`: close_range(2) with `CLOSE_RANGE_CLOEXEC`, which marks descriptors and closes
//! none, so it cannot break a descriptor that something else owns.
#![expect(unsafe_code, reason = "close_range has no safe wrapper; see above")]

use std::collections::BTreeMap;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::super::protocol::{Bounds, WORK};

/// Namespaces a program could ask for in `clone` (clone(2)).
const NEW_NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Puts words into a terminal's input, or acts on the console (ioctl_tty(2), ioctl_console(2)).
const TERMINAL_REQUESTS: [u64; 2] = [0x5412, 0x541C];

/// System calls no inspection and no build needs, and that reach deep into the kernel or into other processes.
const DENIED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
];

/// Lets no program inherit a descriptor beyond the three standard ones.
pub(super) fn keep_descriptors() -> std::io::Result<()> {
    let (first, last, flags) = (3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    // SAFETY: three integers; with this flag the call closes nothing.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if done == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Takes everything away; gives the Landlock version that is enforced, 0 for none.
///
/// # Errors
/// What could not be taken away. Nothing may then be started.
pub(super) fn confine(bounds: &Bounds, change: bool) -> Result<u32, String> {
    limits(bounds).map_err(|error| format!("resource limits: {error}"))?;
    let version = landlock(change).map_err(|error| format!("landlock: {error}"))?;
    system_calls().map_err(|error| format!("seccomp: {error}"))?;
    Ok(version)
}

fn limits(bounds: &Bounds) -> rustix::io::Result<()> {
    let both = |value| Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Fsize, both(bounds.file))?;
    setrlimit(Resource::Nofile, both(bounds.files))?;
    setrlimit(Resource::As, both(bounds.address_space))?;
    setrlimit(Resource::Nproc, both(bounds.processes))?;
    setrlimit(Resource::Memlock, both(0))?;
    // At the first a program is told (and counted as stopped), a second later it is killed.
    let cpu = Rlimit {
        current: Some(bounds.cpu_seconds),
        maximum: Some(bounds.cpu_seconds.saturating_add(1)),
    };
    setrlimit(Resource::Cpu, cpu)
}

/// The files again, whatever is mounted; and no TCP, no abstract socket and no signal outwards.
fn landlock(change: bool) -> Result<u32, String> {
    let newest = ABI::V6;
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let read = AccessFs::from_read(newest);
    let all = AccessFs::from_all(newest);
    let use_files = AccessFs::ReadFile | AccessFs::ReadDir | AccessFs::WriteFile | AccessFs::IoctlDev;
    let work = if change { all } else { read };
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(newest)))
        .and_then(|ruleset| ruleset.scope(Scope::from_all(newest)))
        .and_then(Ruleset::create)
        .and_then(|set| {
            set.add_rules(path_beneath_rules(
                [
                    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/proc",
                ],
                read,
            ))
        })
        .and_then(|set| set.add_rules(path_beneath_rules(["/dev"], use_files)))
        .and_then(|set| set.add_rules(path_beneath_rules(["/tmp"], all)))
        .and_then(|set| set.add_rules(path_beneath_rules([WORK], work)))
        .map_err(|error| said(&error))?;
    let status = ruleset.restrict_self().map_err(|error| said(&error))?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => (effective_abi as i32).unsigned_abs(),
        _ => 0,
    })
}

fn system_calls() -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| said(&error))?;
    // The first is asked last, and the strictest answer wins.
    for (rules, answer) in [
        (denied().map_err(|error| said(&error))?, libc::EPERM),
        // A C library that is told "there is no clone3" uses clone, whose flags a filter can see.
        // Files in memory that nothing has mapped are in no sum of what programs hold.
        (
            [libc::SYS_clone3, libc::SYS_memfd_create, libc::SYS_memfd_secret]
                .map(|call| (call, Vec::new()))
                .into(),
            libc::ENOSYS,
        ),
    ] {
        let answer = SeccompAction::Errno(answer.unsigned_abs());
        let filter =
            SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).map_err(|error| said(&error))?;
        let program = BpfProgram::try_from(filter).map_err(|error| said(&error))?;
        seccompiler::apply_filter(&program).map_err(|error| said(&error))?;
    }
    #[cfg(target_arch = "x86_64")]
    seccompiler::apply_filter(&other_numbers()).map_err(|error| said(&error))?;
    Ok(())
}

fn denied() -> seccompiler::Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = DENIED.iter().map(|call| (*call, Vec::new())).collect();
    let when = |index, length, operator, value| -> Result<SeccompRule, seccompiler::BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(index, length, operator, value)?])
    };
    let word = || SeccompCmpArgLen::Dword;
    let mut namespaces = Vec::new();
    for flag in NEW_NAMESPACES {
        let flag = u64::from(flag.unsigned_abs());
        namespaces.push(when(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(flag),
            flag,
        )?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    let local = libc::AF_UNIX.unsigned_abs().into();
    let not_local = || when(0, word(), SeccompCmpOp::Ne, local);
    rules.insert(libc::SYS_socket, vec![not_local()?]);
    rules.insert(libc::SYS_socketpair, vec![not_local()?]);
    let mut requests = Vec::new();
    for request in TERMINAL_REQUESTS {
        requests.push(when(1, word(), SeccompCmpOp::Eq, request)?);
    }
    rules.insert(libc::SYS_ioctl, requests);
    Ok(rules)
}

/// The x32 calls of an x86-64 kernel are the same calls under other numbers, which no rule above names.
#[cfg(target_arch = "x86_64")]
fn other_numbers() -> BpfProgram {
    use seccompiler::sock_filter;
    const X32_BIT: u32 = 0x4000_0000;
    let step = |code: u32, jt, jf, k| sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // seccomp_data.nr
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32_BIT),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}
