//! The leash: a small process of our own between the grader and a foreign program, which ends the whole tree.
//!
//! It is this program again, called with a hidden word. It makes itself the reaper of every orphan below it, starts the
//! command, and waits for one of three things: the command ends, the grader asks for the end by closing the leash's
//! standard input, or the grader dies, which closes it too. Then it ends every descendant, also those that left their
//! process group and session, and tells on its last line of output how the command ended. The command's own output never
//! goes through the leash's, so that nothing the command prints can be taken for that line.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::clock::Clock;

/// How a foreign program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With code 0.
    Success,
    /// With another code.
    Failure(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// It could not be started: there is no such program, or it may not be executed.
    NotFound,
    /// The system ended it, or a child of it, because there was no memory left for it.
    OutOfMemory,
    /// We ended it.
    Stopped,
    /// It never began: what runs containers has failed by itself.
    ToolFailed,
}

impl Exit {
    /// Returns the end in words.
    pub fn describe(self) -> String {
        match self {
            Self::Success => "exited with code 0".to_owned(),
            Self::Failure(code) => format!("exited with code {code}"),
            Self::Signalled(9) => {
                "was killed by signal 9, as the system does when memory runs out".to_owned()
            }
            Self::Signalled(signal) => format!("was killed by signal {signal}"),
            Self::NotFound => "could not be started: no such program".to_owned(),
            Self::OutOfMemory => "was killed because it needed more memory than it may have".to_owned(),
            Self::Stopped => "stopped by us".to_owned(),
            Self::ToolFailed => "did not begin, as podman itself failed".to_owned(),
        }
    }

    pub(super) fn to_line(self) -> String {
        match self {
            Self::Success => "exit 0".to_owned(),
            Self::Failure(code) => format!("exit {code}"),
            Self::Signalled(signal) => format!("signal {signal}"),
            Self::NotFound => "notfound".to_owned(),
            Self::OutOfMemory => "signal 9".to_owned(),
            Self::Stopped => "stopped".to_owned(),
            Self::ToolFailed => "toolfailed".to_owned(),
        }
    }

    /// Reads what the leash told; none when it told nothing, because it was killed itself.
    pub(super) fn from_line(line: &str) -> Option<Self> {
        let line = line.trim();
        if line == "notfound" {
            return Some(Self::NotFound);
        }
        if line == "stopped" {
            return Some(Self::Stopped);
        }
        if line == "toolfailed" {
            return Some(Self::ToolFailed);
        }
        let (word, number) = line.split_once(' ')?;
        let number = number.parse().ok()?;
        match (word, number) {
            ("exit", 0) => Some(Self::Success),
            ("exit", code) => Some(Self::Failure(code)),
            ("signal", signal) => Some(Self::Signalled(signal)),
            _ => None,
        }
    }
}

/// How to call the leash: this program and its hidden word.
#[derive(Debug, Clone)]
pub struct Leash {
    /// The program.
    pub program: PathBuf,
    /// The words before the command.
    pub words: Vec<OsString>,
}

impl Leash {
    /// Starts a command on a leash. Its two output streams are one pipe of the returned child: the leash's standard error.
    pub(super) fn spawn(command: &mut Command) -> io::Result<Child> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Returns a command that runs `words` on the leash.
    pub(super) fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).arg("--").args(words);
        command
    }
}

/// How long descendants have between the polite signal and the last one.
const GRACE: Duration = Duration::from_millis(1500);
/// How often the leash looks around.
const LOOK: Duration = Duration::from_millis(10);
/// How many rounds of killing there are at most: a tree that forks faster than this is left to the system's limits.
const ROUNDS: u32 = 500;

/// Is the leash: runs the words after `--`, and returns when nothing of it is left.
pub fn run_leash(words: &[OsString]) -> ExitCode {
    let words: Vec<&OsString> = words.iter().skip_while(|word| *word == "--").collect();
    let Some((program, arguments)) = words.split_first() else {
        return ExitCode::from(2);
    };
    let clock = Clock::start();
    prepare();
    let ended = Arc::new(AtomicBool::new(false));
    watch_stdin(Arc::clone(&ended));
    let spawned = spawn(program, arguments);
    let Ok(mut child) = spawned else {
        tell(Exit::NotFound);
        return ExitCode::SUCCESS;
    };
    let main = Pid::from_raw(child.id().cast_signed());
    let mut exit = None;
    while exit.is_none() && !ended.load(Ordering::Relaxed) {
        exit = reap(main);
        clock.sleep(LOOK);
    }
    finish_tree(clock);
    drop(child.try_wait());
    tell(exit.unwrap_or(Exit::Stopped));
    ExitCode::SUCCESS
}

/// The command's output goes to the leash's standard error, both streams as one, so that lines keep their order.
fn spawn(program: &OsString, arguments: &[&OsString]) -> io::Result<Child> {
    use std::os::fd::AsFd;
    let both = io::stderr().as_fd().try_clone_to_owned()?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(both)
        .spawn()
}

/// Orphans come to us, and Ctrl-C at the terminal is the grader's to handle.
fn prepare() {
    // A session of its own keeps the terminal's signals away; failing that, the group is still the grader's to end.
    let _refused = nix::unistd::setsid();
    #[cfg(target_os = "linux")]
    {
        // Without it a tree is ended by its parents alone, which is what other systems have.
        let _refused = nix::sys::prctl::set_child_subreaper(true);
    }
}

fn watch_stdin(ended: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        let mut stdin = io::stdin().lock();
        while stdin.read(&mut bytes).is_ok_and(|count| count > 0) {}
        ended.store(true, Ordering::Relaxed);
    });
}

/// Reaps whoever has ended; returns how the command did, if it did.
fn reap(main: Pid) -> Option<Exit> {
    let mut exit = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => {
                exit = Some(if code == 0 {
                    Exit::Success
                } else {
                    Exit::Failure(code)
                });
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                exit = Some(Exit::Signalled(signal as i32));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return exit,
            Ok(_) => {}
        }
    }
}

/// Ends every descendant: politely, then for good, again and again until none is left.
fn finish_tree(clock: Clock) {
    let begun = clock.elapsed();
    for round in 0..ROUNDS {
        reap(Pid::from_raw(0));
        let tree = descendants(std::process::id());
        if tree.is_empty() {
            return;
        }
        let late = clock.elapsed() - begun > GRACE;
        if round == 0 || late {
            let signal = if late { Signal::SIGKILL } else { Signal::SIGTERM };
            for pid in tree {
                // It may have ended meanwhile, which is what we want.
                let _gone = kill(Pid::from_raw(pid.cast_signed()), signal);
            }
        }
        clock.sleep(LOOK);
    }
}

/// Returns every process below this one, by the parents that /proc names. Other systems have no such list.
pub(super) fn descendants(root: u32) -> Vec<u32> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // The name in brackets may hold anything; what follows its last bracket is numbers.
        let Some((_, fields)) = stat.rsplit_once(") ") else {
            continue;
        };
        let mut fields = fields.split(' ');
        let zombie = fields.next() == Some("Z");
        if let Some(parent) = fields.next().and_then(|parent| parent.parse().ok())
            && !zombie
        {
            parents.push((pid, parent));
        }
    }
    let mut tree = vec![root];
    let mut at = 0;
    while at < tree.len() {
        let parent = tree[at];
        tree.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    tree.split_off(1)
}

/// Tells the grader how it ended; a grader that is gone needs no telling.
fn tell(exit: Exit) {
    let mut out = io::stdout();
    drop(writeln!(out, "{}", exit.to_line()).and_then(|()| out.flush()));
}
