//! How many files may be open: as many as this machine lets us for our own side, as many as was said for a submission's.
//!
//! Descriptors that were sent through a socket and not yet received count for the user who sent them, over all processes of that user,
//! and whoever sends more compares that number with its own bound of open files. As an ordinary user all sandboxes are one user with
//! the grader; as root, a submission is one with its agent. So whoever of ours sends descriptors must have a bound that no submission
//! can fill: no submission's process can send when as many are on their way as it may have open.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the bound of this process as far as it may be raised; returns how far that is.
pub(super) fn raise() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// Returns how many files a submission's process may have open: as many as was said, and no more than half of what we may, so that we
/// can send when it cannot.
pub(super) fn of_commands(said: u32, ours: u64) -> u64 {
    u64::from(said).min(ours / 2)
}

/// Bounds the open files of a command and of all that come from it.
#[expect(
    unsafe_code,
    reason = "the bound must be there before the command is, and no process of ours that could set it may be in reach of another command"
)]
pub(super) fn bound(command: &mut Command, most: u64) {
    // SAFETY: between fork and exec the new process makes one system call, which takes no lock and no memory; we have one thread.
    unsafe {
        command.pre_exec(move || setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(io::Error::from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_may_have_fewer_files_open_than_who_must_be_able_to_send_when_it_cannot() {
        assert_eq!(of_commands(1_024, 524_288), 1_024);
        assert_eq!(of_commands(1_024, 1_024), 512);
        assert_eq!(of_commands(1 << 20, 20_000), 10_000);
    }
}
