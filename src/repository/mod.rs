//! What a team's repository tells of how the team works: its history, read without running or believing any of it.

mod checkout;
mod ci;
mod container;
mod coverage;
mod document;
mod facts;
mod git;
mod history;
mod links;
mod notice;
mod reports;
mod script;
mod secrets;
mod shell;
mod tool;
mod tree;
mod yaml;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use checkout::{Checkout, Content, Entry, Given, Order};
pub use ci::CiFacts;
pub use container::{ContainerFacts, container_file};
pub use coverage::CoverageFacts;
pub use document::{Marked, marked_blocks};
pub use facts::{FileFacts, LookFor, ReportFacts};
use git::Store;
pub use git::push;
pub use git::{bound, checked_out_commit, plumbing};
use history::{Commit, Leak, commits, commits_among, leaks, sizes};
pub use reports::{Looks, PLACES};
pub use tool::ToolClaim;

/// A commit of more lines than this is more than anybody reads with care: the usual advice for reviews is 200 to 400.
pub const LARGE_LINES: u64 = 400;
/// The fewest words and letters of a subject that says something.
const LEAST_WORDS: usize = 2;
const LEAST_LETTERS: usize = 10;
/// Subjects that say nothing, whatever their length: what tools write, and what people write who do not want to.
const EMPTY_SUBJECTS: &[&str] = &[
    "add files via upload",
    "bug fix",
    "bug fixes",
    "fix bug",
    "fix bugs",
    "final version",
    "initial commit",
    "minor changes",
    "minor fix",
    "small changes",
    "small fixes",
    "some changes",
    "update code",
    "update files",
    "update readme",
    "updated files",
    "work in progress",
];
/// The digits of a commit: git shortens to seven at least, and the longest hash has 64.
const LEAST_DIGITS: usize = 7;
const MOST_DIGITS: usize = 64;
/// The examples of anything that a report shows.
const SHOWN: usize = 20;

/// What a history tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HistoryFacts {
    /// Why there is nothing to tell, if there isn't.
    pub fault: Option<String>,
    /// Whether the fault is this machine's.
    pub ours: bool,
    /// Commits beyond the first and without merges, of all branches.
    pub commits: u32,
    /// Those of them whose subject says what was done.
    pub described: u32,
    /// Subjects that do not, each with its commit: a part of them.
    pub wordless: Vec<String>,
    /// Those commits that change more than [`LARGE_LINES`] lines.
    #[serde(default)]
    pub large: u32,
    /// The largest of them with their lines.
    #[serde(default)]
    pub largest: Vec<String>,
    /// Credentials that any version of any file holds, each once.
    pub credentials: u32,
    /// File, line, kind, first letters and commit of a part of them.
    pub leaks: Vec<String>,
}

impl HistoryFacts {
    /// Reads the history of a folder. Nothing of the repository is executed, and none of its settings is read.
    pub fn read(folder: &Path) -> Self {
        let fault = |fault: String, ours: bool| Self {
            fault: Some(fault),
            ours,
            ..Self::default()
        };
        match read(folder) {
            Ok(Some((commits, leaks, sizes))) => Self::of(&commits, &leaks, &sizes),
            Ok(None) => fault(
                "the folder is no git repository, or has no commit".to_owned(),
                false,
            ),
            Err(error) => fault(error.to_string(), error.kind() != io::ErrorKind::InvalidData),
        }
    }

    fn of(commits: &[Commit], leaks: &[Leak], sizes: &BTreeMap<String, u64>) -> Self {
        // The first commit is the starter's, and a merge's subject is git's.
        let own: Vec<&Commit> = commits.iter().filter(|commit| commit.parents == 1).collect();
        let wordless: Vec<&&Commit> = own
            .iter()
            .filter(|commit| !is_described(&commit.subject))
            .collect();
        let mut large: Vec<(u64, &&Commit)> = own
            .iter()
            .filter_map(|commit| Some((*sizes.get(&commit.hash)?, commit)))
            .filter(|(lines, _)| *lines > LARGE_LINES)
            .collect();
        large.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.hash.cmp(&other.hash)));
        Self {
            fault: None,
            ours: false,
            large: large.len() as u32,
            largest: large
                .iter()
                .take(SHOWN)
                .map(|(lines, commit)| format!("{} {lines} lines", &commit.hash[..10]))
                .collect(),
            commits: own.len() as u32,
            described: (own.len() - wordless.len()) as u32,
            wordless: wordless
                .iter()
                .take(SHOWN)
                .map(|commit| {
                    let subject: String = commit.subject.chars().take(60).collect();
                    format!("{} {subject:?}", &commit.hash[..10])
                })
                .collect(),
            credentials: leaks.len() as u32,
            leaks: leaks.iter().take(SHOWN).map(Leak::told).collect(),
        }
    }
}

/// The versions of a repository that a name can stand for.
#[derive(Debug)]
pub struct Versions(Option<Store>);

impl Versions {
    /// Opens the history of a folder; one without a readable history has no version.
    ///
    /// # Errors
    /// When this machine can't read histories.
    pub fn open(folder: &Path) -> io::Result<Self> {
        match Store::open(folder) {
            Ok(store) => Ok(Self(store)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }

    /// Whether a name is a commit, by seven digits at least, or a tag of one. A branch is no version: what it holds changes.
    ///
    /// # Errors
    /// When this machine can't read histories.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        let Some(store) = &self.0 else {
            return Ok(false);
        };
        let digits = name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let commit = ((LEAST_DIGITS..=MOST_DIGITS).contains(&name.len()) && digits).then_some(name);
        let named: Vec<&str> = commit.into_iter().chain(store.tag(name)).collect();
        match commits_among(store, &named) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            found => Ok(found? > 0),
        }
    }
}

/// The commits, the credentials, and the lines that each commit changes.
type Told = (Vec<Commit>, Vec<Leak>, BTreeMap<String, u64>);

fn read(folder: &Path) -> io::Result<Option<Told>> {
    let Some(store) = Store::open(folder)? else {
        return Ok(None);
    };
    let commits = commits(&store)?;
    let leaks = leaks(&store, &commits)?;
    let sizes = sizes(&store)?;
    Ok(Some((commits, leaks, sizes)))
}

fn is_described(subject: &str) -> bool {
    let letters = subject.chars().filter(|letter| letter.is_alphabetic()).count();
    let words = subject
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphabetic))
        .count();
    let plain = subject
        .trim_matches(|letter: char| !letter.is_alphanumeric())
        .to_lowercase();
    words >= LEAST_WORDS && letters >= LEAST_LETTERS && !EMPTY_SUBJECTS.contains(&plain.as_str())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// A repository to look at.
    pub(super) struct Repository(tempfile::TempDir);

    impl Repository {
        pub(super) fn new() -> Self {
            let made = Self(tempfile::tempdir().unwrap());
            made.git(&["init", "--quiet", "--initial-branch", "main"]);
            made
        }

        pub(super) fn path(&self) -> &Path {
            self.0.path()
        }

        pub(super) fn git(&self, words: &[&str]) {
            self.ask(words);
        }

        pub(super) fn ask(&self, words: &[&str]) -> String {
            let done = Command::new("git")
                .arg("-C")
                .arg(self.path())
                .args([
                    "-c",
                    "user.name=a",
                    "-c",
                    "user.email=a@b.c",
                    "-c",
                    "core.hooksPath=/dev/null",
                ])
                .args(words)
                .output()
                .unwrap();
            assert!(done.status.success(), "git {words:?}: {done:?}");
            String::from_utf8(done.stdout).unwrap()
        }

        pub(super) fn commit(&self, path: &str, content: &str, subject: &str) {
            fs::write(self.path().join(path), content).unwrap();
            self.git(&["add", "-A"]);
            self.git(&["commit", "--quiet", "-m", subject]);
        }
    }

    /// Put together here, so that no file of ours holds what looks like a credential.
    fn key() -> String {
        format!("AKIA{}", "Z7QX3LM9PT2VB6KD")
    }

    #[test]
    fn a_credential_is_found_in_the_history_after_it_was_taken_away() {
        let team = Repository::new();
        team.commit("README.md", "hello\n", "Start from the company's starter");
        team.commit(
            "config.py",
            &format!("a = 1\nKEY = '{}'\n", key()),
            "Read the settings of the store",
        );
        team.commit(
            "config.py",
            &format!("a = 2\nKEY = '{}'\n", key()),
            "Change another setting there",
        );
        team.commit("config.py", "import os\n", "Take the key out of the settings");
        let facts = HistoryFacts::read(team.path());
        assert_eq!(
            (facts.fault.clone(), facts.commits, facts.described),
            (None, 3, 3)
        );
        assert_eq!(facts.leaks.len(), 1, "{:?}", facts.leaks);
        assert!(
            facts.leaks[0].starts_with("config.py:2: key of Amazon Web Services, `AKIA…`"),
            "{:?}",
            facts.leaks
        );
        assert!(!facts.leaks[0].contains(&key()));
    }

    #[test]
    fn other_branches_and_packed_objects_count() {
        let team = Repository::new();
        team.commit("README.md", "hello\n", "Start from the company's starter");
        team.git(&["checkout", "--quiet", "-b", "attempt"]);
        team.commit("notes.txt", &key(), "wip");
        team.git(&["checkout", "--quiet", "main"]);
        team.git(&["gc", "--quiet", "--prune=now"]);
        let facts = HistoryFacts::read(team.path());
        assert_eq!((facts.commits, facts.described, facts.credentials), (1, 0, 1));
        assert!(facts.wordless[0].ends_with("\"wip\""));
    }

    #[test]
    fn what_another_repository_holds_is_nobody_elses_work() {
        let (fellow, thief) = (Repository::new(), Repository::new());
        fellow.commit("work.py", "print(1)\n", "Rank the movies by their ratings");
        let commit = fellow.ask(&["rev-parse", "HEAD"]);
        let info = thief.path().join(".git/objects/info");
        fs::create_dir_all(&info).unwrap();
        fs::write(thief.path().join(".git/refs/heads/main"), &commit).unwrap();
        let theirs = fellow.path().join(".git/objects");
        fs::write(info.join("alternates"), format!("{}\n", theirs.display())).unwrap();
        // Git by itself follows it.
        assert_eq!(thief.ask(&["rev-list", "--count", "HEAD"]).trim(), "1");
        let facts = HistoryFacts::read(thief.path());
        assert_eq!(facts.commits, 0);
        let fault = facts.fault.unwrap_or_default();
        assert!(fault.contains("borrows the objects of another"), "{fault}");
    }

    #[test]
    fn the_commit_that_is_checked_out_is_read_from_references_and_from_nothing_else() {
        let team = Repository::new();
        assert_eq!(checked_out_commit(team.path()), None);
        team.commit("a", "1", "Begin with one file");
        let commit = team.ask(&["rev-parse", "HEAD"]).trim().to_owned();
        assert_eq!(checked_out_commit(team.path()), Some(commit.clone()));
        team.git(&["pack-refs", "--all"]);
        assert_eq!(checked_out_commit(team.path()), Some(commit.clone()));
        team.git(&["checkout", "--quiet", "--detach"]);
        assert_eq!(checked_out_commit(team.path()), Some(commit.clone()));
        // A key has the form of a commit, and a pipe is read for ever.
        fs::write(team.path().join("key"), "ab".repeat(20)).unwrap();
        let head = team.path().join(".git/HEAD");
        let pipe = team.path().join(".git/refs/heads/pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for reference in [
            "../key",
            "../../../../../etc/hostname",
            "refs/heads/pipe",
            "/dev/zero",
        ] {
            fs::write(&head, format!("ref: {reference}\n")).unwrap();
            assert_eq!(checked_out_commit(team.path()), None, "{reference}");
        }
        fs::remove_file(&head).unwrap();
        nix::unistd::mkfifo(&head, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(checked_out_commit(team.path()), None);
    }

    #[test]
    fn a_history_of_two_thousand_commits_is_read_whole_in_few_steps() {
        use std::io::Write;
        let team = Repository::new();
        let mut feeder = Command::new("git")
            .arg("-C")
            .arg(team.path())
            .args(["fast-import", "--quiet"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut into = feeder.stdin.take().unwrap();
        for number in 1..=2_000 {
            let subject = format!("Read column {number} of the log");
            let content = format!("COLUMN = {number}\n").repeat(200);
            let (name, bytes, path) = (subject.len(), content.len(), number % 50);
            write!(
                into,
                "commit refs/heads/main\ncommitter a <a@b.c> {} +0000\ndata {name}\n{subject}\n",
                1_700_000_000 + number
            )
            .unwrap();
            write!(
                into,
                "M 100644 inline src/part{path}.py\ndata {bytes}\n{content}\n"
            )
            .unwrap();
        }
        drop(into);
        assert!(feeder.wait().unwrap().success());
        let begun = git::asked();
        let facts = HistoryFacts::read(team.path());
        assert_eq!(
            (facts.fault, facts.commits, facts.described),
            (None, 1_999, 1_999)
        );
        assert!(facts.leaks.is_empty());
        // Two hundred lines go and two hundred come when a part is written anew.
        assert_eq!(facts.large, 0);
        let wanted = LookFor {
            report: "reports/m1",
            tests: &[],
            port: 8082,
        };
        let files = FileFacts::read(team.path(), wanted);
        assert_eq!((files.fault, files.files), (None, 50));
        // A process of git for each question, whatever the number of commits.
        let asked = git::asked() - begun;
        assert!(asked <= 12, "git was asked {asked} times");
    }

    #[test]
    fn a_folder_without_a_history_says_so_and_a_broken_one_is_no_error_of_ours() {
        let none = tempfile::tempdir().unwrap();
        let facts = HistoryFacts::read(none.path());
        assert!(facts.fault.unwrap().contains("no git repository") && !facts.ours);
        let team = Repository::new();
        team.commit("README.md", "hello\n", "Start from the company's starter");
        fs::write(team.path().join(".git/refs/heads/main"), "1".repeat(40)).unwrap();
        let facts = HistoryFacts::read(team.path());
        assert!(facts.fault.unwrap().contains("git cannot read the history") && !facts.ours);
    }

    #[test]
    fn nothing_of_the_repository_is_executed() {
        use std::os::unix::fs::PermissionsExt;
        let team = Repository::new();
        team.commit("README.md", "hello\n", "Start from the company's starter");
        let trace = team.path().join("executed");
        let script = team.path().join("evil.sh");
        fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", trace.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        team.commit(
            ".gitattributes",
            "* diff=evil filter=evil\n",
            "Attributes that name a program",
        );
        // A commit that says it is signed, so that who shows signatures runs the program that checks them.
        let plain = team.ask(&["cat-file", "commit", "HEAD"]);
        let signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n";
        fs::write(
            team.path().join("signed"),
            plain.replacen("\n\n", &format!("\n{signature}"), 1),
        )
        .unwrap();
        let signed = team.ask(&["hash-object", "-t", "commit", "-w", "signed"]);
        team.git(&["update-ref", "refs/heads/main", signed.trim()]);
        let evil = script.display().to_string();
        for key in [
            "diff.evil.textconv",
            "diff.evil.command",
            "filter.evil.clean",
            "core.fsmonitor",
            "core.pager",
            "diff.external",
            "gpg.program",
            "core.sshCommand",
            "uploadpack.packObjectsHook",
        ] {
            team.git(&["config", key, &evil]);
        }
        team.git(&["config", "log.showSignature", "true"]);
        // Nobody who reads the history as it stands is safe: this is what the store of ours is for.
        team.ask(&["log", "--raw"]);
        assert!(trace.exists(), "the trap is none");
        fs::remove_file(&trace).unwrap();
        let facts = HistoryFacts::read(team.path());
        assert_eq!((facts.fault, facts.commits), (None, 1));
        assert!(Versions::open(team.path()).unwrap().has(signed.trim()).unwrap());
        assert!(!trace.exists(), "a setting of the repository has run a program");
    }

    #[test]
    fn the_same_credential_is_one_and_another_is_another() {
        let team = Repository::new();
        team.commit("README.md", "hello\n", "Start from the company's starter");
        let token = format!("glpat-{}", "Zk3Qm8Xv2Lp7Rt5Wn9Bs");
        let both = format!("{}\n{token}\n", key());
        team.commit("keys.txt", &both, "Write down what we need to know");
        let first = team.ask(&["rev-parse", "HEAD"]);
        team.commit("keys.txt", &format!("# ours\n{both}"), "Say whose these are");
        let facts = HistoryFacts::read(team.path());
        assert_eq!(
            (facts.credentials, facts.leaks.len()),
            (2, 2),
            "{:?}",
            facts.leaks
        );
        assert!(
            facts
                .leaks
                .iter()
                .all(|leak| leak.ends_with(&format!("since commit {}", &first[..10])))
        );
        // Two keys that begin alike are two.
        team.commit(
            "keys.txt",
            &format!("{both}{}\n", key().replace("Z7", "Y8")),
            "One more of them",
        );
        assert_eq!(HistoryFacts::read(team.path()).credentials, 3);
    }

    #[test]
    fn a_version_is_a_commit_or_a_tag() {
        let team = Repository::new();
        team.commit("README.md", "hello\n", "Start from the company's starter");
        team.git(&["tag", "data-v1"]);
        team.git(&["tag", "-a", "data-v2", "-m", "x"]);
        let head = team.ask(&["rev-parse", "HEAD"]);
        let tree = team.ask(&["rev-parse", "HEAD^{tree}"]);
        let has = |name: &str| Versions::open(team.path()).unwrap().has(name).unwrap();
        for name in [head.trim(), &head[..8], "data-v1", "data-v2"] {
            assert!(has(name), "{name}");
        }
        for name in [
            "deadbeef",
            "HEAD",
            "main",
            "master",
            &head[..4],
            tree.trim(),
            "",
            "data-v1\nHEAD",
        ] {
            assert!(!has(name), "{name}");
        }
        let none = tempfile::tempdir().unwrap();
        assert!(!Versions::open(none.path()).unwrap().has(head.trim()).unwrap());
    }

    #[test]
    fn subjects_that_say_nothing_are_told_from_those_that_say_something() {
        for said in [
            "Read ratings in one pass",
            "fix: zero division in recall",
            "Parse dates of 2024",
        ] {
            assert!(is_described(said), "{said}");
        }
        for empty in [
            "wip",
            "fix",
            "asdf asdf",
            "Update README",
            "Update files.",
            "...",
            "",
            "2024 10 11 12 13",
            "Initial commit",
        ] {
            assert!(!is_described(empty), "{empty}");
        }
    }
}
