//! A second wall: the kernel's Landlock keeps whoever is inside to the places that a sandbox shows, whatever else should be mounted.
//!
//! The agent puts it around itself, and so around all commands, before the first of them: all are in one domain, and what one
//! submission's programs do among each other (signals, sockets, a look at an update's service) is as it was. A wall around each command
//! would stand between a service and its update. Ports are no part of it: a service listens where it likes, in a network of its own.

use std::io;

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    PathFdError, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::super::isolate::Fence;
use super::walls::{BOX, SHARED, TMP};

/// The system's places that are read, and from which programs are started.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc"];
/// Places of the kernel's own: what can be written there is about who writes it, and nothing can be made.
const KERNELS: [&str; 2] = ["/proc", "/dev"];
/// The version by whose rights this is written; what an older kernel does not know, it does not restrict.
const FILES_AS_OF: ABI = ABI::V5;
const SCOPES_AS_OF: ABI = ABI::V6;

/// Where whoever is inside may do what.
#[derive(Debug)]
pub(super) struct Places<'a> {
    /// Read, and start programs.
    pub(super) read: Vec<&'a str>,
    /// Read and write what is there.
    pub(super) used: Vec<&'a str>,
    /// All of it.
    pub(super) written: Vec<&'a str>,
}

impl<'a> Places<'a> {
    /// Returns the places of a sandbox that shows more folders of this machine.
    pub(super) fn of(shown: &'a [String]) -> Self {
        Self {
            read: SYSTEM
                .into_iter()
                .chain(shown.iter().map(String::as_str))
                .collect(),
            used: KERNELS.to_vec(),
            written: vec![BOX, TMP, SHARED],
        }
    }
}

/// Keeps this thread, and all that come from it, to some places for good.
///
/// Kernels without it, and those whose first version would refuse to move a file from one folder to another, go without.
///
/// # Errors
/// When the kernel has it and refuses.
pub(super) fn raise(places: &Places<'_>) -> io::Result<Fence> {
    let all = AccessFs::from_all(FILES_AS_OF);
    let read = AccessFs::from_read(FILES_AS_OF);
    let used = read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)
        .map_err(io::Error::other)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .map_err(io::Error::other)?
        .scope(Scope::from_all(SCOPES_AS_OF))
        .map_err(io::Error::other)?
        .create()
        .map_err(io::Error::other)?;
    for (places, access) in [(&places.read, read), (&places.used, used), (&places.written, all)] {
        for place in places {
            if let Some(rule) = rule(place, access)? {
                ruleset = ruleset.add_rule(rule).map_err(io::Error::other)?;
            }
        }
    }
    let status = ruleset.restrict_self().map_err(io::Error::other)?;
    let version = match status.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => Some(kernel_abi.unwrap_or(effective_abi as i32)),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    };
    Ok(Fence {
        version,
        stands: status.ruleset != RulesetStatus::NotEnforced,
    })
}

/// Returns a rule about a place; none if it is not there.
fn rule(place: &str, access: BitFlags<AccessFs>) -> io::Result<Option<PathBeneath<PathFd>>> {
    match PathFd::new(place) {
        Ok(folder) => Ok(Some(PathBeneath::new(folder, access))),
        Err(PathFdError::OpenCall { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::path::Path;
    use std::process::{Command, Stdio};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    /// Keeps a thread of its own to the system's places and one more, and does something there: the wall is around no other.
    fn within<T: Send>(written: &Path, what: impl FnOnce(Fence) -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let places = Places {
                    written: vec![written.to_str().unwrap()],
                    ..Places::of(&[])
                };
                what(raise(&places).unwrap())
            });
            inside.join().unwrap()
        })
    }

    #[test]
    fn a_place_that_can_be_seen_and_is_not_named_is_refused_and_all_else_is_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (named, other) = (dir.path().join("named"), dir.path().join("other"));
        for folder in [&named.join("a"), &named.join("b"), &other] {
            fs::create_dir_all(folder).unwrap();
        }
        let file = other.join("file");
        fs::write(&file, "before").unwrap();
        let is_refused = |fence: Fence, done: io::Result<()>| match done {
            Ok(()) => assert!(!fence.stands, "{fence:?}"),
            Err(error) => assert_eq!(
                (fence.stands, error.kind()),
                (true, io::ErrorKind::PermissionDenied)
            ),
        };
        within(&named, |fence| {
            is_refused(fence, fs::write(&file, "after"));
            is_refused(fence, fs::read(&file).map(drop));
            is_refused(fence, fs::read_dir(&other).map(drop));
            is_refused(fence, fs::write(other.join("new"), ""));
            is_refused(fence, fs::create_dir(other.join("folder")));
            is_refused(
                fence,
                fs::remove_file(&file).and_then(|()| fs::write(&file, "before")),
            );
            // What submissions do all day: write, cut off, move between folders, start programs, throw away.
            fs::write(named.join("a/file"), "one").unwrap();
            fs::write(named.join("a/file"), "two").unwrap();
            fs::rename(named.join("a/file"), named.join("b/file")).unwrap();
            let said = Command::new("cat")
                .arg(named.join("b/file"))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert_eq!(said.stdout, b"two");
            let thrown = Command::new("sh").args(["-c", "echo away > /dev/null"]).status();
            assert!(thrown.unwrap().success());
        });
        // The same hand, without the wall.
        fs::write(&file, "after").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
    }

    #[test]
    fn signals_and_sockets_without_a_file_stay_among_those_inside_and_ports_are_free() {
        let sleeper = || Command::new("sleep").arg("60").spawn().unwrap();
        let pid = |child: &std::process::Child| Pid::from_raw(child.id().cast_signed());
        let address = |name: &str| {
            SocketAddr::from_abstract_name(format!("reelworld-{}-{name}", std::process::id())).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let mut outside = sleeper();
        let _listener = UnixListener::bind_addr(&address("outside")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        UnixStream::connect_addr(&address("outside")).unwrap();
        kill(pid(&outside), None).unwrap();
        within(dir.path(), |fence| {
            let scoped = fence.stands && fence.version.is_some_and(|version| version >= 6);
            assert_eq!(kill(pid(&outside), None).is_err(), scoped);
            assert_eq!(UnixStream::connect_addr(&address("outside")).is_err(), scoped);
            let mut inside = sleeper();
            kill(pid(&inside), Signal::SIGKILL).unwrap();
            inside.wait().unwrap();
            let _listener = UnixListener::bind_addr(&address("inside")).unwrap();
            UnixStream::connect_addr(&address("inside")).unwrap();
            TcpStream::connect(port.local_addr().unwrap()).unwrap();
            TcpListener::bind("127.0.0.1:0").unwrap();
        });
        outside.kill().unwrap();
        outside.wait().unwrap();
    }
}
