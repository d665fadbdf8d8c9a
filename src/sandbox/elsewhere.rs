//! What stands in for isolation where the system has none: nothing can be opened, and so nothing else is ever called.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::bounds::Bounds;
use super::isolate::Fence;
use super::leash::Exit;
use crate::clock::Clock;

pub(super) mod walls {
    //! Names that are the same everywhere.

    /// Where the company's data is, inside.
    pub(in super::super) const DATA: &str = "/data";
    /// Where Python packages are that a build may install, inside.
    pub(in super::super) const WHEELS: &str = "/wheels";
    pub(in super::super) const PACKAGES: &str = "/packages";
}

/// What a sandbox would be made of.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) program: PathBuf,
    pub(super) bwrap: PathBuf,
    pub(super) bounds: Bounds,
    pub(super) binds: Vec<(PathBuf, String)>,
    pub(super) container: Option<Vec<String>>,
}

/// Everything fits where nothing can be opened.
pub(super) fn misfit(_dir: &Path, _disk_mib: u32, _most_files: u32) -> io::Result<Option<String>> {
    Ok(None)
}

/// What would hold it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) user: Option<u32>,
    pub(super) cgroup: Option<String>,
    pub(super) bounded: Vec<String>,
}

/// A sandbox that cannot be.
#[derive(Debug)]
pub(super) struct Session(Infallible);

impl Session {
    pub(super) fn open(_plan: &Plan, _dir: Option<&Path>, _clock: Clock) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn fence(&self) -> Fence {
        match self.0 {}
    }

    pub(super) fn refused(&self) -> Option<u64> {
        match self.0 {}
    }

    pub(super) fn held(&self) -> &Held {
        match self.0 {}
    }

    pub(super) fn start(
        &self,
        _words: &[String],
        _env: &BTreeMap<String, String>,
        _output: BorrowedFd<'_>,
    ) -> io::Result<u32> {
        match self.0 {}
    }

    pub(super) fn poll(&self, _id: u32) -> io::Result<Option<Exit>> {
        match self.0 {}
    }

    pub(super) fn end(&self, _id: u32) -> Exit {
        match self.0 {}
    }

    pub(super) fn set_memory(&self, _mib: u32) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) fn socket(&self) -> io::Result<Option<OwnedFd>> {
        match self.0 {}
    }

    pub(super) fn listen(&self, _port: u16) -> io::Result<TcpListener> {
        match self.0 {}
    }

    pub(super) fn ports(&self) -> BTreeSet<u16> {
        match self.0 {}
    }

    pub(super) fn is_file(&self, _name: &str) -> io::Result<bool> {
        match self.0 {}
    }

    pub(super) fn open_file(&self, _name: &str) -> io::Result<Option<std::fs::File>> {
        match self.0 {}
    }
}

/// Whether this is root, which matters only where sandboxes are.
pub(super) fn is_root() -> bool {
    false
}

/// Is the keeper of a sandbox, where there is one.
pub fn run_keeper() -> ExitCode {
    ExitCode::from(4)
}

/// Is the keeper of a container, where there is one.
pub fn run_container() -> ExitCode {
    ExitCode::from(4)
}

/// Is the agent in a sandbox, where there is one.
pub fn run_inside() -> ExitCode {
    ExitCode::from(4)
}
