//! The commit that a team has checked out: its files, whether the folder holds anything else, and a branch written beside it.
//!
//! As with all of a history, git works over a store of ours. Of the team's repository only objects are read and written, and
//! one reference: no setting, hook, filter, driver or monitor of theirs is ever looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::git::{Store, head, is_hash, is_plain_dir, read_small, theirs};

/// The largest content that is read: a merged text is a tenth of it.
const MOST_CONTENT_BYTES: u64 = 4 << 20;
/// The most bytes that are read at once: two thousand files as long as programs get.
const MOST_BYTES: u64 = 128 << 20;
/// The most files of a commit that are looked at.
const MOST_FILES: usize = 100_000;
/// The reference of ours under which a commit is made before it is theirs.
const MADE: &str = "refs/heads/made";
/// The one of the commit that is merged into it.
const GIVEN: &str = "refs/heads/given";
/// What stands in git's folder while somebody is in the middle of something, and what that is.
const UNDER_WAY: [(&str, &str); 6] = [
    ("MERGE_HEAD", "a merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick"),
    ("REVERT_HEAD", "a revert"),
    ("rebase-merge", "a rebase"),
    ("rebase-apply", "a rebase"),
    ("BISECT_LOG", "a bisection"),
];

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Git's mode: `100644`, `100755`, `120000` or `160000`.
    pub mode: String,
    /// The name that git gives to its content.
    pub id: String,
}

/// A change that a new commit makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Writes a file.
    Put {
        /// Where.
        path: String,
        /// What.
        content: Vec<u8>,
        /// Whether it may be executed.
        executable: bool,
    },
    /// Takes a file away.
    Remove {
        /// Which.
        path: String,
    },
}

/// The content of a file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One that the repository has, by the name that git gives to it.
    There(String),
    /// Another one.
    New(Vec<u8>),
}

/// A commit that comes from nowhere and is merged into another: what was given out, kept in the history of who it was given to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What it says.
    pub message: String,
    /// All its files, by path.
    pub files: Vec<(String, Content)>,
}

/// The commit that is checked out in a folder.
#[derive(Debug)]
pub struct Checkout {
    store: Store,
    folder: PathBuf,
    git: PathBuf,
    branch: Option<String>,
    tip: String,
}

impl Checkout {
    /// Opens a folder; none if it is no git repository, or nothing is committed on what is checked out.
    ///
    /// # Errors
    /// Invalid data where the repository is at fault; anything else is this machine's.
    pub fn open(folder: &Path) -> io::Result<Option<Self>> {
        let Some(store) = Store::open(folder)? else {
            return Ok(None);
        };
        let folder = fs::canonicalize(folder)?;
        let git = folder.join(".git");
        let text = read_small(&git.join("HEAD"))?;
        let branch = text.trim().strip_prefix("ref: refs/heads/").map(str::to_owned);
        let tip = match &branch {
            Some(name) => store.reference(&format!("refs/heads/{name}")).map(str::to_owned),
            None => head(&git),
        };
        Ok(tip.map(|tip| Self {
            store,
            folder,
            git,
            branch,
            tip,
        }))
    }

    /// The branch that is checked out, if one is.
    pub fn branch(&self) -> Option<&str> {
        self.branch.as_deref()
    }

    /// Whether there is a branch of a name.
    pub fn has_branch(&self, name: &str) -> bool {
        self.store.reference(&format!("refs/heads/{name}")).is_some()
    }

    /// Whether all of a branch is in what is checked out.
    ///
    /// # Errors
    /// As [`Checkout::open`].
    pub fn has_merged(&self, name: &str) -> io::Result<bool> {
        let Some(commit) = self.store.reference(&format!("refs/heads/{name}")) else {
            return Ok(false);
        };
        let words = ["rev-list", "--max-count=1", commit, "--not", &self.tip];
        let mut one = [0];
        self.store
            .ask(&words, Vec::new(), move |out| Ok(out.read(&mut one)? == 0))
    }

    /// Says what somebody is in the middle of, if they are.
    pub fn under_way(&self) -> Option<&'static str> {
        UNDER_WAY
            .iter()
            .find(|(name, _)| fs::symlink_metadata(self.git.join(name)).is_ok())
            .map(|(_, what)| *what)
    }

    /// Returns the files of the commit, by path. Those whose path is no text are left out.
    ///
    /// # Errors
    /// As [`Checkout::open`].
    pub fn entries(&self) -> io::Result<BTreeMap<String, Entry>> {
        let words = ["ls-tree", "-r", "-z", "--full-tree", &self.tip];
        let raw = self.store.ask(&words, Vec::new(), |out| {
            let mut raw = Vec::new();
            out.read_to_end(&mut raw)?;
            Ok(raw)
        })?;
        let mut found = BTreeMap::new();
        for record in raw.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
            let Ok(text) = std::str::from_utf8(record) else {
                continue;
            };
            let wrong = || theirs(format!("git lists a file as {text:?}"));
            let (about, path) = text.split_once('\t').ok_or_else(wrong)?;
            let mut about = about.split(' ');
            let (Some(mode), Some(id)) = (about.next(), about.nth(1)) else {
                return Err(wrong());
            };
            let entry = Entry {
                mode: mode.to_owned(),
                id: id.to_owned(),
            };
            found.insert(path.to_owned(), entry);
            if found.len() > MOST_FILES {
                return Err(theirs(format!(
                    "more than {MOST_FILES} files are in the repository"
                )));
            }
        }
        Ok(found)
    }

    /// Returns contents by their names; what is not there, is no file, or is too large, is left out.
    ///
    /// # Errors
    /// As [`Checkout::open`].
    pub fn contents(&self, ids: &BTreeSet<&str>) -> io::Result<BTreeMap<String, Vec<u8>>> {
        // Asked for their sizes first: what is too large is never read.
        let input: Vec<u8> = ids
            .iter()
            .filter(|id| is_hash(id))
            .flat_map(|id| format!("{id}\n").into_bytes())
            .collect();
        let sizes = self
            .store
            .ask(&["cat-file", "--batch-check", "--buffer"], input, |out| {
                let mut text = String::new();
                out.read_to_string(&mut text)?;
                Ok(text)
            })?;
        let mut all = 0;
        let wanted: Vec<(String, usize)> = sizes
            .lines()
            .filter_map(|line| {
                let (id, rest) = line.split_once(' ')?;
                let size: u64 = rest.strip_prefix("blob ")?.parse().ok()?;
                all += size;
                let fits = size <= MOST_CONTENT_BYTES && all <= MOST_BYTES;
                fits.then(|| (id.to_owned(), size as usize))
            })
            .collect();
        let input = wanted
            .iter()
            .flat_map(|(id, _)| format!("{id}\n").into_bytes())
            .collect();
        self.store
            .ask(&["cat-file", "--batch", "--buffer"], input, move |out| {
                let mut found = BTreeMap::new();
                for (id, size) in wanted {
                    let mut header = String::new();
                    out.read_line(&mut header)?;
                    if header.trim_end() != format!("{id} blob {size}") {
                        return Err(theirs(format!("git answers {header:?} for a content")));
                    }
                    let mut content = vec![0; size];
                    out.read_exact(&mut content)?;
                    out.read_exact(&mut [0])?;
                    found.insert(id, content);
                }
                Ok(found)
            })
    }

    /// Returns the files of the commit that are not in the folder as they are in the commit.
    ///
    /// # Errors
    /// As [`Checkout::open`].
    pub fn changed(&self) -> io::Result<Vec<String>> {
        let index = self.store.place().join("index-of-the-commit");
        fs::write(self.store.place().join("HEAD"), format!("{}\n", self.tip))?;
        let there: [(&str, &Path); 2] = [("GIT_INDEX_FILE", &index), ("GIT_WORK_TREE", &self.folder)];
        self.store
            .ask_with(&there, &["read-tree", &self.tip], Vec::new(), |_| Ok(()))?;
        // A submodule is a repository of its own, with settings of its own: git would run itself in it.
        let words = [
            "-c",
            "core.fsmonitor=false",
            "status",
            "--porcelain",
            "-z",
            "--untracked-files=no",
            "--no-renames",
            "--ignore-submodules=all",
        ];
        let raw = self.store.ask_with(&there, &words, Vec::new(), |out| {
            let mut raw = Vec::new();
            out.read_to_end(&mut raw)?;
            Ok(raw)
        })?;
        Ok(raw
            .split(|byte| *byte == 0)
            .filter(|record| record.len() > 3)
            .map(|record| String::from_utf8_lossy(&record[3..]).into_owned())
            .collect())
    }

    /// Returns what is not of the commit and would have to give way to a file at a path: something at the path itself, or
    /// anything but a folder above it.
    pub fn in_the_way(&self, path: &str, entries: &BTreeMap<String, Entry>) -> Option<String> {
        let above = path
            .char_indices()
            .filter(|(_, letter)| *letter == '/')
            .map(|(place, _)| &path[..place])
            .find(|above| {
                !entries.contains_key(*above)
                    && fs::symlink_metadata(self.folder.join(above)).is_ok_and(|found| !found.is_dir())
            });
        let is_there = || fs::symlink_metadata(self.folder.join(path)).is_ok();
        above.or_else(|| is_there().then_some(path)).map(str::to_owned)
    }

    /// Makes a commit on top of what is checked out and of a given one, and a branch that names it; nothing that is checked out
    /// changes.
    ///
    /// The same changes, message, author and time make the same commit, whose name is returned.
    ///
    /// # Errors
    /// When the branch is there already, or its place cannot be written; otherwise as [`Checkout::open`].
    pub fn write_branch(
        &self,
        name: &str,
        (orders, message): (&[Order], &str),
        given: &Given,
        (author, address): (&str, &str),
        at: DateTime<Utc>,
    ) -> io::Result<String> {
        let objects = self.git.join("objects");
        for entry in fs::read_dir(&objects)? {
            let path = entry?.path();
            if fs::symlink_metadata(&path)?.file_type().is_symlink() {
                return Err(theirs(format!(
                    "`{}` is a link, and nothing is written through it",
                    path.display()
                )));
            }
        }
        let mut stream = Vec::new();
        let committer = format!("committer {author} <{address}> {} +0000", at.timestamp());
        write!(
            stream,
            "feature done\ncommit {GIVEN}\nmark :1\n{committer}\ndata {}\n{}\n",
            given.message.len(),
            given.message
        )?;
        for (path, content) in &given.files {
            match content {
                Content::There(id) => writeln!(stream, "M 100644 {id} {}", quoted(path))?,
                Content::New(content) => put(&mut stream, "100644", path, content)?,
            }
        }
        write!(
            stream,
            "commit {MADE}\n{committer}\ndata {}\n{message}\nfrom {}\nmerge :1\n",
            message.len(),
            self.tip
        )?;
        for order in orders {
            match order {
                Order::Remove { path } => writeln!(stream, "D {}", quoted(path))?,
                Order::Put { .. } => {}
            }
        }
        for order in orders {
            if let Order::Put {
                path,
                content,
                executable,
            } = order
            {
                let mode = if *executable { "100755" } else { "100644" };
                put(&mut stream, mode, path, content)?;
            }
        }
        stream.extend_from_slice(b"done\n");
        let there: [(&str, &Path); 1] = [("GIT_OBJECT_DIRECTORY", &objects)];
        self.store
            .ask_with(&there, &["fast-import", "--quiet", "--done"], stream, |out| {
                io::copy(out, &mut io::sink()).map(|_| ())
            })?;
        let made = read_small(&self.store.place().join(MADE))?.trim().to_owned();
        if !is_hash(&made) {
            return Err(io::Error::other("git has made no commit"));
        }
        self.name_branch(name, &made)?;
        Ok(made)
    }

    fn name_branch(&self, name: &str, commit: &str) -> io::Result<()> {
        let mut dir = self.git.clone();
        let path = format!("refs/heads/{name}");
        let (folders, last) = path.rsplit_once('/').unwrap_or(("", &path));
        let mut above = String::from("refs");
        for part in folders.split('/').skip(1) {
            above = format!("{above}/{part}");
            if self.store.reference(&above).is_some() {
                return Err(theirs(format!(
                    "the branch `{}` is in the way of the branch `{name}`",
                    above.trim_start_matches("refs/heads/")
                )));
            }
        }
        for part in folders.split('/') {
            dir.push(part);
            match fs::create_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_plain_dir(&dir) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(theirs(format!(
                        "`{}` is in the way of the branch `{name}`",
                        dir.display()
                    )));
                }
                other => other?,
            }
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(dir.join(last))?;
        writeln!(file, "{commit}")
    }

    /// Pushes a commit of this repository as a branch to where it is kept, past its own settings.
    ///
    /// The way there is what the settings of whoever runs this say; what the repository says of it is not read.
    ///
    /// # Errors
    /// What git said.
    pub fn push(&self, remote: &str, commit: &str, branch: &str) -> Result<(), String> {
        super::git::push(
            self.store.place(),
            remote,
            &format!("{commit}:refs/heads/{branch}"),
        )
    }
}

/// Writes a file as git's import reads it.
fn put(stream: &mut Vec<u8>, mode: &str, path: &str, content: &[u8]) -> io::Result<()> {
    writeln!(stream, "M {mode} inline {}\ndata {}", quoted(path), content.len())?;
    stream.extend_from_slice(content);
    stream.push(b'\n');
    Ok(())
}

/// Returns a path as git's import reads it whatever it holds.
fn quoted(path: &str) -> String {
    let mut text = String::with_capacity(path.len() + 2);
    text.push('"');
    for letter in path.chars() {
        match letter {
            '"' | '\\' => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}
