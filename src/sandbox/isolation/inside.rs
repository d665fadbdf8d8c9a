//! The agent: the first process inside a sandbox, which runs a submission's commands and hands sockets of the inside out.
//!
//! It is this program again, with one end of the grader's connection as its standard input. No signal from inside reaches the first
//! process of its kind, and nobody inside may look into it, so that it stays ours among processes of the same user. It tells how
//! commands end; what they print goes through a pipe of the grader's that it only hands on.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::MountFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::DumpableBehavior;
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::super::bounds::Bounds;
use super::super::leash::{Exit, descendants};
use super::calls;
use super::fence::{self, Places};
use super::files;
use super::pack;
use super::walls::{BOX, HOME, REPOSITORY, SHARED, SHARED_MIB, TMP};
use super::wire::{self, FromAgent, MOST_FDS, ToAgent};

/// Is the agent.
pub(super) fn run() -> ExitCode {
    match Agent::begin().and_then(Agent::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The keeper's own output, which the grader reads only when a sandbox does not come to be.
            use std::io::Write;
            drop(writeln!(io::stderr(), "inside the sandbox: {error}"));
            ExitCode::FAILURE
        }
    }
}

struct Agent {
    control: OwnedFd,
    /// Tells that a child has ended.
    ended: UnixStream,
    /// The commands that run: process, and the grader's number.
    running: BTreeMap<i32, u32>,
    /// Open files of each process of a command.
    open_files: u64,
}

impl Agent {
    fn begin() -> io::Result<Self> {
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        close_others()?;
        let control = io::stdin().as_fd().try_clone_to_owned()?;
        let (ended, told) = UnixStream::pair()?;
        ended.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, told)?;
        let Some((
            ToAgent::Bounds {
                bounds,
                memory,
                shown,
            },
            _,
        )) = wire::receive(&control)?
        else {
            return Err(io::Error::other("the first word was not about bounds"));
        };
        settle(&bounds).map_err(|error| io::Error::other(format!("places in memory: {error}")))?;
        bound(&bounds, memory)?;
        let open_files = files::of_commands(bounds.open_files, files::raise()?);
        // The rules are about what is mounted by now, and nothing is mounted afterwards.
        let fence = fence::raise(&Places::of(&shown))
            .map_err(|error| io::Error::other(format!("the kernel's Landlock: {error}")))?;
        calls::deny()?;
        wire::send(&control, &FromAgent::Ready(fence), &[])?;
        Ok(Self {
            control,
            ended,
            running: BTreeMap::new(),
            open_files,
        })
    }

    /// Does what the grader says until it says nothing more; then the whole sandbox ends with its first process.
    fn serve(mut self) -> io::Result<()> {
        loop {
            let mut both = [
                PollFd::new(&self.control, PollFlags::IN),
                PollFd::new(&self.ended, PollFlags::IN),
            ];
            match poll(&mut both, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let [said, ended] = both.map(|fd| !fd.revents().is_empty());
            if ended {
                while io::Read::read(&mut self.ended, &mut [0; 64]).is_ok_and(|count| count > 0) {}
                self.reap()?;
            }
            if said {
                match wire::receive::<ToAgent>(&self.control)? {
                    None => return Ok(()),
                    Some((word, fds)) => self.obey(word, fds)?,
                }
            }
        }
    }

    fn tell(&self, word: &FromAgent, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        wire::send(&self.control, word, fds)
    }

    fn obey(&mut self, word: ToAgent, mut fds: Vec<OwnedFd>) -> io::Result<()> {
        match word {
            ToAgent::Bounds { .. } => Err(io::Error::other("bounds are told once")),
            ToAgent::Unpack { id } => {
                let fault = match fds.pop() {
                    Some(from) => pack::unpack(io::BufReader::new(File::from(from)), Path::new(REPOSITORY))
                        .err()
                        .map(|error| error.to_string()),
                    None => Some("nothing to unpack came along".to_owned()),
                };
                self.tell(&FromAgent::Unpacked { id, fault }, &[])
            }
            ToAgent::Run { id, words, env } => match start(&words, &env, fds.pop(), self.open_files) {
                Ok(pid) => {
                    self.running.insert(pid, id);
                    Ok(())
                }
                Err(_) => self.tell_end(id, Exit::NotFound),
            },
            ToAgent::End { id } => self.end(id),
            ToAgent::Sockets { count } => {
                let sockets = sockets(count)?;
                let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
                self.tell(&FromAgent::Sockets, &fds)
            }
            ToAgent::Listen { id, port } => {
                match TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
                    Ok(listener) => {
                        let fault = None;
                        self.tell(&FromAgent::Listening { id, fault }, &[listener.as_fd()])
                    }
                    Err(error) => {
                        let fault = Some(error.to_string());
                        self.tell(&FromAgent::Listening { id, fault }, &[])
                    }
                }
            }
            ToAgent::Ports { id } => self.tell(
                &FromAgent::Ports {
                    id,
                    ports: listening(),
                },
                &[],
            ),
            ToAgent::IsFile { id, name } => {
                let is = is_file(&name);
                self.tell(&FromAgent::IsFile { id, is }, &[])
            }
            ToAgent::Open { id, name } => {
                // Whoever puts something else in its place meanwhile gets no link followed and nobody held up.
                let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
                let file = plain(&name).and_then(|path| {
                    let mut options = fs::OpenOptions::new();
                    options
                        .read(true)
                        .custom_flags(flags.bits() as i32)
                        .open(path)
                        .ok()
                });
                let fds: Vec<BorrowedFd<'_>> = file.iter().map(AsFd::as_fd).collect();
                self.tell(&FromAgent::Opened { id }, &fds)
            }
        }
    }

    fn tell_end(&self, id: u32, exit: Exit) -> io::Result<()> {
        let exit = exit.to_line();
        self.tell(&FromAgent::Ended { id, exit }, &[])
    }

    /// Takes the ends of all children, also of those whose parents are gone, and tells of the commands among them.
    fn reap(&mut self) -> io::Result<()> {
        loop {
            let (pid, exit) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, 0)) => (pid, Exit::Success),
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Failure(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signalled(signal as i32)),
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return Ok(()),
                Ok(_) => continue,
            };
            if let Some(id) = self.running.remove(&pid.as_raw()) {
                self.tell_end(id, exit)?;
            }
        }
    }

    /// Ends a command. If it was the last one, nothing of the submission runs any more afterwards; otherwise its own tree has ended,
    /// and what has left that tree ends with the sandbox.
    fn end(&mut self, id: u32) -> io::Result<()> {
        let pid = self
            .running
            .iter()
            .find(|(_, of)| **of == id)
            .map(|(pid, _)| *pid);
        if let Some(pid) = pid {
            self.running.remove(&pid);
        }
        if self.running.is_empty() {
            // Everybody but the first process, which is us.
            let _gone = kill(Pid::from_raw(-1), Signal::SIGKILL);
        } else if let Some(pid) = pid {
            let below = descendants(pid.unsigned_abs());
            let _gone = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            for pid in below {
                let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
        }
        if self.running.is_empty() {
            // All of them are children of ours by now, or of one who is, and all have been killed.
            while !matches!(waitpid(Pid::from_raw(-1), None), Err(nix::errno::Errno::ECHILD)) {}
        }
        self.tell_end(id, Exit::Stopped)?;
        self.tell(&FromAgent::Over { id }, &[])
    }
}

/// Closes what came along from bubblewrap beside the three ordinary descriptors: this program's own file.
fn close_others() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // One of them was the folder's own, which is closed already.
        let _closed = nix::unistd::close(number);
    }
    Ok(())
}

/// Mounts the places that can be written, each with its most bytes and files, and gives away the right to mount.
fn settle(bounds: &Bounds) -> io::Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    for (place, mib, mode) in [
        (BOX, bounds.disk_mib, "0755"),
        (TMP, bounds.tmp_mib, "1777"),
        (SHARED, SHARED_MIB, "1777"),
    ] {
        let options = format!("size={mib}m,nr_inodes={},mode={mode}", bounds.files);
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("tmpfs", place, "tmpfs", flags, CString::new(options)?.as_c_str())?;
    }
    fs::create_dir(REPOSITORY)?;
    fs::create_dir(HOME)?;
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}

/// Bounds this process and so all that come from it. Nothing here can be raised again from inside. Open files are bounded where a
/// command begins.
fn bound(bounds: &Bounds, memory: bool) -> io::Result<()> {
    let mut all = vec![
        (Resource::RLIMIT_NPROC, u64::from(bounds.processes)),
        (Resource::RLIMIT_FSIZE, u64::from(bounds.file_mib) << 20),
        (Resource::RLIMIT_CORE, 0),
    ];
    if memory {
        // Written pages of one process. The address space is no measure: Java and Node reserve far more than they use.
        let most = bounds.memory_mib.max(bounds.build_memory_mib);
        all.push((Resource::RLIMIT_DATA, u64::from(most) << 20));
    }
    for (resource, most) in all {
        let (_, hard) = nix::sys::resource::getrlimit(resource)?;
        let most = most.min(hard);
        setrlimit(resource, most, most)?;
    }
    Ok(())
}

fn start(
    words: &[String],
    env: &BTreeMap<String, String>,
    output: Option<OwnedFd>,
    open_files: u64,
) -> io::Result<i32> {
    let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let output = output.ok_or(io::ErrorKind::InvalidInput)?;
    let both = output.try_clone()?;
    let mut command = Command::new(program);
    files::bound(&mut command, open_files);
    let child = command
        .args(arguments)
        .env_clear()
        .envs(env)
        .env("HOME", HOME)
        .env("TMPDIR", "/tmp")
        .current_dir(REPOSITORY)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(both)
        .process_group(0)
        .spawn()?;
    Ok(child.id().cast_signed())
}

/// Makes sockets of this network that are connected to nothing.
pub(super) fn sockets(count: usize) -> io::Result<Vec<OwnedFd>> {
    let kind = (AddressFamily::INET, SocketType::STREAM);
    let made: Result<Vec<OwnedFd>, _> = (0..count.min(MOST_FDS))
        .map(|_| rustix::net::socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None))
        .collect();
    Ok(made?)
}

/// Returns the ports on which anybody inside listens: nobody else is in this network.
pub(super) fn listening() -> Vec<u16> {
    super::super::launch::listeners("/proc/net")
        .into_iter()
        .map(|(port, _)| port)
        .collect()
}

/// Tells whether a name is a plain file of the repository; no link is followed on the way.
fn is_file(name: &str) -> bool {
    plain(name).is_some()
}

/// Returns where a plain file of the repository is.
fn plain(name: &str) -> Option<PathBuf> {
    let mut path = Path::new(REPOSITORY).to_path_buf();
    let mut parts = Path::new(name).components().peekable();
    while let Some(part) = parts.next() {
        match part {
            Component::CurDir => continue,
            Component::Normal(part) => path.push(part),
            _ => return None,
        }
        let about = fs::symlink_metadata(&path).ok()?;
        if parts.peek().is_none() {
            return about.is_file().then_some(path);
        }
        if !about.is_dir() {
            return None;
        }
    }
    None
}
