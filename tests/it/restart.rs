//! What the company finds changed when it is opened again: a team more, another clock, another key, teams in other places.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::seed::Key;
use reelworld::store::Store;
use serde_json::Value;

/// A course that is open now, in a time zone, with so many teams at an address where nobody is.
fn course(dir: &Path, zone: &str, teams: &[(&str, Option<u32>)], address: &str) {
    let yesterday = Clock::start().now_utc().date_naive().pred_opt().unwrap();
    let teams: Vec<String> = teams
        .iter()
        .map(|(name, number)| {
            let number = number.map_or_else(String::new, |number| format!("number = {number}\n"));
            format!("[[team]]\nname = '{name}'\naddress = '{address}'\n{number}")
        })
        .collect();
    let teams = teams.concat();
    let text = format!(
        "schema = 'reelworld/course/v1'\nname = 'Again'\n[world]\nusers = 500\nmovies = 100\n[live]\ncheckpoint_s = 1\n\
         [calendar]\ntimezone = '{zone}'\nstart = '{yesterday}'\n{teams}"
    );
    fs::write(dir.join("course.toml"), text).unwrap();
}

fn serve(dir: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .arg("--course")
        .arg(dir)
        .args([
            "serve",
            "--pages",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--state",
        ])
        .arg(dir.join("state"))
        .args(more)
        .output()
        .unwrap()
}

/// What the server has told of an event.
fn told(output: &Output, event: &str) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == event).collect()
}

fn events(dir: &Path, topic: &str) -> usize {
    let lines = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .args(["log", "cat"])
        .arg(dir.join("state/streams").join(topic))
        .output()
        .unwrap();
    assert!(lines.status.success());
    lines.stdout.iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn a_stop_is_noted_though_a_team_is_new_and_a_clock_that_was_ahead_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    // Quarters of an hour lie between these zones: the wall's clock is set without being touched.
    let (early, late) = ("Asia/Kolkata", "Asia/Kathmandu");
    let owls = [("owls", None)];
    course(dir, early, &owls, &gone);
    let first = serve(dir, &["--stop-after", "3"]);
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    assert!(told(&first, "outage").is_empty());

    course(dir, late, &[("owls", None), ("herons", None)], &gone);
    let second = serve(dir, &["--stop-after", "3"]);
    let outages = told(&second, "outage");
    assert_eq!(outages.len(), 1, "{}", String::from_utf8_lossy(&second.stderr));
    let seconds = outages[0]["seconds"].as_f64().unwrap();
    assert!((880.0..960.0).contains(&seconds), "{outages:?}");
    let state = dir.join("state/store.sqlite");
    let mut store = Store::open(state.to_str().unwrap()).unwrap();
    assert_eq!(store.outages().unwrap().len(), 1);
    drop(store);

    // Back again: nothing is played before the clock is where the company was.
    course(dir, early, &[("owls", None), ("herons", None)], &gone);
    let before = ["movielog1", "movielog2"].map(|topic| events(dir, topic));
    let third = serve(dir, &["--stop-after", "3"]);
    let waits = told(&third, "clock is behind");
    assert_eq!(waits.len(), 1, "{}", String::from_utf8_lossy(&third.stderr));
    assert!(
        (840.0..=900.0).contains(&waits[0]["waits_s"].as_f64().unwrap()),
        "{waits:?}"
    );
    assert_eq!(["movielog1", "movielog2"].map(|topic| events(dir, topic)), before);
    assert!(told(&third, "outage").is_empty());

    // A team that is taken away leaves the others their numbers, or nothing is opened.
    course(dir, early, &[("herons", None)], &gone);
    let moved = serve(dir, &["--stop-after", "1"]);
    let text = String::from_utf8_lossy(&moved.stderr).into_owned();
    assert_eq!(moved.status.code(), Some(2), "{text}");
    assert!(
        text.contains("herons had the number 2 and would have 1") && text.contains("hint: "),
        "{text}"
    );
    course(dir, early, &[("herons", Some(2))], &gone);
    let kept = serve(dir, &["--stop-after", "1"]);
    assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));

    // Viewers of another world are not played on.
    fs::write(dir.join("world.key"), Key::from_seed(77).to_hex()).unwrap();
    let other = serve(dir, &["--stop-after", "1"]);
    let text = String::from_utf8_lossy(&other.stderr).into_owned();
    assert_eq!(other.status.code(), Some(2), "{text}");
    assert!(
        text.contains("those of another world") && text.contains("world.key"),
        "{text}"
    );
    assert_eq!(["movielog1", "movielog2"].map(|topic| events(dir, topic)), before);

    let endless = serve(dir, &["--stop-after", "inf"]);
    assert_eq!(endless.status.code(), Some(2));
}

#[test]
fn a_server_that_stood_still_says_that_it_was_held_up() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let gone = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    course(dir, "UTC", &[("owls", None)], &gone);
    let clock = Clock::start();
    let server = Command::new(env!("CARGO_BIN_EXE_reelworld"))
        .arg("--course")
        .arg(dir)
        .args([
            "serve",
            "--pages",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--stop-after",
            "24",
            "--state",
        ])
        .arg(dir.join("state"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stream = dir.join("state/streams/movielog1");
    super::serve::wait("it plays", || stream.exists());
    let pid = nix::unistd::Pid::from_raw(server.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    // As long as a machine that is moved stands still.
    let stopped = clock.elapsed();
    super::serve::wait("it stands", || {
        clock.elapsed() > stopped + Duration::from_secs(16)
    });
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    let output = server.wait_with_output().unwrap();
    let outages = told(&output, "outage");
    assert_eq!(outages.len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(outages[0]["why"], "the company was held up");
    assert!(outages[0]["seconds"].as_f64().unwrap() >= 10.0, "{outages:?}");
}
