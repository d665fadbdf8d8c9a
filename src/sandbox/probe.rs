//! What a machine's sandbox really does: each promise tried with a small attack of its own, in about a second.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::bounds::Bounds;
use super::isolate::Isolation;
use super::launch::{BuildEnd, Limits, Workplace, build};
use super::leash::Leash;
use crate::clock::Clock;

/// A promise, and whether it is kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// What is promised, as a short phrase.
    pub name: &'static str,
    /// Whether it is kept.
    pub kept: bool,
    /// What was seen.
    pub seen: String,
}

/// The longest that one attack may take.
const LIMITS: Limits = Limits {
    build: Duration::from_secs(10),
    ready: Duration::from_secs(10),
};
/// Bounds that an attack reaches soon.
const SMALL: Bounds = Bounds {
    memory_mib: 64,
    build_memory_mib: 64,
    processes: 24,
    cpus: 1.0,
    open_files: 256,
    disk_mib: 8,
    tmp_mib: 4,
    files: 500,
    file_mib: 8,
    output_mib_s: 16,
    mirror_mib: 1,
    mirror_requests: 1,
    mirror_s: 1,
};
/// Each holds three quarters of the memory for a second: `tail` keeps a line that does not end.
const HOGS: &str =
    "hog() { (head -c 48m /dev/zero; sleep 1) | tail -n 1 > /dev/null; echo $?; }; hog & hog & wait";
/// Starts processes until it may not, three hundred at most, and counts who is there without starting another.
const FORKS: &str = "trap 'n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; echo $n' EXIT; \
                     i=0; while [ $i -lt 300 ]; do sleep 3 & i=$((i+1)); done 2> /dev/null";
/// How long what was killed may still be seen.
const GONE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// Tries every promise.
///
/// # Errors
/// When the sandbox that has just been found does not begin again.
pub fn promises(isolation: &Isolation, leash: &Leash, clock: Clock) -> io::Result<Vec<Promise>> {
    let dir = tempfile::tempdir()?;
    let canary = dir.path().join("canary");
    fs::write(&canary, "sings")?;
    let inside = dir.path().join("repository");
    fs::create_dir(&inside)?;
    let tool = Tool {
        isolation,
        leash,
        clock,
        dir: &inside,
    };
    let begun = clock.elapsed();
    let place = tool.place();
    let (_, lines) = tool.run(&place, "echo well")?;
    let ms = (clock.elapsed() - begun).as_millis();
    let mut promises = vec![Promise {
        name: "it begins",
        kept: lines == ["well"],
        seen: format!("a command after {ms} ms"),
    }];
    let (_, lines) = tool.run(
        &place,
        &format!(
            "cat '{}' 2> /dev/null; cat /proc/1/environ 2> /dev/null; ls /proc/self/fd | wc -l; echo end",
            canary.display()
        ),
    )?;
    promises.push(Promise {
        name: "files, environment and descriptors of ours are unseen",
        // The three ordinary descriptors, and the one that lists them.
        kept: lines == ["4", "end"],
        seen: lines.join(" "),
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let reached = tool.reaches(&place, &listener)?;
    promises.push(Promise {
        name: "ports of this machine are out of reach",
        kept: !reached,
        seen: if reached {
            "one was reached"
        } else {
            "connection refused"
        }
        .to_owned(),
    });
    let (_, lines) = tool.run(&place, FORKS)?;
    let count: u32 = lines
        .last()
        .and_then(|line| line.parse().ok())
        .unwrap_or(u32::MAX);
    promises.push(Promise {
        name: "the number of processes is bounded",
        kept: count <= SMALL.processes,
        seen: format!("{count} of 300, {} allowed", SMALL.processes),
    });
    let (_, lines) = tool.run(&place, HOGS)?;
    // A shell may tell of each end in words, too.
    let ends: Vec<u32> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    let ended = ends.iter().filter(|end| **end != 0).count();
    promises.push(Promise {
        name: "memory is bounded in total",
        kept: ended > 0 && ends.len() == 2,
        seen: format!("{ended} of 2 programs with three quarters of it each were ended"),
    });
    let mark = format!("{}.{:09}", 86_400, std::process::id());
    tool.run(&place, "true")?;
    let line = format!("(setsid sh -c 'trap \"\" TERM HUP; exec sleep {mark}' > /dev/null 2>&1 &); sleep 3");
    let stop = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let running = scope.spawn(|| tool.build(&place, &line, &stop));
        let came = wait(clock, || runs(&mark));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(running.join());
        came
    });
    if let Some(sandbox) = &place.sandbox {
        sandbox.close();
    }
    let gone = wait(clock, || !runs(&mark));
    promises.push(Promise {
        name: "whole process trees end",
        kept: seen && gone,
        seen: if gone {
            "a runaway child is gone"
        } else {
            "a runaway child is left"
        }
        .to_owned(),
    });
    Ok(promises)
}

struct Tool<'a> {
    isolation: &'a Isolation,
    leash: &'a Leash,
    clock: Clock,
    dir: &'a Path,
}

impl Tool<'_> {
    fn place(&self) -> Workplace {
        let mut env = BTreeMap::new();
        self.isolation.adapt(&mut env);
        let sandbox = self
            .isolation
            .sandbox(self.dir, None, SMALL, Vec::new(), self.clock);
        Workplace {
            dir: self.dir.to_owned(),
            home: self.dir.to_owned(),
            env,
            sandbox: Some(sandbox),
        }
    }

    fn run(&self, place: &Workplace, line: &str) -> io::Result<(BuildEnd, Vec<String>)> {
        self.build(place, line, &AtomicBool::new(false))
    }

    fn build(&self, place: &Workplace, line: &str, stop: &AtomicBool) -> io::Result<(BuildEnd, Vec<String>)> {
        let words = ["sh", "-c", line].map(str::to_owned);
        build(&words, place, LIMITS, self.leash, self.clock, stop)
    }

    /// Tells whether a socket of the inside reaches a listener of the outside.
    fn reaches(&self, place: &Workplace, listener: &TcpListener) -> io::Result<bool> {
        let Some(sandbox) = &place.sandbox else {
            return Ok(true);
        };
        let socket = loop {
            match sandbox.socket()? {
                Some(socket) => break socket,
                None => self.clock.sleep(LOOK),
            }
        };
        Ok(reaches(&socket, listener.local_addr()?))
    }
}

#[cfg(target_os = "linux")]
fn reaches(socket: &std::os::fd::OwnedFd, address: std::net::SocketAddr) -> bool {
    rustix::net::connect(socket, &address).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn reaches(_socket: &std::os::fd::OwnedFd, _address: std::net::SocketAddr) -> bool {
    true
}

/// Waits for a condition, within a limit.
fn wait(clock: Clock, condition: impl Fn() -> bool) -> bool {
    let begun = clock.elapsed();
    while clock.elapsed() - begun < GONE {
        if condition() {
            return true;
        }
        clock.sleep(LOOK);
    }
    false
}

/// Tells whether a process whose arguments hold a mark runs on this machine; the shell that starts it does not count.
fn runs(mark: &str) -> bool {
    let wanted = format!("sleep\0{mark}\0").into_bytes();
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|words| words == wanted))
}
