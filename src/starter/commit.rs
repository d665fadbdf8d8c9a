//! The first commit of a repository: git run without a hook, a template or a setting of anybody's.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};

/// Who makes the commits of starters.
pub(super) const AUTHOR: &str = "reelworld";
/// The address that stands beside it, which belongs to nobody.
pub(super) const ADDRESS: &str = "starter@reelworld.invalid";
/// The subject of the first commit.
const SUBJECT: &str = "Start from the company's starter";

/// Makes a repository of a folder; the same files and time make the same commit. Tells whether it could.
pub(super) fn first_commit(dir: &Path, at: DateTime<Utc>) -> bool {
    let when = format!("{} +0000", at.timestamp());
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command
            .arg("-C")
            .arg(dir)
            .args(["-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0"])
            // Most of a starter is data: stored as it is, forty are made in a third of the time, and a push packs them anyway.
            .args(["-c", "core.looseCompression=0"])
            .args(words)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_NAME", AUTHOR)
            .env("GIT_AUTHOR_EMAIL", ADDRESS)
            .env("GIT_AUTHOR_DATE", &when)
            .env("GIT_COMMITTER_NAME", AUTHOR)
            .env("GIT_COMMITTER_EMAIL", ADDRESS)
            .env("GIT_COMMITTER_DATE", &when)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    git(&["init", "-q", "-b", "main", "--template="])
        && git(&["add", "-A"])
        && git(&["commit", "-q", "-m", SUBJECT])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_same_files_and_time_make_the_same_commit() {
        let at = DateTime::from_timestamp(1_767_225_600, 0).unwrap();
        let made = |at: DateTime<Utc>| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("a")).unwrap();
            fs::write(dir.path().join("a/b.txt"), "c\n").unwrap();
            assert!(first_commit(dir.path(), at));
            fs::read_to_string(dir.path().join(".git/refs/heads/main")).unwrap()
        };
        assert_eq!(made(at), made(at));
        assert_ne!(made(at), made(at + chrono::Duration::seconds(1)));
    }
}
