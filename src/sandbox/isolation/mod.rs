//! Isolation: a sandbox for each submission, with its own view of files, processes, users and network (Linux alone).

mod calls;
mod cgroup;
mod container;
mod fence;
mod files;
mod inside;
mod keeper;
mod pack;
mod session;
pub(super) mod walls;
mod wire;

use std::process::ExitCode;

pub(super) use pack::misfit;
pub(super) use session::{Plan, Session};

/// The hidden word of the agent inside.
const INSIDE: &str = "__inside";

/// Whether this is root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Is the keeper of a sandbox.
pub fn run_keeper() -> ExitCode {
    keeper::run()
}

/// Is the keeper of a container.
pub fn run_container() -> ExitCode {
    container::run()
}

/// Is the agent in a sandbox.
pub fn run_inside() -> ExitCode {
    inside::run()
}
