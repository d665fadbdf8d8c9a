//! Reading somebody else's history: git's own plumbing over a store of ours that borrows their objects, so that no
//! setting, hook, filter or pager of the repository is ever read.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use walkdir::WalkDir;

/// How long one look at a history may take: two thousand commits take a second, and a broken store must not hold a class up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The seconds of a processor that one call of git may take.
#[cfg(target_os = "linux")]
const PROCESSOR_S: u64 = 300;
/// The most references that are followed.
const MOST_REFS: usize = 10_000;
/// The most bytes of a file of references.
const REF_BYTES: u64 = 8 << 20;
/// The most remotes that are looked at.
const MOST_REMOTES: usize = 20;
/// The most bytes that git may say of what it could not do.
const COMPLAINT_BYTES: u64 = 4 << 10;

/// A history that can be read.
#[derive(Debug)]
pub(super) struct Store {
    dir: TempDir,
    refs: BTreeMap<String, String>,
    head: Head,
}

/// What is checked out.
#[derive(Debug)]
enum Head {
    /// A branch, by its full name.
    Branch(String),
    /// A commit by itself.
    Commit(String),
    /// Nothing that can be read.
    Nothing,
}

impl Store {
    /// Opens the history of a folder; none if the folder is no git repository or has no commit.
    ///
    /// # Errors
    /// Invalid data where the repository is at fault; anything else is this machine's.
    pub(super) fn open(folder: &Path) -> io::Result<Option<Self>> {
        let git = folder.join(".git");
        let objects = git.join("objects");
        if !is_plain_dir(&git) || !is_plain_dir(&objects) {
            return Ok(None);
        }
        // Git would follow them to wherever they lead: to another team's work, which would then count as this one's.
        for name in ["alternates", "http-alternates"] {
            if fs::symlink_metadata(objects.join("info").join(name)).is_ok() {
                return Err(theirs(format!(
                    "it borrows the objects of another repository (`.git/objects/info/{name}`)"
                )));
            }
        }
        let (refs, head) = (references(&git)?, checked_out(&git));
        let detached = match &head {
            Head::Commit(hash) => Some(hash),
            Head::Branch(_) | Head::Nothing => None,
        };
        let Some(digits) = refs.values().chain(detached).next().map(String::len) else {
            return Ok(None);
        };
        let dir = tempfile::tempdir()?;
        let format = if digits == 64 { "sha256" } else { "sha1" };
        let store = Self { dir, refs, head };
        let made = store.git(&[
            "init",
            "--quiet",
            "--bare",
            "--template=",
            "--object-format",
            format,
            ".",
        ]);
        Self::whole(made, Vec::new(), |_| Ok(()))?;
        let objects = fs::canonicalize(objects)?;
        let info = store.dir.path().join("objects").join("info");
        fs::create_dir_all(&info)?;
        fs::write(info.join("alternates"), format!("{}\n", objects.display()))?;
        // A shallow clone says where its history is cut; without that, git would take it for broken.
        if let Ok(text) = read_small(&git.join("shallow")) {
            let cut: Vec<&str> = text.lines().filter(|line| is_hash(line)).collect();
            fs::write(store.dir.path().join("shallow"), cut.join("\n") + "\n")?;
        }
        Ok(Some(store))
    }

    /// Returns all commits that something points to, a line each.
    pub(super) fn tips(&self) -> Vec<u8> {
        let mut tips: BTreeSet<&str> = self.refs.values().map(String::as_str).collect();
        tips.extend(self.checked_out());
        tips.iter()
            .flat_map(|tip| format!("{tip}\n").into_bytes())
            .collect()
    }

    /// Returns the commit that is checked out.
    pub(super) fn checked_out(&self) -> Option<&str> {
        match &self.head {
            Head::Branch(name) => self.refs.get(name).map(String::as_str),
            Head::Commit(hash) => Some(hash),
            Head::Nothing => None,
        }
    }

    /// Returns the short name of the branch that is checked out.
    pub(super) fn branch(&self) -> Option<&str> {
        match &self.head {
            Head::Branch(name) => name.strip_prefix("refs/heads/"),
            Head::Commit(_) | Head::Nothing => None,
        }
    }

    /// Returns what a tag points to.
    pub(super) fn tag(&self, name: &str) -> Option<&str> {
        self.refs.get(&format!("refs/tags/{name}")).map(String::as_str)
    }

    /// Runs git over the store: `input` goes in, `read` takes what comes out.
    ///
    /// # Errors
    /// Invalid data where git cannot read the history, with what git said; anything else is this machine's.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        words: &[&str],
        input: Vec<u8>,
        read: impl FnOnce(&mut dyn BufRead) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.ask_with(&[], words, input, read)
    }

    /// Runs git over the store with more in its environment: where the files are, where the index is, where objects go.
    ///
    /// # Errors
    /// As [`Store::ask`].
    pub(super) fn ask_with<T: Send + 'static>(
        &self,
        environment: &[(&str, &Path)],
        words: &[&str],
        input: Vec<u8>,
        read: impl FnOnce(&mut dyn BufRead) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let mut command = self.git(words);
        for (name, value) in environment {
            command.env(name, value);
        }
        Self::whole(command, input, read)
    }

    /// The store's own folder, which is gone with it.
    pub(super) fn place(&self) -> &Path {
        self.dir.path()
    }

    /// Returns what a reference points to.
    pub(super) fn reference(&self, name: &str) -> Option<&str> {
        self.refs.get(name).map(String::as_str)
    }

    fn git(&self, words: &[&str]) -> Command {
        let mut command = plumbing(self.dir.path(), words);
        if words.first() != Some(&"init") {
            command.env("GIT_DIR", self.dir.path());
        }
        command.env("HOME", self.dir.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn whole<T: Send + 'static>(
        mut command: Command,
        input: Vec<u8>,
        read: impl FnOnce(&mut dyn BufRead) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        #[cfg(test)]
        ASKED.set(ASKED.get() + 1);
        let mut child = command.spawn().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("git cannot be run on this machine: {error}"),
            )
        })?;
        bound(&child);
        let (Some(mut into), Some(out), Some(complaints)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("git has no pipes"));
        };
        // Three ends at once, or one that fills would hold the others up.
        let feeder = thread::spawn(move || {
            // A reader that ends early is no fault of the feeder: what git says of it is told below.
            drop(into.write_all(&input));
        });
        let listener = thread::spawn(move || {
            let mut text = Vec::new();
            drop(complaints.take(COMPLAINT_BYTES).read_to_end(&mut text));
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        let (tell, told) = mpsc::channel();
        let reader = thread::spawn(move || {
            // Nobody listens any more when the time is over.
            drop(tell.send(read(&mut BufReader::with_capacity(1 << 16, out))));
        });
        let result = told.recv_timeout(PATIENCE);
        if result.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        let said = listener.join().unwrap_or_default();
        drop(feeder.join());
        drop(reader.join());
        match result {
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("git had not read the history after {} s", PATIENCE.as_secs()),
            )),
            Ok(_) if !status.success() => Err(theirs(format!("git cannot read the history: {said}"))),
            Ok(read) => read,
        }
    }
}

/// Pushes from a repository of ours to where it is kept; no hook of a repository runs.
///
/// The way there (keys, names, helpers) is what the settings of whoever runs this say.
///
/// # Errors
/// What git said.
pub fn push(repository: &Path, remote: &str, what: &str) -> Result<(), String> {
    let done = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["-c", "core.hooksPath=/dev/null"])
        .args(["push", "--quiet", "--", remote, what])
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("git cannot be run: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
}

#[cfg(test)]
std::thread_local! {
    static ASKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Returns how often this thread has asked git.
#[cfg(test)]
pub(super) fn asked() -> usize {
    ASKED.get()
}

/// Returns git with some words in a folder, deaf to every setting of this machine, of whoever runs it, and of the environment.
pub fn plumbing(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("git");
    // What is large is no text whose lines anybody compares.
    command.args(["-c", "core.quotePath=false", "-c", "core.bigFileThreshold=2m"]);
    command.args(words);
    command.current_dir(dir);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_NO_REPLACE_OBJECTS", "1");
    command.env("GIT_NO_LAZY_FETCH", "1");
    command.env("GIT_TERMINAL_PROMPT", "0");
    command.env("LC_ALL", "C");
    command
}

/// Bounds the processor's time that git may take, so that it ends also where whoever started it was killed: a small history can
/// hold a tree that takes years to list.
pub fn bound(git: &Child) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};

        let seconds = Some(PROCESSOR_S);
        let limit = Rlimit {
            current: seconds,
            maximum: seconds,
        };
        // It may have ended by itself, which is what we want.
        let _gone = prlimit(Pid::from_raw(git.id().cast_signed()), Resource::Cpu, limit);
    }
    #[cfg(not(target_os = "linux"))]
    let _unbounded = git;
}

/// Returns the commit that is checked out in a folder, read from git's own files and nothing else; none where there is none.
pub fn checked_out_commit(folder: &Path) -> Option<String> {
    let git = folder.join(".git");
    if !is_plain_dir(&git) {
        return None;
    }
    match checked_out(&git) {
        Head::Commit(hash) => Some(hash),
        Head::Branch(name) => references(&git).ok()?.remove(&name),
        Head::Nothing => None,
    }
}

/// An error that is the repository's, and not this machine's.
pub(super) fn theirs(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

pub(super) fn is_plain_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

/// Whether a text is the full name of an object.
pub(super) fn is_hash(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn read_small(path: &Path) -> io::Result<String> {
    let about = fs::symlink_metadata(path)?;
    if !about.is_file() || about.len() > REF_BYTES {
        return Err(theirs(format!(
            "`{}` is no plain file of a usual size",
            path.display()
        )));
    }
    fs::read_to_string(path)
}

/// Returns a repository's references with what they point to; a loose one counts before a packed one.
fn references(git: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    match read_small(&git.join("packed-refs")) {
        Ok(text) => {
            let packed = text.lines().filter_map(|line| {
                let (hash, name) = line.split_once(' ')?;
                is_hash(hash).then(|| (name.to_owned(), hash.to_owned()))
            });
            found.extend(packed.take(MOST_REFS));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let loose = WalkDir::new(git.join("refs")).sort_by_file_name();
    for entry in loose.into_iter().flatten().take(MOST_REFS) {
        if let Ok(name) = entry.path().strip_prefix(git)
            && let Ok(text) = read_small(entry.path())
            && is_hash(text.trim())
        {
            found.insert(name.to_string_lossy().into_owned(), text.trim().to_owned());
        }
    }
    Ok(found)
}

/// Returns the commit that is checked out if no branch is.
pub(super) fn head(git: &Path) -> Option<String> {
    let text = read_small(&git.join("HEAD")).ok()?;
    is_hash(text.trim()).then(|| text.trim().to_owned())
}

/// Returns what is checked out.
fn checked_out(git: &Path) -> Head {
    let text = read_small(&git.join("HEAD")).unwrap_or_default();
    let text = text.trim();
    match text.strip_prefix("ref: ") {
        Some(branch) => Head::Branch(branch.trim().to_owned()),
        None if is_hash(text) => Head::Commit(text.to_owned()),
        None => Head::Nothing,
    }
}

/// Returns the addresses of the repository's remotes, without what would open them.
pub(super) fn remotes(folder: &Path) -> Vec<String> {
    let Ok(text) = read_small(&folder.join(".git").join("config")) else {
        return Vec::new();
    };
    let mut in_remote = false;
    let mut addresses = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_remote = line.starts_with("[remote ");
        } else if in_remote
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "url"
        {
            addresses.push(value.trim().trim_matches('"').to_owned());
        }
    }
    addresses.truncate(MOST_REMOTES);
    addresses
}
