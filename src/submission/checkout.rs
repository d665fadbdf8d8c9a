//! Fetching one commit of somebody else's repository and writing its files by git's plumbing.
//!
//! Nothing of the repository is executed or believed: it is fetched into a store of ours without templates, hooks or
//! settings, and its files are written by us and not by `git checkout`, so that no filter, attribute, link or submodule
//! takes part.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use walkdir::WalkDir;

use super::StageError;
use super::stage::Stage;
use crate::clock::Clock;
use crate::repository;

/// The branch that the commit becomes in our store.
const BRANCH: &str = "refs/heads/submission";
/// Between two looks at a fetch: its size, its time, the flag.
const LOOK: Duration = Duration::from_millis(100);
/// The most bytes that git may say of what it could not do.
const COMPLAINT: u64 = 4 << 10;
/// The longest line of a list of files.
const MOST_LINE: u64 = 8 << 10;

/// Fetches a commit into the stage, with the history behind it, and writes its files.
pub(super) fn check_out(
    url: &str,
    commit: &str,
    stage: &mut Stage<'_>,
    clock: Clock,
) -> Result<(), StageError> {
    let top = stage.top().to_owned();
    let format = if commit.len() == 64 { "sha256" } else { "sha1" };
    let init = git(
        &top,
        &["init", "--quiet", "--template=", "--object-format", format, "."],
    );
    finish(init, stage, clock)?;
    // The address goes by the environment: a list of processes shows arguments to everybody.
    let mut fetch = git(
        &top,
        &[
            "fetch",
            "--quiet",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "team",
            &format!("{commit}:{BRANCH}"),
        ],
    );
    let settings = [
        ("remote.team.url", url),
        ("core.hooksPath", "/dev/null"),
        ("submodule.recurse", "false"),
        ("gc.auto", "0"),
    ];
    fetch.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (place, (key, value)) in settings.into_iter().enumerate() {
        fetch.env(format!("GIT_CONFIG_KEY_{place}"), key);
        fetch.env(format!("GIT_CONFIG_VALUE_{place}"), value);
    }
    fetch.env("GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file");
    fetch.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    // ssh looks for the keys of whoever grades by their account, git for nothing at all.
    finish(fetch, stage, clock).map_err(|error| match error {
        StageError::Ours(said) => {
            let said = said.replace(url, &super::without_password(url));
            StageError::Ours(format!("the commit could not be fetched: {said}"))
        }
        other => other,
    })?;
    finish(git(&top, &["symbolic-ref", "HEAD", BRANCH]), stage, clock)?;
    write_files(&top, commit, stage, clock)
}

fn git(top: &Path, words: &[&str]) -> Command {
    let mut command = repository::plumbing(top, words);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Waits for git within the limits of size and time.
fn finish(mut command: Command, stage: &Stage<'_>, clock: Clock) -> Result<(), StageError> {
    let limits = stage.limits();
    let mut child = spawn(&mut command)?;
    let said = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            drop(Read::by_ref(&mut stderr).take(COMPLAINT).read_to_end(&mut text));
            // What is more is read and forgotten, so that git is never held up.
            drop(std::io::copy(&mut stderr, &mut std::io::sink()));
            String::from_utf8_lossy(&text).trim().to_owned()
        })
    });
    let begun = clock.elapsed();
    let error = loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            break None;
        }
        if stage.stopped() {
            break Some(StageError::Interrupted);
        }
        if clock.elapsed() - begun > limits.clone {
            break Some(StageError::Ours(format!(
                "git had not fetched it after {} s",
                limits.clone.as_secs()
            )));
        }
        if size(&stage.top().join(".git")) > limits.bytes {
            break Some(StageError::Refused(format!(
                "its history is larger than {} MiB",
                limits.bytes >> 20
            )));
        }
        clock.sleep(LOOK);
    };
    end(&mut child);
    let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
    Err(error.unwrap_or(StageError::Ours(said)))
}

/// Starts git as the head of a group of its own, so that its helpers end with it.
fn spawn(command: &mut Command) -> Result<Child, StageError> {
    use std::os::unix::process::CommandExt;
    let child = command
        .process_group(0)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| StageError::Ours(format!("git cannot be run on this machine: {error}")))?;
    repository::bound(&child);
    Ok(child)
}

fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn end(child: &mut Child) {
    // It may have ended by itself, which is what we want.
    let _gone = killpg(group(child), Signal::SIGKILL);
    drop(child.wait());
}

fn size(folder: &Path) -> u64 {
    let files = WalkDir::new(folder).into_iter().flatten();
    files
        .filter_map(|entry| entry.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|about| about.len())
        .sum()
}

/// An entry of a commit that becomes a file.
struct Entry {
    name: String,
    executable: bool,
    object: String,
}

fn write_files(top: &Path, commit: &str, stage: &mut Stage<'_>, clock: Clock) -> Result<(), StageError> {
    let entries = list(top, commit, stage, clock)?;
    let mut command = repository::plumbing(top, &["cat-file", "--batch"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = spawn(&mut command)?;
    let (Some(mut into), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(StageError::Ours("git has no pipes".to_owned()));
    };
    let objects: Vec<String> = entries.iter().map(|entry| entry.object.clone()).collect();
    let feeder = std::thread::spawn(move || {
        for object in objects {
            // A reader that ended early is told of below.
            if writeln!(into, "{object}").is_err() {
                return;
            }
        }
    });
    let written = watched(&child, stage, clock, |stage| {
        read_objects(&mut BufReader::new(out), entries.into(), stage)
    });
    end(&mut child);
    drop(feeder.join());
    written
}

/// Reads what git says, as long as nobody stops it and its time is not over: git may say nothing for years.
fn watched<'s, T>(
    child: &Child,
    stage: &mut Stage<'s>,
    clock: Clock,
    read: impl FnOnce(&mut Stage<'s>) -> Result<T, StageError>,
) -> Result<T, StageError> {
    let (flag, limit, group) = (stage.flag(), stage.limits().clone, group(child));
    let (begun, over) = (clock.elapsed(), AtomicBool::new(false));
    let (read, ended) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let error = if flag.load(Ordering::Relaxed) {
                    StageError::Interrupted
                } else if clock.elapsed() - begun > limit {
                    StageError::Refused(format!("git had not read its files after {} s", limit.as_secs()))
                } else {
                    clock.sleep(LOOK / 10);
                    continue;
                };
                let _gone = killpg(group, Signal::SIGKILL);
                return Some(error);
            }
            None
        });
        let read = read(stage);
        over.store(true, Ordering::Relaxed);
        (read, watch.join().unwrap_or(None))
    });
    ended.map_or(read, Err)
}

fn list(top: &Path, commit: &str, stage: &mut Stage<'_>, clock: Clock) -> Result<Vec<Entry>, StageError> {
    let mut command = repository::plumbing(top, &["ls-tree", "-r", "-z", "--full-tree", commit]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = spawn(&mut command)?;
    let Some(out) = child.stdout.take() else {
        return Err(StageError::Ours("git has no pipes".to_owned()));
    };
    let mut entries = Vec::new();
    let read = watched(&child, stage, clock, |stage| {
        let mut out = BufReader::new(out);
        loop {
            let mut line = Vec::new();
            let count = Read::by_ref(&mut out).take(MOST_LINE).read_until(0, &mut line)?;
            if count == 0 {
                return Ok(());
            }
            if line.pop() != Some(0) {
                return Err(StageError::Refused("a path of the commit is too long".to_owned()));
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            let Some((about, name)) = line.split_once('\t') else {
                return Err(StageError::Ours("git lists files in an unknown form".to_owned()));
            };
            let fields: Vec<&str> = about.split(' ').collect();
            match fields[..] {
                ["120000", ..] => stage.leave_out("a link", name)?,
                ["160000", ..] => stage.leave_out("a submodule", name)?,
                [_, "blob", _] if name.contains('\u{fffd}') => {
                    stage.leave_out("its name is not UTF-8", name)?;
                }
                [mode, "blob", object] => entries.push(Entry {
                    name: name.to_owned(),
                    executable: mode == "100755",
                    object: object.to_owned(),
                }),
                _ => return Err(StageError::Ours("git lists files in an unknown form".to_owned())),
            }
            if entries.len() > stage.limits().entries as usize {
                return Err(StageError::Refused(format!(
                    "it holds more than {} files and folders",
                    stage.limits().entries
                )));
            }
        }
    });
    end(&mut child);
    read.map(|()| entries)
}

/// Takes objects as git hands them out: a line about each, its bytes, a line's end.
fn read_objects(
    out: &mut BufReader<impl Read>,
    mut entries: VecDeque<Entry>,
    stage: &mut Stage<'_>,
) -> Result<(), StageError> {
    let broken = || StageError::Ours("git cannot read the commit's files".to_owned());
    while let Some(entry) = entries.pop_front() {
        let mut about = String::new();
        Read::by_ref(out).take(MOST_LINE).read_line(&mut about)?;
        let fields: Vec<&str> = about.trim_end().split(' ').collect();
        let [_, "blob", size] = fields[..] else {
            return Err(broken());
        };
        let size: u64 = size.parse().map_err(|_| broken())?;
        // What a name may be is for the stage to say; `.git` is ours.
        if entry
            .name
            .split('/')
            .any(|part| part.eq_ignore_ascii_case(".git"))
        {
            return Err(StageError::Refused(format!(
                "{:?} would change git's own files",
                entry.name
            )));
        }
        let mut content = Read::by_ref(out).take(size);
        let mut head = Vec::new();
        Read::by_ref(&mut content).take(1 << 10).read_to_end(&mut head)?;
        let mut all = head.as_slice().chain(&mut content);
        stage.file(&entry.name, entry.executable, &mut all)?;
        if size == head.len() as u64 {
            stage.note_pointer(&entry.name, &head)?;
        }
        let mut end = [0];
        out.read_exact(&mut end)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::super::{LIMITS, Source, StageLimits, stage};
    use super::*;

    /// A team's repository, with a hook and a setting that would leave a mark if anything of it ran.
    struct Team {
        home: tempfile::TempDir,
    }

    impl Team {
        fn new() -> Self {
            let team = Self {
                home: tempfile::tempdir().unwrap(),
            };
            fs::create_dir(team.repo()).unwrap();
            team.git(&["init", "--quiet", "--initial-branch", "main"]);
            let mark = format!("touch {}", team.mark().display());
            team.git(&["config", "filter.evil.smudge", &mark]);
            team.git(&["config", "uploadpack.packObjectsHook", &mark]);
            fs::write(
                team.repo().join(".git/hooks/post-checkout"),
                format!("#!/bin/sh\n{mark}\n"),
            )
            .unwrap();
            team
        }

        fn repo(&self) -> PathBuf {
            self.home.path().join("team")
        }

        fn mark(&self) -> PathBuf {
            self.home.path().join("mark")
        }

        fn git(&self, words: &[&str]) -> String {
            let mut command = repository::plumbing(&self.repo(), words);
            for (name, value) in [
                ("GIT_AUTHOR_NAME", "T"),
                ("GIT_AUTHOR_EMAIL", "t@e"),
                ("GIT_COMMITTER_NAME", "T"),
                ("GIT_COMMITTER_EMAIL", "t@e"),
            ] {
                command.env(name, value);
            }
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }

        fn commit(&self, subject: &str) -> String {
            self.git(&["add", "--all"]);
            self.git(&["commit", "--quiet", "-m", subject]);
            self.git(&["rev-parse", "HEAD"])
        }

        fn fetch(&self, commit: &str, limits: StageLimits) -> Result<Vec<String>, StageError> {
            let url = format!("file://{}", self.repo().display());
            let source = Source::Git {
                url,
                commit: commit.to_owned(),
            };
            let to = self.home.path().join("out");
            let staged = stage(&source, &to, limits, (Clock::start(), &AtomicBool::new(false)));
            assert!(!self.mark().exists(), "something of the repository was run");
            staged.map(|staged| staged.notes)
        }
    }

    #[test]
    fn a_commit_is_fetched_with_its_history_and_nothing_of_it_runs() {
        let team = Team::new();
        fs::write(team.repo().join("a.py"), "one").unwrap();
        fs::write(
            team.repo().join(".gitattributes"),
            "*.py filter=evil export-ignore\n",
        )
        .unwrap();
        std::os::unix::fs::symlink("/etc/passwd", team.repo().join("link")).unwrap();
        fs::write(
            team.repo().join("model.bin"),
            "version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
        )
        .unwrap();
        team.commit("Begin with one file");
        let second = {
            fs::write(team.repo().join("a.py"), "two").unwrap();
            fs::create_dir(team.repo().join("bin")).unwrap();
            fs::write(team.repo().join("bin/run"), "#!/bin/sh").unwrap();
            fs::set_permissions(team.repo().join("bin/run"), fs::Permissions::from_mode(0o777)).unwrap();
            team.commit("Say two instead of one")
        };
        team.git(&["tag", "v1"]);
        fs::write(team.repo().join("a.py"), "three, after the deadline").unwrap();
        team.commit("Say three");

        let notes = team.fetch(&second, LIMITS).unwrap();
        assert_eq!(
            notes,
            [
                "left out, a link: \"link\"",
                "left out, only a pointer of git LFS, whose content is not in the repository: \"model.bin\""
            ]
        );
        let out = team.home.path().join("out");
        assert_eq!(fs::read_to_string(out.join("a.py")).unwrap(), "two");
        let mode = fs::metadata(out.join("bin/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert!(!out.join("link").exists());
        let facts = repository::HistoryFacts::read(&out);
        assert_eq!((facts.fault, facts.commits), (None, 1));
        let versions = repository::Versions::open(&out).unwrap();
        assert!(versions.has("v1").unwrap() && versions.has(&second).unwrap());
        let config = fs::read_to_string(out.join(".git/config")).unwrap();
        assert!(
            !config.contains("file://") && !out.join(".git/FETCH_HEAD").exists(),
            "{config}"
        );
    }

    #[test]
    fn a_tree_that_takes_years_to_list_ends_with_the_time_it_has_or_the_flag() {
        let team = Team::new();
        // Ten folders, each of ten folders, and so on: a hundred kilobytes, and 10^20 of them.
        let mut tree = team.git(&["write-tree"]);
        for _ in 0..20 {
            let lines = (0..10)
                .map(|n| format!("040000 tree {tree}\t{n}\n"))
                .collect::<Vec<_>>()
                .concat();
            let mut command = repository::plumbing(&team.repo(), &["mktree"]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
            tree = String::from_utf8(child.wait_with_output().unwrap().stdout)
                .unwrap()
                .trim()
                .to_owned();
        }
        let commit = team.git(&["commit-tree", "-m", "Grow", &tree]);
        team.git(&["update-ref", "refs/heads/main", &commit]);
        // It is put where it would have been fetched to, so that the time is that of the listing alone.
        let limits = StageLimits {
            clone: Duration::from_millis(300),
            ..LIMITS
        };
        let to = team.home.path().join("out");
        for is_stopped in [false, true] {
            let flag = AtomicBool::new(is_stopped);
            let mut stage = Stage::begin(&to, limits, &flag).unwrap();
            fs::rename(team.repo().join(".git"), to.join(".git")).unwrap();
            let ended = write_files(&to, &commit, &mut stage, Clock::start());
            fs::rename(to.join(".git"), team.repo().join(".git")).unwrap();
            match ended {
                Err(StageError::Interrupted) => assert!(is_stopped),
                Err(StageError::Refused(why)) => {
                    assert!(!is_stopped && why.contains("had not read"), "{why}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_commit_that_is_not_there_is_no_fact_about_the_team() {
        let team = Team::new();
        fs::write(team.repo().join("a"), "x").unwrap();
        team.commit("Begin");
        let missing = "0123456789abcdef0123456789abcdef01234567";
        match team.fetch(missing, LIMITS) {
            Err(StageError::Ours(why)) => {
                assert!(why.contains("could not be fetched") && why.len() < 600, "{why}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_commit_beyond_the_limits_is_refused() {
        let team = Team::new();
        fs::write(team.repo().join("big"), vec![b'x'; 3 << 20]).unwrap();
        let commit = team.commit("Put a large file in");
        let limits = StageLimits {
            bytes: 1 << 20,
            ..LIMITS
        };
        assert!(matches!(team.fetch(&commit, limits), Err(StageError::Refused(_))));
        assert!(team.fetch(&commit, LIMITS).is_ok());
    }
}
