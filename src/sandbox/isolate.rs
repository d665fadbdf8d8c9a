//! How a machine keeps other people's programs apart: found out once for a run, by starting a sandbox, and handed to each submission.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bounds::Bounds;
use super::container::{Unbuilt, unbuilt};
use super::isolation::{Plan, Session, misfit, walls};
use super::launch::BuildEnd;
use crate::clock::Clock;
use crate::mirror::{Hatch, HatchBounds, Mirror};

/// How this machine isolates: bubblewrap, and what else was found.
#[derive(Debug, Clone)]
pub struct Isolation {
    program: PathBuf,
    bwrap: PathBuf,
    /// Folders of interpreters that lie outside of the system's own.
    runtimes: Vec<PathBuf>,
    /// Python packages that builds may install.
    wheels: Option<PathBuf>,
    /// Those of them that were made from the requirements of the repository that is sandboxed.
    packages: Option<PathBuf>,
    /// What builds reach of the outside, if the course declares anything.
    mirror: Option<Arc<Mirror>>,
    facts: IsolationFacts,
    fence: Fence,
}

/// What the kernel's Landlock does in a sandbox: a second wall around what its namespaces show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fence {
    /// The version (ABI) that the kernel has; none where it has none.
    pub version: Option<i32>,
    /// Whether it was put up.
    pub stands: bool,
}

/// What was isolated and how, as evidence says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IsolationFacts {
    /// One phrase: `sandbox: bubblewrap 0.8.0`.
    pub how: String,
    /// What else is so, a phrase each.
    pub details: Vec<String>,
    /// What this machine cannot give, a phrase each.
    pub weak: Vec<String>,
}

/// Why this machine gives no sandbox, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was tried and what came of it.
    pub why: String,
    /// What to do.
    pub hint: String,
}

/// Everything in a sandbox has ended, and nothing in it can have brought that about: no fact about the submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost(String);

impl Lost {
    /// Makes it of the last that its keeper or its agent have said, if they have.
    #[cfg(target_os = "linux")]
    pub(super) fn new(said: Option<&str>) -> Self {
        Self(
            said.unwrap_or("without a word, as one that was killed")
                .to_owned(),
        )
    }

    /// Returns it where an error is that.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "its sandbox has ended by itself, which nothing inside can bring about: {}",
            self.0
        )
    }
}

impl std::error::Error for Lost {}

impl From<Lost> for io::Error {
    /// To whoever asks something inside, it is a network that is down.
    fn from(lost: Lost) -> Self {
        Self::new(io::ErrorKind::NetworkDown, lost)
    }
}

/// Gets a listener that is inside a sandbox, on a thread of its own, and serves it until accepting fails.
pub type Serve = Arc<dyn Fn(TcpListener) + Send + Sync>;

/// Something of the company's that a sandbox may reach: a port of its loopback whose listener we hold.
#[derive(Clone)]
pub struct Outlet {
    /// The port, as seen inside.
    pub port: u16,
    /// Who serves it.
    pub serve: Serve,
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What of the caller's environment is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where programs are, separated by colons.
    pub path: &'a str,
    /// The caller's home folder, which no sandbox may see whole.
    pub home: Option<&'a Path>,
}

impl Isolation {
    /// Finds out how this machine isolates, by starting a sandbox.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn find(program: &Path, around: Surroundings<'_>, clock: Clock) -> Result<Self, Refusal> {
        if !cfg!(target_os = "linux") {
            return Err(Refusal {
                why: format!("{} has no namespaces to isolate with", std::env::consts::OS),
                hint: "grade on Linux: in a virtual machine, say. For your own code: --trust (results are marked \"not isolated\")"
                    .to_owned(),
            });
        }
        let bwrap = look_up("bwrap", around.path).ok_or_else(|| Refusal {
            why: "bubblewrap (`bwrap`) is not installed".to_owned(),
            hint: format!(
                "install it: apt install bubblewrap, dnf install bubblewrap, pacman -S bubblewrap. {TRUST}"
            ),
        })?;
        let version = told(Command::new(&bwrap).arg("--version")).unwrap_or_else(|| "bubblewrap".to_owned());
        let (runtimes, unseen) = runtimes(around);
        let mut isolation = Self {
            program: program.to_owned(),
            bwrap,
            runtimes,
            wheels: None,
            packages: None,
            mirror: None,
            facts: IsolationFacts::default(),
            fence: Fence::default(),
        };
        let plan = isolation.plan(Bounds::default(), None);
        let session = Session::open(&plan, None, clock).map_err(|error| refused(&error.to_string()))?;
        isolation.facts = facts(&version, &session, &unseen);
        isolation.fence = session.fence();
        Ok(isolation)
    }

    /// Tells whether a sandbox can be made at the moment: what failed in one then failed by what was in it.
    pub fn is_well(&self, clock: Clock) -> bool {
        let plan = self.plan(Bounds::default(), None);
        Session::open(&plan, None, clock).is_ok()
    }

    /// Returns why the files of a submission do not fit into a sandbox, if they do not.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn misfit(dir: &Path, bounds: &Bounds) -> io::Result<Option<String>> {
        misfit(dir, bounds.disk_mib, bounds.files)
    }

    /// Lets builds install the Python packages of a folder, which every sandbox sees read-only: no index is asked.
    #[must_use]
    pub fn with_wheels(mut self, folder: PathBuf) -> Self {
        self.facts
            .details
            .push("Python packages from a folder, no index".to_owned());
        self.wheels = Some(folder);
        self
    }

    /// Lets a build install packages that were made for it, which its sandbox sees read-only beside the others.
    #[must_use]
    pub fn with_packages(&self, folder: PathBuf) -> Self {
        Self {
            packages: Some(folder),
            ..self.clone()
        }
    }

    /// Lets builds, and they alone, reach a mirror of packages.
    #[must_use]
    pub fn with_mirror(mut self, mirror: Arc<Mirror>) -> Self {
        self.facts.details.push(format!(
            "builds reach a mirror of packages: {}",
            mirror.declared().describe()
        ));
        self.mirror = Some(mirror);
        self
    }

    /// Returns the mirror that builds reach, if there is one.
    pub(super) fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_deref()
    }

    /// Returns the folder of Python packages that builds may install, if there is one.
    pub(super) fn wheels(&self) -> Option<&Path> {
        self.wheels.as_deref()
    }

    /// Returns what is isolated and how.
    pub fn facts(&self) -> &IsolationFacts {
        &self.facts
    }

    /// Returns what the kernel's Landlock does in sandboxes.
    pub fn fence(&self) -> Fence {
        self.fence
    }

    /// Makes an environment for the outside into one for the inside: where programs and the data are.
    pub fn adapt(&self, env: &mut BTreeMap<String, String>) {
        let own = self
            .runtimes
            .iter()
            .map(|folder| folder.join("bin").display().to_string());
        let path: Vec<String> = own.chain([SYSTEM_PATH.to_owned()]).collect();
        env.insert("PATH".to_owned(), path.join(":"));
        // A sandbox is thrown away with what is installed in it; a system's wish to be left alone means this machine's own files.
        for (name, value) in [
            ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_NO_CACHE_DIR", "1"),
            ("PIP_NO_INDEX", "1"),
        ] {
            env.insert(name.to_owned(), value.to_owned());
        }
        let folders: Vec<&str> = [(&self.packages, walls::PACKAGES), (&self.wheels, walls::WHEELS)]
            .into_iter()
            .filter_map(|(folder, inside)| folder.as_ref().map(|_| inside))
            .collect();
        for (name, value) in self.mirror.iter().flat_map(|mirror| mirror.env()) {
            if name == "PIP_INDEX_URL" {
                env.remove("PIP_NO_INDEX");
            }
            env.insert(name.to_owned(), value);
        }
        if !folders.is_empty() {
            env.insert("PIP_FIND_LINKS".to_owned(), folders.join(" "));
        }
        if env.contains_key("REELWORLD_DATA") {
            env.insert("REELWORLD_DATA".to_owned(), walls::DATA.to_owned());
        }
    }

    /// Returns a sandbox for a submission; it begins with the first command.
    pub fn sandbox(
        &self,
        dir: &Path,
        data: Option<&Path>,
        bounds: Bounds,
        outlets: Vec<Outlet>,
        clock: Clock,
    ) -> Arc<Sandbox> {
        let plan = self.plan(bounds, data);
        Sandbox::of(
            plan,
            (dir, outlets),
            self.mirror.clone(),
            clock,
            self.facts.clone(),
        )
    }

    fn plan(&self, bounds: Bounds, data: Option<&Path>) -> Plan {
        let runtimes = self
            .runtimes
            .iter()
            .map(|folder| (folder.clone(), folder.display().to_string()));
        let data = data.map(|data| (data.to_owned(), walls::DATA.to_owned()));
        let seen =
            |folder: &Option<PathBuf>, inside: &str| folder.clone().map(|folder| (folder, inside.to_owned()));
        let wheels = seen(&self.wheels, walls::WHEELS);
        let packages = seen(&self.packages, walls::PACKAGES);
        Plan {
            program: self.program.clone(),
            bwrap: self.bwrap.clone(),
            bounds,
            binds: runtimes.chain(data).chain(wheels).chain(packages).collect(),
            container: None,
        }
    }
}

/// Where data is, inside, that comes while a service runs.
pub const NEWER_DATA: &str = "/newer-data";
/// How many connections wait at a listener until somebody takes them, as the standard library has it.
#[cfg(target_os = "linux")]
const BACKLOG: i32 = 128;
/// Where the system's programs are, inside.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What every refusal ends with.
const TRUST: &str =
    "Untrusted code is not run unisolated; for your own code: --trust (results are marked \"not isolated\")";

/// A sandbox of one submission: its repository, its processes, its network.
#[derive(Debug)]
pub struct Sandbox {
    plan: Plan,
    dir: PathBuf,
    outlets: Vec<Outlet>,
    mirror: Option<Arc<Mirror>>,
    clock: Clock,
    facts: IsolationFacts,
    session: Mutex<Option<Open>>,
}

/// A sandbox that has begun, and the listeners in it that we hold.
#[derive(Debug)]
struct Open {
    session: Arc<Session>,
    listeners: Vec<TcpListener>,
}

/// What a command is for: its bounds differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Build,
    Run,
}

impl Sandbox {
    pub(super) fn of(
        plan: Plan,
        (dir, outlets): (&Path, Vec<Outlet>),
        mirror: Option<Arc<Mirror>>,
        clock: Clock,
        facts: IsolationFacts,
    ) -> Arc<Self> {
        Arc::new(Self {
            plan,
            dir: dir.to_owned(),
            outlets,
            mirror,
            clock,
            facts,
            session: Mutex::new(None),
        })
    }

    /// Returns what is isolated and how.
    pub fn facts(&self) -> &IsolationFacts {
        &self.facts
    }

    /// Returns what may be used in it.
    pub fn bounds(&self) -> &Bounds {
        &self.plan.bounds
    }

    /// Takes a socket of the inside, to be connected to a port of the inside; none while none is to be had.
    ///
    /// # Errors
    /// When the sandbox cannot be made, or everything in it has ended: [`Lost`] if nothing inside has brought that about.
    pub fn socket(&self) -> io::Result<Option<OwnedFd>> {
        self.session()?.socket()
    }

    /// Returns another sandbox of the same submission, in which other data is seen; it begins with the first command.
    pub fn with_data(&self, data: &Path) -> Arc<Self> {
        let mut plan = self.plan.clone();
        plan.binds
            .retain(|(_, inside)| inside != walls::DATA && inside != NEWER_DATA);
        plan.binds.push((data.to_owned(), walls::DATA.to_owned()));
        self.like(plan, self.outlets.clone())
    }

    /// Returns another sandbox of the same submission that reaches more of the company: outlets, and a folder whose files may come
    /// while it runs, read-only. It begins with the first command.
    pub fn with_company(&self, outlets: Vec<Outlet>, newer_data: Option<&Path>) -> Arc<Self> {
        let mut plan = self.plan.clone();
        plan.binds
            .extend(newer_data.map(|folder| (folder.to_owned(), NEWER_DATA.to_owned())));
        self.like(plan, self.outlets.iter().cloned().chain(outlets).collect())
    }

    fn like(&self, plan: Plan, outlets: Vec<Outlet>) -> Arc<Self> {
        let mirror = self.mirror.clone();
        Self::of(plan, (&self.dir, outlets), mirror, self.clock, self.facts.clone())
    }

    /// Ends everything in it. A command afterwards begins it anew.
    pub fn close(&self) {
        let open = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        for listener in open.iter().flat_map(|open| &open.listeners) {
            // Whoever waits for somebody to connect is told that nobody will.
            drop(shut(listener));
        }
    }

    pub(super) fn session(&self) -> io::Result<Arc<Session>> {
        let mut open = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*open {
            return Ok(Arc::clone(&open.session));
        }
        let session = Arc::new(Session::open(&self.plan, Some(&self.dir), self.clock)?);
        let mut listeners = Vec::new();
        for outlet in &self.outlets {
            let listener = session.listen(outlet.port)?;
            listeners.push(listener.try_clone()?);
            let serve = Arc::clone(&outlet.serve);
            std::thread::spawn(move || serve(listener));
        }
        *open = Some(Open {
            session: Arc::clone(&session),
            listeners,
        });
        Ok(session)
    }

    pub(super) fn enter(&self, stage: Stage) -> io::Result<Arc<Session>> {
        let session = self.session()?;
        let bounds = &self.plan.bounds;
        session.set_memory(match stage {
            Stage::Build => bounds.build_memory_mib,
            Stage::Run => bounds.memory_mib,
        })?;
        Ok(session)
    }

    /// Opens the mirror of packages to what runs inside, until what is returned is closed; none where there is no mirror.
    pub(super) fn open_mirror(&self) -> io::Result<Option<Hatch>> {
        let Some(mirror) = &self.mirror else {
            return Ok(None);
        };
        let session = self.session()?;
        let mut listeners = Vec::new();
        for front in mirror.fronts() {
            listeners.push((front, session.listen(front.port())?));
        }
        let bounds = &self.plan.bounds;
        let bounds = HatchBounds {
            requests: bounds.mirror_requests,
            bytes: u64::from(bounds.mirror_mib) << 20,
            waiting: Duration::from_secs(u64::from(bounds.mirror_s)),
        };
        Hatch::open(Arc::clone(mirror), listeners, bounds, self.clock).map(Some)
    }

    /// Tells whose fault it is that an image was not built, where it is not that of a step of the container file; none for what is no
    /// container.
    pub fn unbuilt(&self, end: &BuildEnd, lines: &[String]) -> Option<Unbuilt> {
        unbuilt(self.plan.container.as_deref()?, end, lines)
    }

    /// Tells whether a port of the inside is the company's, not one that a program there listens on.
    pub(super) fn is_outlet(&self, port: u16) -> bool {
        self.outlets.iter().any(|outlet| outlet.port == port)
    }

    pub(super) fn output_mib_s(&self) -> u32 {
        self.plan.bounds.output_mib_s
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.close();
    }
}

/// Has a listener of a sandbox's inside refuse connections, whoever else holds it.
///
/// # Errors
/// When the system refuses.
#[cfg(target_os = "linux")]
pub fn shut(listener: &TcpListener) -> io::Result<()> {
    rustix::net::shutdown(listener, rustix::net::Shutdown::Both).map_err(io::Error::from)
}

/// Has a listener that refused connections take them again: a socket that was shut keeps its port.
///
/// # Errors
/// When the system refuses.
#[cfg(target_os = "linux")]
pub fn reopen(listener: &TcpListener) -> io::Result<()> {
    rustix::net::listen(listener, BACKLOG).map_err(io::Error::from)
}

/// Without sandboxes there are no listeners of their inside.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn shut(_listener: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Without sandboxes there are no listeners of their inside.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn reopen(_listener: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn facts(version: &str, session: &Session, unseen: &[String]) -> IsolationFacts {
    let held = session.held();
    let mut details = vec![
        "own files, processes, users and network; only the harness reaches its ports".to_owned(),
        "a deny list of system calls".to_owned(),
    ];
    if let Some(user) = held.user {
        details.push(format!("a user of its own (such as {user})"));
    }
    let has = |name: &str| held.bounded.iter().any(|bounded| bounded == name);
    if let Some(kind) = &held.cgroup {
        details.push(format!(
            "a control group ({kind}) bounds {}",
            held.bounded.join(", ")
        ));
    }
    let mut weak = Vec::new();
    if !has("memory") {
        weak.push("memory is bounded for each process, not in total".to_owned());
    }
    if !has("cpu") {
        weak.push("processor time is not bounded".to_owned());
    }
    weak.extend(unseen.iter().cloned());
    IsolationFacts {
        how: format!("sandbox: {version}"),
        details,
        weak,
    }
}

/// Says why bubblewrap failed, and what helps on the systems where that is known.
fn refused(said: &str) -> Refusal {
    let said: String = said.lines().take(3).collect::<Vec<_>>().join("; ");
    let userns = [
        "uid map",
        "RTM_NEWADDR",
        "new namespace",
        "user namespace",
        "namespaces",
    ];
    let help = if userns.iter().any(|part| said.contains(part)) {
        "this system restricts user namespaces: on Ubuntu 23.10 and later, apt install apparmor-profiles, copy \
         /usr/share/apparmor/extra-profiles/bwrap-userns-restrict to /etc/apparmor.d/ and load it; on older Debian, sysctl \
         kernel.unprivileged_userns_clone=1. "
    } else {
        ""
    };
    Refusal {
        why: format!("bwrap found but failed (\"{said}\")"),
        hint: format!("{help}{TRUST}"),
    }
}

/// Finds a program as a shell would.
pub(super) fn look_up(name: &str, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join(name))
        .find(|file| {
            file.metadata()
                .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
        })
}

pub(super) fn told(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Finds the folders of interpreters that the caller uses and that lie outside of `/usr`, which every sandbox has; and says which it
/// cannot have.
fn runtimes(around: Surroundings<'_>) -> (Vec<PathBuf>, Vec<String>) {
    let mut found = Vec::new();
    let mut unseen = Vec::new();
    let ask = "import sys; print(sys.base_prefix); print(sys.prefix)";
    let python = look_up("python3", around.path)
        .and_then(|python| told(Command::new(python).args(["-c", ask])))
        .unwrap_or_default();
    let node = look_up("node", around.path)
        .and_then(|node| node.canonicalize().ok())
        .and_then(|node| Some(node.parent()?.parent()?.display().to_string()))
        .unwrap_or_default();
    // The last one asked comes first on the path: a virtual environment before what it was made of.
    for (name, folder) in [("python3", python.as_str()), ("node", node.as_str())]
        .iter()
        .flat_map(|(name, lines)| lines.lines().rev().map(move |line| (*name, line)))
    {
        let Ok(folder) = Path::new(folder).canonicalize() else {
            continue;
        };
        if folder.starts_with("/usr") || found.contains(&folder) {
            continue;
        }
        let wide = |home: &Path| home.starts_with(&folder) || folder == home.join(".local");
        if folder == Path::new("/") || around.home.is_some_and(wide) {
            unseen.push(format!(
                "`{name}` of this path lies in `{}`, which no sandbox may see: the system's own is used inside",
                folder.display()
            ));
            continue;
        }
        found.push(folder);
    }
    (found, unseen)
}
