//! A control group of its own for a sandbox, below the group that the grader runs in: memory, processes and time for all of it together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::id;

use super::super::bounds::Bounds;
use super::wire::Toll;

/// What is bounded, by the names that both kinds of groups use.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// How a group of ours is named; the number of the keeper's process follows.
const NAME: &str = "reelworld-";
/// Where the grader goes when its own group must hold groups and not processes.
const GRADER: &str = "reelworld-grader";
/// The length of a period of processor time, in microseconds: the system's own default.
const PERIOD_US: f64 = 100_000.0;

/// Where groups are, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Places {
    /// One folder for each controller.
    V1(Vec<(&'static str, PathBuf)>),
    /// One folder for all.
    V2(PathBuf),
}

/// A group that was made.
#[derive(Debug)]
pub(super) struct Cgroup {
    kind: &'static str,
    /// Each controller that works, and its folder.
    dirs: Vec<(&'static str, PathBuf)>,
}

impl Cgroup {
    /// Makes a group with the bounds of a build or a run; none where this user may make none.
    pub(super) fn make(bounds: &Bounds, memory: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        places(&own, &mounts)
            .into_iter()
            .find_map(|places| Self::make_in(&places, bounds, memory))
    }

    fn make_in(places: &Places, bounds: &Bounds, memory: u64) -> Option<Self> {
        let name = format!("{NAME}{}", id());
        let (kind, parents) = match places {
            Places::V1(parents) => ("v1", parents.clone()),
            Places::V2(parent) => {
                let parent = delegated(parent)?;
                ("v2", CONTROLLERS.map(|name| (name, parent.clone())).to_vec())
            }
        };
        let mut dirs = Vec::new();
        for (controller, parent) in parents {
            sweep(&parent);
            let dir = parent.join(&name);
            match fs::create_dir(&dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => continue,
                _ => {}
            }
            if bound(kind, controller, &dir, bounds, memory).is_ok() {
                dirs.push((controller, dir));
            } else if kind == "v1" {
                drop(fs::remove_dir(&dir));
            }
        }
        (!dirs.is_empty()).then_some(Self { kind, dirs })
    }

    /// Returns `v1` or `v2`.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the controllers that bound something.
    pub(super) fn bounded(&self) -> Vec<String> {
        self.dirs.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Puts a process into the group.
    ///
    /// # Errors
    /// When the system refuses, or the process has ended.
    pub(super) fn enter(&self, pid: u32) -> io::Result<()> {
        self.dirs
            .iter()
            .try_for_each(|(_, dir)| fs::write(dir.join("cgroup.procs"), pid.to_string()))
    }

    /// Bounds the memory anew.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn set_memory(&self, memory: u64) -> io::Result<()> {
        match self.dirs.iter().find(|(name, _)| *name == "memory") {
            Some((_, dir)) => bound_memory(self.kind, dir, memory),
            None => Ok(()),
        }
    }

    /// Returns what its bounds have cost so far.
    pub(super) fn toll(&self) -> Toll {
        let memory = if self.kind == "v1" {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        Toll {
            killed: self.count("memory", memory, "oom_kill "),
            refused: self.count("pids", "pids.events", "max "),
        }
    }

    /// Returns a number that a controller counts, where it does.
    fn count(&self, controller: &str, file: &str, begin: &str) -> Option<u64> {
        let (_, dir) = self.dirs.iter().find(|(name, _)| *name == controller)?;
        let text = fs::read_to_string(dir.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(begin))?;
        line.trim().parse().ok()
    }

    /// Returns the processes that are in the group.
    pub(super) fn processes(&self) -> Vec<i32> {
        let text = |dir: &Path| fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        self.dirs
            .first()
            .map(|(_, dir)| text(dir).lines().filter_map(|line| line.parse().ok()).collect())
            .unwrap_or_default()
    }

    /// Removes the group; false while something in it has not ended.
    pub(super) fn remove(&self) -> bool {
        let gone = |dir: &PathBuf| match fs::remove_dir(dir) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        self.dirs.iter().fold(true, |all, (_, dir)| gone(dir) && all)
    }
}

/// Finds where a process may have groups: those of the first kind, then those of the second, by /proc's two tables.
fn places(own: &str, mounts: &str) -> Vec<Places> {
    let mut first = Vec::new();
    let mut second = None;
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if number == "0" && names.is_empty() {
            second = mounted(mounts, None).map(|(at, root)| below(&at, &root, path));
            continue;
        }
        for controller in CONTROLLERS {
            if names.split(',').any(|name| name == controller)
                && let Some((at, root)) = mounted(mounts, Some(controller))
            {
                first.push((controller, below(&at, &root, path)));
            }
        }
    }
    let first = (!first.is_empty()).then_some(Places::V1(first));
    first.into_iter().chain(second.map(Places::V2)).collect()
}

/// Returns where a hierarchy is mounted, and which of its folders is.
fn mounted(mounts: &str, controller: Option<&str>) -> Option<(PathBuf, String)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let kind = right.next()?;
        let options = right.nth(1)?;
        let fits = match controller {
            None => kind == "cgroup2",
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        let mut left = left.split(' ').skip(3);
        let (root, at) = (left.next()?, left.next()?);
        fits.then(|| (PathBuf::from(at), root.to_owned()))
    })
}

fn below(at: &Path, root: &str, path: &str) -> PathBuf {
    let inside = path.strip_prefix(root).unwrap_or(path);
    at.join(inside.trim_start_matches('/'))
}

/// Returns the folder of the second kind below which groups with controllers can be made, after making it one if that is possible.
fn delegated(own: &Path) -> Option<PathBuf> {
    let parent = if own.ends_with(GRADER) { own.parent()? } else { own };
    let has = |file: &str| {
        fs::read_to_string(parent.join(file)).is_ok_and(|text| {
            CONTROLLERS[..2]
                .iter()
                .all(|name| text.split_whitespace().any(|has| has == *name))
        })
    };
    let hand_down = || fs::write(parent.join("cgroup.subtree_control"), "+memory +pids +cpu");
    if !has("cgroup.controllers") {
        return None;
    }
    if has("cgroup.subtree_control") || hand_down().is_ok() {
        return Some(parent.to_owned());
    }
    // A group that holds processes hands nothing down. If all of them are the grader's, they move one folder deeper.
    let grader = std::os::unix::process::parent_id();
    let text = fs::read_to_string(parent.join("cgroup.procs")).ok()?;
    let all: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let ours = super::super::leash::descendants(grader);
    if !all.iter().all(|pid| *pid == grader || ours.contains(pid)) {
        return None;
    }
    fs::create_dir_all(parent.join(GRADER)).ok()?;
    for pid in all {
        fs::write(parent.join(GRADER).join("cgroup.procs"), pid.to_string()).ok()?;
    }
    hand_down().is_ok().then(|| parent.to_owned())
}

fn bound(kind: &str, controller: &str, dir: &Path, bounds: &Bounds, memory: u64) -> io::Result<()> {
    let quota = (bounds.cpus * PERIOD_US) as u64;
    let set = |file: &str, value: String| fs::write(dir.join(file), value);
    match (controller, kind) {
        ("memory", _) => bound_memory(kind, dir, memory),
        ("pids", _) => set("pids.max", bounds.processes.to_string()),
        ("cpu", "v1") => set("cpu.cfs_period_us", PERIOD_US.to_string())
            .and_then(|()| set("cpu.cfs_quota_us", quota.to_string())),
        _ => set("cpu.max", format!("{quota} {PERIOD_US}")),
    }
}

/// Bounds memory, and swap with it: what is swapped out would not be bounded.
fn bound_memory(kind: &str, dir: &Path, memory: u64) -> io::Result<()> {
    let set = |file: &str, value: &str| fs::write(dir.join(file), value);
    let bytes = memory.to_string();
    if kind == "v2" {
        drop(set("memory.swap.max", "0"));
        return set("memory.max", &bytes);
    }
    // Memory with swap may never be less than memory alone: what grows, grows from the top, what shrinks, from the bottom. So the
    // upper one is set before and after, and one of the two is refused. A kernel without swap accounting has no upper one.
    drop(set("memory.memsw.limit_in_bytes", &bytes));
    set("memory.limit_in_bytes", &bytes)?;
    drop(set("memory.memsw.limit_in_bytes", &bytes));
    Ok(())
}

/// Removes empty groups of keepers that were killed before they could.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid: Option<u32> = name
            .to_str()
            .and_then(|name| name.strip_prefix(NAME))
            .and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // One that is not empty stays; the system refuses.
            drop(fs::remove_dir(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "8:pids:/\n4:memory:/job/7\n1:cpu,cpuacct:/\n0::/\n";
    const MOUNTS: &str = "26 25 0:22 / /sys/fs/cgroup/cpu rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
                          29 25 0:25 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                          33 25 0:29 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
                          35 25 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn groups_are_made_below_the_graders_own() {
        let found = places(HYBRID, MOUNTS);
        let path = |text: &str| PathBuf::from(format!("/sys/fs/cgroup/{text}"));
        let wanted = vec![
            ("pids", path("pids/")),
            ("memory", path("memory/job/7")),
            ("cpu", path("cpu/")),
        ];
        assert_eq!(found, [Places::V1(wanted), Places::V2(path("unified/"))]);
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_top() {
        let mounts = "35 25 0:31 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        let found = places("0::/docker/abc/inner\n", mounts);
        assert_eq!(found, [Places::V2("/sys/fs/cgroup/inner".into())]);
    }

    #[test]
    fn a_group_of_the_second_kind_needs_its_controllers_handed_down() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(dir.path().join(file), text).unwrap();
        write("cgroup.controllers", "cpu io\n");
        write("cgroup.subtree_control", "");
        assert_eq!(delegated(dir.path()), None);
        write("cgroup.controllers", "cpu memory pids\n");
        write("cgroup.subtree_control", "cpu memory pids\n");
        assert_eq!(delegated(dir.path()), Some(dir.path().to_owned()));
        assert_eq!(delegated(&dir.path().join(GRADER)), Some(dir.path().to_owned()));
        let bounds = Bounds::default();
        let group = Cgroup::make_in(&Places::V2(dir.path().to_owned()), &bounds, 1 << 30).unwrap();
        assert_eq!((group.kind(), group.bounded().len()), ("v2", 3));
        let inner = dir.path().join(format!("{NAME}{}", id()));
        let read = |file: &str| fs::read_to_string(inner.join(file)).unwrap();
        assert_eq!(read("memory.max"), (1_u64 << 30).to_string());
        assert_eq!(read("cpu.max"), "100000 100000");
        assert_eq!(read("pids.max"), bounds.processes.to_string());
        fs::write(inner.join("memory.events"), "oom 3\noom_kill 2\n").unwrap();
        fs::write(inner.join("pids.events"), "max 7\n").unwrap();
        let toll = Toll {
            killed: Some(2),
            refused: Some(7),
        };
        assert_eq!(group.toll(), toll);
    }
}
