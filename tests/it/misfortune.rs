//! What befalls a company in a semester: a disk that fills, a service that never answers, a clock that is set.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::serve::{Ground, Running, figure, get, wait};

/// The lines of the team that has a service.
const LINES: &str = "reelworld_lines_total{team=\"owls\"}";

fn stop(mut server: Running) {
    kill(Pid::from_raw(server.0.id() as i32), Signal::SIGTERM).unwrap();
    assert!(server.0.wait().unwrap().success());
}

/// Says what is passed over; in continuous integration nothing may be.
#[expect(clippy::print_stderr, reason = "what is passed over is told")]
#[expect(
    clippy::disallowed_methods,
    reason = "a missing part may be passed over on a user's machine alone"
)]
fn pass_over(what: &str) {
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!must, "{what}");
    eprintln!("PASSED OVER: {what}");
}

/// A small disk of its own below a folder, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let words = ["-t", "tmpfs", "-o", "size=24m", "tmpfs"];
        let done = Command::new("mount").args(words).arg(path).status();
        done.is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }

    /// Takes all the room that is left, to the last byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        let (block, mut size) = (vec![7; 1 << 16], 1 << 16);
        while size > 0 {
            match file.write(&block[..size]) {
                Ok(written) if written > 0 => (),
                Ok(_) => size /= 2,
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("{error}"),
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

fn health(pages: SocketAddr) -> (u16, String) {
    get(pages, "/health").unwrap()
}

#[test]
fn a_full_disk_is_told_and_costs_no_event_even_if_the_server_is_killed_meanwhile() {
    let ground = Ground::new();
    let Some(disk) = SmallDisk::at(&ground.state()) else {
        return pass_over("a full disk: a small one cannot be mounted, which wants root");
    };
    let (server, pages) = ground.open();
    wait("it publishes", || figure(pages, LINES) >= 300.0);
    let filler = disk.fill();
    wait("the server says so", || {
        let (status, told) = health(pages);
        status == 503 && told.contains("stream of `owls`") && figure(pages, "reelworld_up") == 0.0
    });
    let told = health(pages).1;
    assert!(told.contains("No space left"), "{told}");
    assert!(get(pages, "/").unwrap().1.contains("No space left"));
    let held = "reelworld_pending_lines{team=\"owls\"}";
    wait("what is new waits", || figure(pages, held) > 200.0);
    fs::remove_file(&filler).unwrap();
    wait("it has caught up", || {
        health(pages).0 == 200 && figure(pages, held) == 0.0
    });
    // And once more, with a server that dies while there is no room. What it had not written is made again.
    let filler = disk.fill();
    wait("the server says so", || health(pages).0 == 503);
    kill(Pid::from_raw(server.0.id() as i32), Signal::SIGKILL).unwrap();
    drop(server);
    fs::remove_file(filler).unwrap();
    let (server, pages) = ground.open();
    wait("it publishes", || figure(pages, LINES) >= 300.0);
    assert_eq!(health(pages).0, 200);
    stop(server);
    drop(ground.is_whole(600));
    drop(disk);
}

#[test]
fn a_service_that_never_answers_costs_its_own_team_alone() {
    let ground = Ground::new();
    let gone = ground.course.teams.iter().find(|team| team.name == "gone");
    let address = gone.unwrap().address.as_ref().unwrap();
    let silent = TcpListener::bind(address).unwrap();
    silent.set_nonblocking(true).unwrap();
    let (server, pages) = ground.open();
    // Whoever comes is let in and told nothing; a connection that its client has closed is let go.
    let mut guests: Vec<TcpStream> = Vec::new();
    let (mut most, mut all) = (0, 0);
    let (failed, answered) = (
        "reelworld_requests_total{team=\"gone\"}",
        "reelworld_requests_ok_total{team=\"owls\"}",
    );
    wait("both are asked", || {
        while let Ok((guest, _)) = silent.accept() {
            guest.set_nonblocking(true).unwrap();
            guests.push(guest);
            all += 1;
        }
        guests.retain(|guest| {
            let mut bytes = [0; 4096];
            // Nothing is said any more by whom has gone; whoever has asked waits.
            !matches!(std::io::Read::read(&mut { guest }, &mut bytes), Ok(0))
        });
        most = most.max(guests.len());
        figure(pages, failed) >= 200.0 && figure(pages, answered) >= 200.0
    });
    assert!(all > 0 && most <= 64, "{most} of {all} connections at a time");
    assert_eq!(figure(pages, "reelworld_requests_ok_total{team=\"gone\"}"), 0.0);
    assert_eq!(health(pages).0, 200, "it is no fault of the server's");
    stop(server);
    drop(ground.is_whole(600));
}

/// The library that sets a program's clock, where Debian's `faketime` has put it.
fn fake_clock() -> Option<PathBuf> {
    let mut folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders.find_map(|folder| {
        let path = folder.path().join("faketime/libfaketime.so.1");
        path.exists().then_some(path)
    })
}

#[test]
fn a_clock_that_is_set_moves_the_company_neither_forward_nor_back() {
    let ground = Ground::new();
    let Some(library) = fake_clock() else {
        return pass_over("a clock that is set: install `faketime`");
    };
    let offset = ground.dir.path().join("offset");
    fs::write(&offset, "+0").unwrap();
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap()),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let (server, pages) = ground.open_in(&[], &environment);
    let company = || figure(pages, "reelworld_company_seconds");
    wait("it is open", || company() > 0.0);
    let begun = company();
    for (set, least, most) in [("+5h", 17_900.0, 18_100.0), ("-5h", -18_100.0, -17_900.0)] {
        fs::write(&offset, set).unwrap();
        let step = || figure(pages, "reelworld_clock_step_seconds");
        wait("the step is seen", || (least..most).contains(&step()));
        let told = health(pages);
        assert!(told.1.contains("the clock of this machine was set"), "{told:?}");
        assert!(
            get(pages, "/")
                .unwrap()
                .1
                .contains("the clock of this machine was set")
        );
        let before = figure(pages, LINES);
        wait("it goes on", || figure(pages, LINES) >= before + 200.0);
    }
    // Company time went on evenly: sixty seconds a second, and at most the minutes that the test has taken.
    let gone = company() - begun;
    assert!((0.0..7_200.0).contains(&gone), "{gone}");
    fs::write(&offset, "+0").unwrap();
    wait("all is well again", || health(pages).0 == 200);
    stop(server);
    let (server, pages) = ground.open();
    wait("it publishes", || figure(pages, LINES) >= 300.0);
    stop(server);
    drop(ground.is_whole(600));
}
