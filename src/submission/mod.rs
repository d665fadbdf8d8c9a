//! What teams hand in, whatever its form: found, named, and copied to a place of ours where nothing leads anywhere else.
//!
//! A folder, an archive and a commit of a repository are three ways to say the same files. Each is somebody else's word:
//! names may climb out of the folder, entries may be links, a few bytes may unpack to all of the disk. So files are
//! written one by one into a fresh folder that never holds a link, within limits that have names, and a submission that
//! goes beyond them is refused with the reason: that is a fact about it, and no error of ours.

mod archive;
mod checkout;
mod find;
mod name;
mod stage;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use find::{Submission, find};
pub use stage::{LIMITS, StageLimits, Staged, stage};

/// Where a submission comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// An archive: zip, tar or packed tar.
    Archive(PathBuf),
    /// A commit of a repository.
    Git {
        /// The address, which may hold a password.
        url: String,
        /// The commit, in full.
        commit: String,
    },
}

impl fmt::Display for Source {
    /// Names the source without the password that an address may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::Archive(path) => path.display().fmt(f),
            Self::Git { url, commit } => write!(f, "{}@{commit}", without_password(url)),
        }
    }
}

/// Returns an address without what stands before the host: names, passwords, tokens.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let host = rest.split('/').next().unwrap_or(rest);
    match host.rsplit_once('@') {
        Some((secret, _)) => format!("{scheme}://{}", &rest[secret.len() + 1..]),
        None => url.to_owned(),
    }
}

/// Why a submission could not be copied.
#[derive(Debug)]
pub enum StageError {
    /// What was handed in goes beyond a limit or is no submission: a fact about it.
    Refused(String),
    /// This machine, the network, or the address that we were given.
    Ours(String),
    /// The flag was set.
    Interrupted,
}

impl From<io::Error> for StageError {
    fn from(error: io::Error) -> Self {
        Self::Ours(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_shown_without_its_password() {
        let shown = |url: &str| {
            let (url, commit) = (url.to_owned(), "c0ffee".to_owned());
            Source::Git { url, commit }.to_string()
        };
        assert_eq!(
            shown("https://bot:s3cret@host.example/a/b@c.git"),
            "https://host.example/a/b@c.git@c0ffee"
        );
        assert_eq!(shown("https://host.example/a"), "https://host.example/a@c0ffee");
        assert_eq!(
            shown("git@host.example:a/b.git"),
            "git@host.example:a/b.git@c0ffee"
        );
    }
}
