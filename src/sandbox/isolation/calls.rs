//! The system calls that no submission needs and a kernel's faults have been reached through: denied, with an error and not a kill.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

/// What is denied everywhere. Python, Node and Java start without them.
const DENIED: &[libc::c_long] = &[
    // Looking into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    libc::SYS_lookup_dcookie,
    // Programs in the kernel, and its youngest interfaces.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keys, which no namespace keeps apart.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Other namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_quotactl,
    // The machine itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
];

/// What only this kind of processor has.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[libc::c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[libc::c_long] = &[];

/// Calls that change what another process of the same user may do, and which of their arguments says whose: the limits and the
/// processor's time of the first process inside, our agent, are not for the submission to take away. That it may not be looked into
/// does not keep it from these.
const OF_ANOTHER: [(libc::c_long, u8); 7] = [
    (libc::SYS_prlimit64, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setattr, 0),
    (libc::SYS_setpriority, 1),
    (libc::SYS_ioprio_set, 1),
];
/// The number of the first process inside.
const AGENT: u64 = 1;

/// The families of sockets that programs need: files', the internet's, and the kernel's own words about the network inside, which
/// looking up a name asks for. All others are refused: some (`AF_VSOCK`, to the machine below) no namespace keeps apart, and
/// others (`AF_ALG`, `AF_PACKET` and a row of old ones) lead into code of the kernel that nobody needs.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The first number of the calls of x32, a second table of the same processor that would walk around the list.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Denies the calls to this process and to all that come from it, for good.
///
/// # Errors
/// When the system refuses, or has no filter for this kind of processor.
pub(super) fn deny() -> io::Result<()> {
    seccompiler::apply_filter(&filter()?).map_err(io::Error::other)
}

fn filter() -> io::Result<BpfProgram> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let denied = DENIED.iter().chain(DENIED_HERE);
    let mut rules: BTreeMap<i64, _> = denied.map(|call| (*call, Vec::new())).collect();
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        rules.insert(call, other_families().map_err(io::Error::other)?);
    }
    for (call, whose) in OF_ANOTHER {
        let agents = SeccompCondition::new(whose, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, AGENT)
            .and_then(|condition| SeccompRule::new(vec![condition]));
        rules.insert(call, vec![agents.map_err(io::Error::other)?]);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(io::Error::other)?;
    let mut program = second_table();
    program.extend(BpfProgram::try_from(filter).map_err(io::Error::other)?);
    Ok(program)
}

/// The conditions under which a socket is refused: of another family, or of netlink another protocol than routes (0).
fn other_families() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let family = |operator, family: libc::c_int| {
        SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            operator,
            u64::from(family.unsigned_abs()),
        )
    };
    let none = FAMILIES
        .iter()
        .map(|known| family(SeccompCmpOp::Ne, *known))
        .collect::<Result<Vec<_>, _>>()?;
    let words = vec![
        family(SeccompCmpOp::Eq, libc::AF_NETLINK)?,
        SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?,
    ];
    Ok(vec![SeccompRule::new(none)?, SeccompRule::new(words)?])
}

/// Steps that refuse the calls of x32: load the number, compare, return the error or go on.
#[cfg(target_arch = "x86_64")]
fn second_table() -> BpfProgram {
    let step = |code: u32, jt, jf, k| sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn second_table() -> BpfProgram {
    BpfProgram::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_fits_the_kernel() {
        // The kernel takes 4,096 steps at most.
        assert!((DENIED.len()..4096).contains(&filter().unwrap().len()));
    }
}
