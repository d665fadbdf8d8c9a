//! The keeper: a small process of our own outside a sandbox, which makes it, bounds it, and ends it, whoever else dies.
//!
//! It is this program again, called with a hidden word, with the grader's end of a connection as its standard input. It lives as
//! long as the sandbox: bubblewrap ends with the thread that started it, which must not be one of a pool. As root it gives every
//! sandbox a user of this machine of its own.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::super::leash::descendants;
use super::cgroup::Cgroup;
use super::walls::{FILES, Numbers, options};
use super::wire::{self, FromKeeper, Held, Order, ToKeeper, Toll};
use crate::clock::Clock;

/// The first of the users that sandboxes are, and how many there are: numbers that no system gives to people or services.
const FIRST_USER: u32 = 60_800;
const USERS: u32 = 256;
/// Where a sandbox's user is held, so that no two on this machine are the same.
const USERS_HELD: &str = "/run/reelworld-users";
/// How long what is left of a sandbox may take to end once it is killed.
const END: Duration = Duration::from_secs(5);
/// How often the keeper looks whether it has.
const LOOK: Duration = Duration::from_millis(2);
/// How often it looks for who came to be before its parent was in the control group: bubblewrap starts two at most.
const LOOKS: u32 = 16;

/// Is the keeper.
pub(super) fn run() -> ExitCode {
    // A session of its own keeps the terminal's signals away; what came from the sandbox comes to us.
    let _refused = nix::unistd::setsid();
    let _refused = nix::sys::prctl::set_child_subreaper(true);
    let stdin = io::stdin();
    let rein = stdin.as_fd();
    let Ok(Some((order, mut fds))) = wire::receive::<Order>(rein) else {
        return ExitCode::from(2);
    };
    let Some(control) = fds.pop() else {
        return ExitCode::from(2);
    };
    let made = Kept::make(&order, control);
    let (answer, kept) = match made {
        Ok(kept) => (FromKeeper::Started(kept.held.clone()), Some(kept)),
        Err(error) => (FromKeeper::Refused(error.to_string()), None),
    };
    // A grader that is gone is noticed by the end of the connection.
    drop(wire::send(rein, &answer, &[]));
    let Some(mut kept) = kept else {
        return ExitCode::FAILURE;
    };
    drop(kept.keep(rein));
    kept.end();
    ExitCode::SUCCESS
}

/// A sandbox and what holds it.
struct Kept {
    child: Child,
    group: Option<Cgroup>,
    held: Held,
    /// Tells that a child has ended.
    ended: UnixStream,
    /// Held while the sandbox lives.
    _user: Option<Flock<File>>,
}

impl Kept {
    fn make(order: &Order, control: OwnedFd) -> io::Result<Self> {
        let (ended, told) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, told)?;
        let root = rustix::process::geteuid().is_root();
        let user = root
            .then(take_user)
            .transpose()
            .map_err(|error| while_("a user of its own is taken", &error))?;
        let mut binds = order.binds.clone();
        if user.is_some() {
            binds = make_reachable(&binds).map_err(|error| while_("folders are made reachable", &error))?;
        }
        let memory = u64::from(order.bounds.build_memory_mib) << 20;
        let group = Cgroup::make(&order.bounds, memory);
        // From here on descriptors are for bubblewrap, which is the next program that is started.
        let files = FILES
            .iter()
            .map(|(_, text)| handed_down(text.as_bytes()))
            .collect::<io::Result<Vec<_>>>()?;
        let agent = rustix::fs::open("/proc/self/exe", OFlags::PATH, Mode::empty())?;
        let numbers = Numbers {
            files: files.iter().map(AsRawFd::as_raw_fd).collect(),
            agent: agent.as_raw_fd(),
        };
        let words = options(&binds, &numbers);
        // Everything before the double hyphen goes through a descriptor, so that no list of processes shows it.
        let at = words.iter().position(|word| word == "--").unwrap_or(words.len());
        let (before, after) = words.split_at(at);
        let list: Vec<u8> = before
            .iter()
            .flat_map(|word| [word.as_bytes(), b"\0"].concat())
            .collect();
        let list = handed_down(&list)?;
        let mut command = Command::new(&order.bwrap);
        command
            .args(["--args", &list.as_raw_fd().to_string()])
            .args(after)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(control))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some((number, _)) = &user {
            command.uid(*number).gid(*number);
        }
        let mut child = command.spawn().map_err(|error| {
            if let Some(group) = &group {
                group.remove();
            }
            while_("bubblewrap is started", &error)
        })?;
        // Entering a group waits for every processor; bubblewrap works meanwhile, and so does the agent's start. The agent begins with
        // the bounds that it is told, and it is told nothing before all of them are in the group.
        if let Some(group) = &group
            && let Err(error) = enter(group, child.id())
        {
            drop(child.kill());
            drop(child.wait());
            group.remove();
            return Err(while_("its control group is entered", &error));
        }
        let held = Held {
            user: user.as_ref().map(|(number, _)| *number),
            cgroup: group.as_ref().map(|group| group.kind().to_owned()),
            bounded: group.as_ref().map(Cgroup::bounded).unwrap_or_default(),
        };
        Ok(Self {
            child,
            group,
            held,
            ended,
            _user: user.map(|(_, lock)| lock),
        })
    }

    /// Does what the grader says until it says nothing more. A sandbox that has ended before has its toll to be asked for.
    fn keep(&mut self, rein: impl AsFd) -> io::Result<()> {
        loop {
            let mut both = [
                PollFd::new(&rein, PollFlags::IN),
                PollFd::new(&self.ended, PollFlags::IN),
            ];
            match poll(&mut both, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let [said, ended] = both.map(|fd| !fd.revents().is_empty());
            if ended {
                io::Read::read(&mut self.ended, &mut [0; 64])?;
                self.child.try_wait()?;
            }
            if said {
                match wire::receive::<ToKeeper>(&rein)? {
                    None => return Ok(()),
                    Some((ToKeeper::Memory(bytes), _)) => {
                        let set = self
                            .group
                            .as_ref()
                            .map_or(Ok(()), |group| group.set_memory(bytes));
                        let answer = match set {
                            Ok(()) => FromKeeper::Toll(Toll::default()),
                            Err(error) => FromKeeper::Refused(format!("memory cannot be bounded: {error}")),
                        };
                        wire::send(&rein, &answer, &[])?;
                    }
                    Some((ToKeeper::Toll, _)) => {
                        let toll = self.group.as_ref().map_or_else(Toll::default, Cgroup::toll);
                        wire::send(&rein, &FromKeeper::Toll(toll), &[])?;
                    }
                }
            }
        }
    }

    /// Ends everything: bubblewrap, and with it its process namespace; then whoever is left below us or in the group.
    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        let clock = Clock::start();
        let begun = clock.elapsed();
        while clock.elapsed() - begun < END {
            let mut left = reap();
            for pid in descendants(std::process::id()) {
                left = true;
                let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
            if let Some(group) = &self.group {
                for pid in group.processes() {
                    if pid != std::process::id().cast_signed() {
                        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    }
                }
                left |= !group.remove();
            }
            if !left {
                return;
            }
            clock.sleep(LOOK);
        }
    }
}

/// Puts bubblewrap and what it has started into a group. Whoever is in it starts others in it, so that all are when a look finds
/// nobody new.
fn enter(group: &Cgroup, bwrap: u32) -> io::Result<()> {
    group.enter(bwrap)?;
    let mut entered = BTreeSet::from([bwrap]);
    for _ in 0..LOOKS {
        let mut found = below(bwrap);
        found.retain(|pid| !entered.contains(pid));
        if found.is_empty() {
            return Ok(());
        }
        for pid in found {
            match group.enter(pid) {
                // It may have ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
            entered.insert(pid);
        }
    }
    Err(io::Error::other("what bubblewrap starts does not end"))
}

/// Returns who is below a process: from the kernel's lists of children, or, where it was built without them, from all processes that
/// there are, which takes longer than all else here.
fn below(root: u32) -> Vec<u32> {
    if !Path::new("/proc/thread-self/children").exists() {
        return descendants(root);
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        // Neither bubblewrap nor the agent has a second thread. Who has ended meanwhile has no children any more.
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children: Vec<u32> = text
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
        next.extend(&children);
        found.extend(children);
    }
    found
}

/// Says in the middle of what the system refused.
fn while_(what: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("while {what}: {error}"))
}

/// Takes the ends of children that are there; tells whether any child is left.
fn reap() -> bool {
    loop {
        match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Makes a file in memory that the next program gets as it is.
fn handed_down(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("reelworld", MemfdFlags::empty())?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Takes a user that no other sandbox of this machine is.
fn take_user() -> io::Result<(u32, Flock<File>)> {
    match fs::DirBuilder::new().mode(0o700).create(USERS_HELD) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for number in FIRST_USER..FIRST_USER + USERS {
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(Path::new(USERS_HELD).join(number.to_string()))?;
        if let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            return Ok((number, lock));
        }
    }
    Err(io::Error::other(format!(
        "{USERS} sandboxes run on this machine already"
    )))
}

/// Makes folders visible that only root may walk to: in a view of the file system of our own they are mounted where anybody may.
fn make_reachable(binds: &[(String, String)]) -> io::Result<Vec<(String, String)>> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    // Opened in the new view, where alone they can be mounted again, and before the mount below may hide them.
    let folders = binds
        .iter()
        .map(|(outside, _)| rustix::fs::open(outside, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()))
        .collect::<Result<Vec<OwnedFd>, _>>()?;
    let top = Path::new("/tmp");
    let options = CString::new("mode=0755,size=64k")?;
    rustix::mount::mount(
        "tmpfs",
        top,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        options.as_c_str(),
    )?;
    let mut reachable = Vec::new();
    for (place, (folder, (_, inside))) in folders.iter().zip(binds).enumerate() {
        let at: PathBuf = top.join(place.to_string());
        fs::create_dir(&at)?;
        let from = format!("/proc/self/fd/{}", folder.as_raw_fd());
        rustix::mount::mount_bind_recursive(from.as_str(), &at)?;
        reachable.push((at.display().to_string(), inside.clone()));
    }
    Ok(reachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_below_a_process_is_found_and_is_the_same_in_both_ways() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & sleep 60 & echo begun; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut begun = [0; 6];
        io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut begun).unwrap();
        let found: BTreeSet<u32> = below(shell.id()).into_iter().collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found, descendants(shell.id()).into_iter().collect());
        for pid in found {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!(below(shell.id()), Vec::<u32>::new());
    }
}
