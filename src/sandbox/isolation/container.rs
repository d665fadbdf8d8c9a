//! The keeper of a container: builds a submission's image and runs it with Podman, in a network of its own of which it hands sockets out.
//!
//! It is this program again, with the grader's end of a connection as its standard input; it speaks as the keeper of a sandbox and as
//! the agent in one. Nothing of ours runs in the container, whose files may have no C library that we know. The network is made
//! before the container, so that the company's listeners are there when its first process begins, and stays when a service is
//! started again. What is built lies in memory of a bounded size, in a view of the file system that ends with the keeper: nothing of
//! it is left on this machine, whoever dies. Podman finds images in this machine's own store, and fetches none.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use super::super::bounds::Bounds;
use super::super::isolate::Fence;
use super::super::leash::{Exit, descendants};
use super::super::spec::{CONTAINER_BUILD, CONTAINER_RUN};
use super::inside::{listening, sockets};
use super::walls::{FILES, SHARED_MIB};
use super::wire::{self, FromAgent, FromKeeper, Held, Order, ToAgent, ToKeeper, Toll};
use crate::clock::Clock;

/// Where what is built is mounted; every keeper sees its own there.
const STORE: &str = "/run/reelworld-containers";
/// Where this machine's images are, which are read and not written.
const IMAGES: &str = "/var/lib/containers/storage";
/// The name of what is built: each keeper has a store of its own.
const IMAGE: &str = "localhost/submission";
/// Who programs are inside if the image says root, or nothing.
const USER: &str = "1000:1000";
/// The size of `/var/tmp`, in MiB.
const VAR_TMP_MIB: u32 = 16;
/// The most processes of one user where this machine sets no bound: what bounds them is the control group.
const MOST_PROCESSES: u64 = 32_768;
/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";
/// How a group of ours is named; the number of the keeper's process follows.
const GROUP: &str = "reelworld-containers-";
/// So near to its bound memory is full: the next page would not have fitted.
const FULL_WITHIN: u64 = 1 << 20;
/// How long what is left may take to end once it is killed.
const END: Duration = Duration::from_secs(5);
/// How often we look whether it has.
const LOOK: Duration = Duration::from_millis(5);
/// The code with which Podman says that it has failed by itself.
const PODMANS_OWN: i32 = 125;
/// Variables that are about this machine's own places, or about a sandbox's; an image has its own.
const NOT_PASSED: [&str; 3] = ["PATH", "HOME", "TMPDIR"];

/// Is the keeper of a container.
pub(super) fn run() -> ExitCode {
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
    let (answer, kept) = match Kept::make(order, control) {
        Ok(kept) => {
            let bounded = ["memory", "pids", "cpu"].map(str::to_owned).to_vec();
            let held = Held {
                bounded,
                ..Held::default()
            };
            (FromKeeper::Started(held), Some(kept))
        }
        Err(error) => (FromKeeper::Refused(error.to_string()), None),
    };
    drop(wire::send(rein, &answer, &[]));
    let Some(mut kept) = kept else {
        return ExitCode::FAILURE;
    };
    drop(kept.keep(rein));
    kept.finish();
    ExitCode::SUCCESS
}

/// A command that runs.
struct Running {
    /// The grader's number.
    id: u32,
    what: What,
}

/// What a command is.
enum What {
    /// The image's build.
    Build,
    /// A container of its own, by its name.
    Container(String),
    /// A command in the service's container.
    Within,
}

/// An image that was built.
#[derive(Debug, Clone, Copy)]
struct Image {
    /// Whether it would run as root, which nobody does here.
    is_roots: bool,
}

/// What is kept of a submission.
struct Kept {
    control: OwnedFd,
    ended: UnixStream,
    bounds: Bounds,
    binds: Vec<(String, String)>,
    /// Podman and the options that every call of it has.
    podman: Vec<String>,
    context: String,
    /// This machine's network, in which containers are begun, and the submission's.
    outer: OwnedFd,
    inner: OwnedFd,
    /// The control group around all of it.
    group: Group,
    /// The image, once it is built.
    built: Option<Image>,
    running: BTreeMap<i32, Running>,
    /// The service's container.
    service: Option<String>,
    names: u32,
    killed: u64,
}

impl Kept {
    fn make(order: Order, control: OwnedFd) -> io::Result<Self> {
        let image = order
            .container
            .ok_or_else(|| io::Error::other("no container is ordered"))?;
        let (ended, told) = UnixStream::pair()?;
        ended.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, told)?;
        let outer = OwnedFd::from(fs::File::open("/proc/self/ns/net")?);
        nix::sched::unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
        let inner = OwnedFd::from(fs::File::open("/proc/self/ns/net")?);
        raise_loopback()?;
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        fs::create_dir_all(STORE)?;
        let options = CString::new(format!("mode=0700,size={}m", order.bounds.disk_mib))?;
        let flags = MountFlags::NODEV;
        rustix::mount::mount("tmpfs", STORE, "tmpfs", flags, options.as_c_str())?;
        for (path, text) in FILES {
            fs::write(own(path), text)?;
        }
        let store = [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")]
            .map(|(option, folder)| format!("{option}={STORE}/{folder}"));
        let more = [
            "--storage-driver=overlay".to_owned(),
            format!("--storage-opt=overlay.imagestore={IMAGES}"),
        ];
        Ok(Self {
            control,
            ended,
            bounds: order.bounds,
            binds: order.binds,
            podman: image.tool.into_iter().chain(store).chain(more).collect(),
            context: image.context,
            outer,
            inner,
            group: Group::make(order.bounds.processes)?,
            built: None,
            running: BTreeMap::new(),
            service: None,
            names: 0,
            killed: 0,
        })
    }

    /// Does what the grader says until it says nothing more.
    fn keep(&mut self, rein: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let mut all = [
                PollFd::new(&rein, PollFlags::IN),
                PollFd::new(&self.control, PollFlags::IN),
                PollFd::new(&self.ended, PollFlags::IN),
            ];
            match poll(&mut all, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let [said, asked, ended] = all.map(|fd| !fd.revents().is_empty());
            if ended {
                while io::Read::read(&mut self.ended, &mut [0; 64]).is_ok_and(|count| count > 0) {}
                self.reap()?;
            }
            if said {
                let answer = match wire::receive::<ToKeeper>(rein)? {
                    None => return Ok(()),
                    // A container has its bounds from its beginning on.
                    Some((ToKeeper::Memory(_), _)) => FromKeeper::Toll(Toll::default()),
                    // Podman has a group of its own, in which what is refused is counted, and takes it away.
                    Some((ToKeeper::Toll, _)) => FromKeeper::Toll(Toll {
                        killed: Some(self.killed),
                        refused: None,
                    }),
                };
                wire::send(rein, &answer, &[])?;
            }
            if asked {
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

    fn tell_end(&self, id: u32, exit: Exit) -> io::Result<()> {
        let exit = exit.to_line();
        self.tell(&FromAgent::Ended { id, exit }, &[])
    }

    fn obey(&mut self, word: ToAgent, mut fds: Vec<OwnedFd>) -> io::Result<()> {
        match word {
            ToAgent::Bounds { .. } => self.tell(&FromAgent::Ready(Fence::default()), &[]),
            // The context of the build is the folder itself.
            ToAgent::Unpack { id } => self.tell(&FromAgent::Unpacked { id, fault: None }, &[]),
            ToAgent::Run { id, words, env } => match self.start(id, &words, &env, fds.pop()) {
                Ok(()) => Ok(()),
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
            ToAgent::Ports { id } => {
                let ports = listening();
                self.tell(&FromAgent::Ports { id, ports }, &[])
            }
            // What a container has written is not to be read, and is gone with it.
            ToAgent::IsFile { id, .. } => self.tell(&FromAgent::IsFile { id, is: false }, &[]),
            ToAgent::Open { id, .. } => self.tell(&FromAgent::Opened { id }, &[]),
        }
    }

    fn start(
        &mut self,
        id: u32,
        words: &[String],
        env: &BTreeMap<String, String>,
        output: Option<OwnedFd>,
    ) -> io::Result<()> {
        let output = output.ok_or(io::ErrorKind::InvalidInput)?;
        if self.running.is_empty() {
            self.group.begin();
        }
        let (what, arguments) = self.call(words, env)?;
        let (program, options) = self.podman.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(options).args(arguments);
        environment(&mut command);
        let both = output.try_clone()?;
        command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(both)
            .process_group(0);
        // An image that is built reaches nothing, also not by what Podman itself would fetch for it.
        let child = match what {
            What::Build => command.spawn(),
            What::Container(_) | What::Within => self.outside(|| command.spawn()),
        }?;
        if let What::Container(name) = &what
            && is(words, CONTAINER_RUN)
        {
            self.service = Some(name.clone());
        }
        self.running
            .insert(child.id().cast_signed(), Running { id, what });
        Ok(())
    }

    /// Returns what a command is, and how Podman is called for it.
    fn call(&mut self, words: &[String], env: &BTreeMap<String, String>) -> io::Result<(What, Vec<String>)> {
        if is(words, CONTAINER_BUILD) {
            let file = words.last().ok_or(io::ErrorKind::InvalidInput)?;
            self.built = None;
            let file = format!("{}/{file}", self.context);
            return Ok((What::Build, self.building(&file)));
        }
        let Some(image) = self.built else {
            return Err(io::Error::other("no image is built"));
        };
        let passed = passed(env);
        let is_service = is(words, CONTAINER_RUN);
        if let Some(service) = self.service.as_ref().filter(|_| !is_service) {
            let mut call = vec!["exec".to_owned()];
            call.extend(passed);
            call.push(service.clone());
            call.extend_from_slice(words);
            return Ok((What::Within, call));
        }
        self.names += 1;
        let name = format!("submission-{}", self.names);
        let network = format!("/proc/{}/fd/{}", std::process::id(), self.inner.as_raw_fd());
        let memory = if is_service {
            self.bounds.memory_mib
        } else {
            self.bounds.build_memory_mib
        };
        let mut call = running(&self.bounds, memory, &network);
        call.push(format!("--name={name}"));
        call.push(format!("--cgroup-parent={}", self.group.parent));
        call.extend(image.is_roots.then(|| format!("--user={USER}")));
        for path in ["/etc/hosts", "/etc/resolv.conf"] {
            call.push(format!("--volume={}:{path}:ro", own(path).display()));
        }
        for (outside, inside) in &self.binds {
            call.push(format!(
                "--mount=type=bind,source={outside},destination={inside},ro=true"
            ));
        }
        call.extend(passed);
        if !is_service {
            call.push("--entrypoint=".to_owned());
        }
        call.push(IMAGE.to_owned());
        if !is_service {
            call.extend_from_slice(words);
        }
        Ok((What::Container(name), call))
    }

    fn building(&self, file: &str) -> Vec<String> {
        let memory = self.bounds.build_memory_mib;
        let mut call: Vec<String> = [
            "build",
            "--network=none",
            "--pull=never",
            "--isolation=oci",
            "--no-cache",
            "--layers=false",
            "--force-rm",
            "--format=docker",
            "--cap-drop=all",
            "--cap-add=chown,dac_override,fowner,setgid,setuid",
            "--cpu-period=100000",
        ]
        .map(str::to_owned)
        .into();
        call.push(format!("--cpu-quota={}", (cpus(&self.bounds) * 100_000.0) as u64));
        call.push(format!("--memory={memory}m"));
        call.push(format!("--memory-swap={memory}m"));
        call.push(format!("--shm-size={SHARED_MIB}m"));
        call.push(format!("--cgroup-parent={}", self.group.parent));
        call.extend(ulimits(&self.bounds));
        call.push(format!("--tag={IMAGE}"));
        call.push(format!("--file={file}"));
        call.push(self.context.clone());
        call
    }

    /// Does something in this machine's network: what begins a container must not be in the network that it gives to it.
    fn outside<T>(&self, mut does: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        nix::sched::setns(&self.outer, CloneFlags::CLONE_NEWNET)?;
        let done = does();
        nix::sched::setns(&self.inner, CloneFlags::CLONE_NEWNET)?;
        done
    }

    /// Calls Podman and waits for what it says.
    fn podman(&self, words: &[&str]) -> io::Result<Output> {
        let (program, options) = self.podman.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(options).args(words).stdin(Stdio::null());
        environment(&mut command);
        self.outside(|| command.output())
    }

    fn asked(&self, words: &[&str]) -> io::Result<String> {
        let output = self.podman(words)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Takes the ends of all children, and tells of the commands among them.
    fn reap(&mut self) -> io::Result<()> {
        loop {
            let (pid, exit) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, of_code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signalled(signal as i32)),
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return Ok(()),
                Ok(_) => continue,
            };
            let mut exit = exit;
            let Some(Running { id, what }) = self.running.remove(&pid.as_raw()) else {
                continue;
            };
            match what {
                What::Build if exit == Exit::Success => {
                    let user = self.asked(&["image", "inspect", "--format={{.Config.User}}", IMAGE])?;
                    let is_roots = is_roots(&user);
                    self.built = Some(Image { is_roots });
                }
                What::Build | What::Within => {}
                What::Container(name) => {
                    let about = ["container", "inspect", "--format={{.State.OOMKilled}}", &name];
                    let said = self.asked(&about)?;
                    let memory = if self.service.as_ref() == Some(&name) {
                        self.bounds.memory_mib
                    } else {
                        self.bounds.build_memory_mib
                    };
                    let for_memory = said == "true" || self.group.was_full(memory);
                    self.killed += u64::from(exit == Exit::Signalled(9) && for_memory);
                    // A program inside may end with this code as well, but not before it has begun.
                    if exit == Exit::Failure(PODMANS_OWN) && !self.has_begun(&name)? {
                        exit = Exit::ToolFailed;
                    }
                    self.remove(&name);
                }
            }
            self.tell_end(id, exit)?;
        }
    }

    /// Tells whether a container's first process has ever run.
    fn has_begun(&self, name: &str) -> io::Result<bool> {
        let begun = self.podman(&["container", "inspect", "--format={{.State.StartedAt.Year}}", name])?;
        let year: Option<u32> = String::from_utf8_lossy(&begun.stdout).trim().parse().ok();
        Ok(begun.status.success() && year.is_some_and(|year| year > 1))
    }

    /// Removes a container, whatever it is at.
    fn remove(&mut self, name: &str) {
        // One that is left is in a store that ends with us.
        drop(self.podman(&["rm", "--force", "--time=0", name]));
        if self.service.as_deref() == Some(name) {
            self.service = None;
        }
    }

    fn end(&mut self, id: u32) -> io::Result<()> {
        let pid = self
            .running
            .iter()
            .find(|(_, running)| running.id == id)
            .map(|(pid, _)| *pid);
        if let Some((pid, running)) = pid.and_then(|pid| self.running.remove_entry(&pid)) {
            if let What::Container(name) = &running.what {
                drop(self.podman(&["kill", "--signal=KILL", name]));
            }
            let below = descendants(pid.unsigned_abs());
            let _gone = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            for pid in below {
                let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
            }
            while waitpid(Pid::from_raw(pid), None) == Err(nix::errno::Errno::EINTR) {}
            if let What::Container(name) = running.what {
                self.remove(&name);
            }
        }
        if self.running.is_empty() {
            sweep();
        }
        self.tell_end(id, Exit::Stopped)?;
        self.tell(&FromAgent::Over { id }, &[])
    }

    /// Ends everything.
    fn finish(&mut self) {
        let names: Vec<String> = std::mem::take(&mut self.running)
            .into_values()
            .filter_map(|running| match running.what {
                What::Container(name) => Some(name),
                What::Build | What::Within => None,
            })
            .collect();
        for name in names {
            self.remove(&name);
        }
        sweep();
        self.group.remove();
    }
}

/// Kills whoever is left below us: what a build or a container that was killed has left.
fn sweep() {
    let clock = Clock::start();
    while clock.elapsed() < END {
        let left = loop {
            match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break true,
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(_) => break false,
            }
        };
        if !left {
            return;
        }
        for pid in descendants(std::process::id()) {
            let _gone = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        clock.sleep(LOOK);
    }
}

/// Whether a command begins with certain words.
fn is(words: &[String], with: [&str; 2]) -> bool {
    words.len() >= 2 && words.iter().zip(with).all(|(word, with)| word == with)
}

/// Whether an image says, with or without a group, that it runs as root, or says nothing: a number may have zeros before it.
fn is_roots(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default();
    name.is_empty() || name == "root" || name.parse() == Ok(0)
}

/// Where a file that is made for containers lies.
fn own(path: &str) -> PathBuf {
    Path::new(STORE).join(path.rsplit('/').next().unwrap_or(path))
}

/// Gives Podman an environment of ours: nobody's settings, and nobody's passwords for stores of images.
fn environment(command: &mut Command) {
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", STORE)
        .current_dir("/");
}

/// Returns the options that hand an environment on.
fn passed(env: &BTreeMap<String, String>) -> Vec<String> {
    env.iter()
        .filter(|(name, _)| !NOT_PASSED.contains(&name.as_str()) && !name.starts_with("PIP_"))
        .map(|(name, value)| format!("--env={name}={value}"))
        .collect()
}

/// Returns how a container is run, up to what is its own.
fn running(bounds: &Bounds, memory_mib: u32, network: &str) -> Vec<String> {
    let flags = "rw,nosuid,nodev,notmpcopyup,mode=1777";
    let mut call: Vec<String> = [
        "run",
        "--pull=never",
        "--read-only",
        "--read-only-tmpfs=false",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        // What it prints goes to the grader, and not to a file that grows.
        "--log-driver=none",
        "--no-hosts",
        "--hostname=sandbox",
    ]
    .map(str::to_owned)
    .into();
    call.push(format!("--network=ns:{network}"));
    call.push(format!("--memory={memory_mib}m"));
    call.push(format!("--memory-swap={memory_mib}m"));
    call.push(format!("--pids-limit={}", bounds.processes));
    call.push(format!("--cpus={}", cpus(bounds)));
    call.push(format!("--shm-size={SHARED_MIB}m"));
    call.push(format!("--tmpfs=/tmp:{flags},size={}m", bounds.tmp_mib));
    call.push(format!("--tmpfs=/var/tmp:{flags},size={VAR_TMP_MIB}m"));
    call.extend(ulimits(bounds));
    call
}

/// Processors' worth of time; more than there are is refused by some.
fn cpus(bounds: &Bounds) -> f64 {
    let there = std::thread::available_parallelism().map_or(1, usize::from);
    bounds.cpus.min(there as f64)
}

/// Bounds of each process, all of them explicit: what Podman sets by itself is more than some may give away.
fn ulimits(bounds: &Bounds) -> Vec<String> {
    let most = |resource, wanted: u64| {
        let hard = getrlimit(resource).map_or(wanted, |(_, hard)| hard);
        wanted.min(hard)
    };
    [
        (
            "nofile",
            most(Resource::RLIMIT_NOFILE, u64::from(bounds.open_files)),
        ),
        ("nproc", most(Resource::RLIMIT_NPROC, MOST_PROCESSES)),
        (
            "fsize",
            most(Resource::RLIMIT_FSIZE, u64::from(bounds.file_mib) << 20),
        ),
        ("core", 0),
    ]
    .map(|(name, most)| format!("--ulimit={name}={most}:{most}"))
    .into()
}

fn of_code(code: i32) -> Exit {
    match code {
        0 => Exit::Success,
        126 | 127 => Exit::NotFound,
        129..=192 => Exit::Signalled(code - 128),
        code => Exit::Failure(code),
    }
}

/// A control group around all that Podman begins: Podman has no bound for the processes of a build, and on a machine with groups of
/// the first kind nobody tells afterwards that memory ran out.
struct Group {
    /// The one below it that Podman is given, from the top of the hierarchy; Podman takes that one away, and with it its bounds.
    parent: String,
    name: String,
    /// Where groups of the first kind count memory.
    memory: Option<PathBuf>,
}

impl Group {
    fn make(processes: u32) -> io::Result<Self> {
        let name = format!("{GROUP}{}", std::process::id());
        let top = Path::new(GROUPS);
        let first = top.join("pids").is_dir();
        let among = if first { top.join("pids") } else { top.to_owned() };
        sweep_groups(&among);
        let pids = among.join(&name);
        let made =
            fs::create_dir(&pids).and_then(|()| fs::write(pids.join("pids.max"), processes.to_string()));
        made.map_err(|error| io::Error::other(format!("processes cannot be bounded: {error}")))?;
        let memory = if first {
            let memory = top.join("memory").join(&name);
            fs::create_dir(&memory)
                .map_err(|error| io::Error::other(format!("memory cannot be counted: {error}")))?;
            Some(memory)
        } else {
            fs::write(pids.join("cgroup.subtree_control"), "+cpu +memory +pids")
                .map_err(|error| io::Error::other(format!("bounds cannot be handed down: {error}")))?;
            None
        };
        Ok(Self {
            parent: format!("/{name}/within"),
            name,
            memory,
        })
    }

    fn most(&self) -> Option<PathBuf> {
        Some(self.memory.as_ref()?.join("memory.max_usage_in_bytes"))
    }

    /// Begins to count memory anew.
    fn begin(&self) {
        if let Some(file) = self.most() {
            // What cannot be set back is only more than it was.
            drop(fs::write(file, "0"));
        }
    }

    /// Whether all of some memory was used since the last beginning.
    fn was_full(&self, mib: u32) -> bool {
        let most = self.most().and_then(|file| fs::read_to_string(file).ok());
        let most: Option<u64> = most.and_then(|text| text.trim().parse().ok());
        most.is_some_and(|most| most + FULL_WITHIN >= u64::from(mib) << 20)
    }

    fn remove(&self) {
        remove_groups(&self.name);
    }
}

/// Removes groups of a name with all that Podman has made in them, of every controller; one that is not empty stays.
fn remove_groups(name: &str) {
    let tops = fs::read_dir(GROUPS).into_iter().flatten().flatten();
    for top in tops.map(|entry| entry.path()).chain([PathBuf::from(GROUPS)]) {
        for entry in walkdir::WalkDir::new(top.join(name))
            .contents_first(true)
            .into_iter()
            .flatten()
        {
            if entry.file_type().is_dir() {
                drop(fs::remove_dir(entry.path()));
            }
        }
    }
}

/// Removes groups of keepers that were killed before they could.
fn sweep_groups(among: &Path) {
    for entry in fs::read_dir(among).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let pid: Option<u32> = name.strip_prefix(GROUP).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove_groups(&name);
        }
    }
}

/// Changes a link, as the kernel's messages about links have it.
const NEW_LINK: u16 = 16;
/// A request that is to be acknowledged.
const ACKNOWLEDGED: u16 = 5;
/// The number of every network's loopback.
const LOOPBACK: i32 = 1;
/// The flag of a link that is up.
const UP: u32 = 1;

/// Raises the loopback of a network that is new.
fn raise_loopback() -> io::Result<()> {
    let mut message = Vec::new();
    message.extend(32_u32.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(ACKNOWLEDGED.to_ne_bytes());
    // The first message, from whoever holds the socket.
    message.extend([1_u32.to_ne_bytes(), [0; 4]].concat());
    // Any family, any kind; which link; its flags, and which of them change.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend([UP.to_ne_bytes(), UP.to_ne_bytes()].concat());
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 64];
    let (_, read) = rustix::net::recv(&socket, &mut answer, rustix::net::RecvFlags::empty())?;
    // Behind the head stands the error, as a number below 0.
    let code = answer.get(16..20).filter(|_| read >= 20);
    match code
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes)
    {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other(
            "the kernel did not say whether the loopback is up",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_run_with_every_bound_and_no_privilege() {
        let bounds = Bounds {
            memory_mib: 300,
            processes: 40,
            cpus: 0.5,
            ..Bounds::default()
        };
        let call = running(&bounds, bounds.memory_mib, "/proc/7/fd/9").join(" ");
        for wanted in [
            "--pull=never",
            "--network=ns:/proc/7/fd/9",
            "--read-only --read-only-tmpfs=false",
            "--cap-drop=all --security-opt=no-new-privileges",
            "--memory=300m --memory-swap=300m --pids-limit=40 --cpus=0.5",
            "--tmpfs=/var/tmp:",
            "--ulimit=core=0:0",
        ] {
            assert!(call.contains(wanted), "{wanted}: {call}");
        }
        assert!(
            !call.contains(".sock") && !call.contains("--privileged"),
            "{call}"
        );
    }

    #[test]
    fn places_of_this_machine_are_not_handed_on() {
        let env = ["PATH", "HOME", "PIP_NO_INDEX", "PORT"].map(|name| (name.to_owned(), "x".to_owned()));
        assert_eq!(passed(&env.into()), ["--env=PORT=x"]);
    }

    #[test]
    fn an_image_that_says_root_in_any_form_or_nothing_is_not_run_as_it_says() {
        for user in ["", "root", "0", "00", "root:team", "0:0", ":7"] {
            assert!(is_roots(user), "{user}");
        }
        for user in ["team", "1000", "10:0", "toor0"] {
            assert!(!is_roots(user), "{user}");
        }
    }

    #[test]
    fn podmans_codes_are_told_as_ends() {
        assert_eq!(of_code(0), Exit::Success);
        assert_eq!(of_code(3), Exit::Failure(3));
        assert_eq!(of_code(127), Exit::NotFound);
        assert_eq!(of_code(137), Exit::Signalled(9));
    }
}
