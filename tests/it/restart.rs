//! What the company finds changed when it is opened again: a team more, another clock, another key, teams in other places.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reelworld::clock::Clock;
use reelworld::course::CourseFiles;
use reelworld::event::SimTime;
use reelworld::seed::Key;
use reelworld::server::Titles;
use reelworld::store::Store;
use reelworld::stream::{Archive, At, Page, Publisher, Reader, TopicName, WriteOptions};
use reelworld::world::World;
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

/// The command that opens the company of a folder.
fn opened(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reelworld"));
    command
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
        .args(more);
    command
}

fn serve(dir: &Path, more: &[&str]) -> Output {
    opened(dir, more).output().unwrap()
}

/// An address where nobody is.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
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
    let gone = nobody();
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

    // What lines have told is told: a quirk of the past is refused, one that is to come is not.
    let quirk = |from: &str| {
        course(dir, early, &[("owls", None), ("herons", None)], &gone);
        let mut text = fs::read_to_string(dir.join("course.toml")).unwrap();
        text.push_str(&format!("[[quirk]]\nkind = 'inserted'\nshare = 0.5\n{from}"));
        fs::write(dir.join("course.toml"), text).unwrap();
        serve(dir, &["--stop-after", "1"])
    };
    let past = quirk("");
    let text = String::from_utf8_lossy(&past.stderr).into_owned();
    assert_eq!(past.status.code(), Some(2), "{text}");
    assert!(
        text.contains("[[quirk]] number 1, inserted, share 0.5") && text.contains("it was not there then"),
        "{text}"
    );
    let later = Clock::start().now_utc().date_naive() + chrono::Days::new(3);
    let to_come = quirk(&format!("from = '{later}'\n"));
    assert!(
        to_come.status.success(),
        "{}",
        String::from_utf8_lossy(&to_come.stderr)
    );

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
    let gone = nobody();
    course(dir, "UTC", &[("owls", None)], &gone);
    let clock = Clock::start();
    let log = dir.join("log");
    let server = opened(dir, &[])
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut server = super::serve::Running(server);
    let noted = |event: &str| {
        let text = fs::read_to_string(&log).unwrap();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["event"] == event)
            .collect::<Vec<Value>>()
    };
    super::serve::wait("it plays", || !noted("open").is_empty());
    let pid = nix::unistd::Pid::from_raw(server.0.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    // As long as a machine that is moved stands still.
    let stopped = clock.elapsed();
    super::serve::wait("it stands", || {
        clock.elapsed() > stopped + Duration::from_secs(16)
    });
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
    super::serve::wait("it says so", || !noted("outage").is_empty());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(server.0.wait().unwrap().success());
    let outages = noted("outage");
    assert_eq!(outages.len(), 1, "{outages:?}");
    assert_eq!(outages[0]["why"], "the company was held up");
    assert!(outages[0]["seconds"].as_f64().unwrap() >= 10.0, "{outages:?}");
}

/// The lines of a team that can be read, by their numbers, and the numbers that are lost.
fn lines(dir: &Path) -> (BTreeMap<u64, String>, Vec<std::ops::Range<u64>>) {
    let archive = Archive::new(dir.join("state/streams"));
    let topic = TopicName::of_team("1").unwrap();
    let mut reader = archive.reader(&topic, Clock::start()).unwrap();
    let (mut page, mut lines, mut gone) = (Page::default(), BTreeMap::new(), Vec::new());
    loop {
        match reader.read(&mut page, Duration::ZERO) {
            Ok(0) => return (lines, gone),
            Ok(_) => lines.extend(page.entries().map(|entry| {
                let line = String::from_utf8_lossy(entry.line).into_owned();
                (entry.seq, line)
            })),
            Err(error) => {
                let lost = error.lost().unwrap_or_else(|| panic!("{error}"));
                reader.seek(At::Seq(lost.end)).unwrap();
                gone.push(lost);
            }
        }
    }
}

fn newest_segment(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("state/streams/movielog1")).unwrap();
    let mut logs: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs.pop().unwrap()
}

#[test]
fn damage_and_a_lost_tail_cost_what_they_hit_and_no_number_is_given_twice() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    course(dir, "UTC", &[("owls", None)], &nobody());
    let play = ["--speed", "600", "--stop-after", "5"];
    let first = serve(dir, &play);
    let more = serve(dir, &play);
    assert!(first.status.success() && more.status.success());
    let (before, gone) = lines(dir);
    assert!(before.len() > 100 && gone.is_empty(), "{} lines", before.len());

    // A byte in the middle: the batch that has it is lost, everything behind it is there.
    let newest = newest_segment(dir);
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let second = serve(dir, &play);
    let told_lost = told(&second, "lines lost");
    assert_eq!(told_lost.len(), 1, "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(
        told(&second, "resumed").len(),
        1,
        "what is lost is in the checkpoint"
    );
    let (after, gone) = lines(dir);
    let [lost] = gone.as_slice() else {
        panic!("{gone:?}")
    };
    assert_eq!(
        (told_lost[0]["from"].as_u64(), told_lost[0]["until"].as_u64()),
        (Some(lost.start), Some(lost.end))
    );
    let kept: BTreeMap<u64, String> = before
        .into_iter()
        .filter(|(seq, _)| !lost.contains(seq))
        .collect();
    assert!(kept.iter().all(|(seq, line)| after[seq] == *line));
    assert!(after.len() > kept.len(), "it goes on");

    // What may have been asked within it is not graded from the stream; the store has counted it.
    let graded = |from: &[&str]| {
        let submitted = Clock::start().now_utc().format("%Y-%m-%dT%H:%M").to_string();
        Command::new(env!("CARGO_BIN_EXE_reelworld"))
            .arg("--course")
            .arg(dir)
            .args(["grade", "m1", "--submitted", &submitted, "--out"])
            .arg(dir.join("graded"))
            .arg("--state")
            .arg(dir.join("state"))
            .args(from)
            .output()
            .unwrap()
    };
    let streams = dir.join("state/streams");
    let refused = graded(&["--from-log", streams.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("movielog1` are lost"), "{text}");
    assert!(text.contains("hint: --live"), "{text}");
    let live = graded(&["--live"]);
    assert!(
        matches!(live.status.code(), Some(1 | 3)),
        "{}",
        String::from_utf8_lossy(&live.stderr)
    );

    // The tail is gone, which the store has counted.
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 700]).unwrap();
    let (cut, _) = lines(dir);
    let (left, ends) = (
        *cut.last_key_value().unwrap().0 + 1,
        *after.last_key_value().unwrap().0 + 1,
    );
    assert!(left < ends);
    let third = serve(dir, &play);
    let told_lost = told(&third, "lines lost");
    let tail = told_lost.last().unwrap();
    assert_eq!(
        (tail["from"].as_u64(), tail["until"].as_u64()),
        (Some(left), Some(ends)),
        "{told_lost:?}"
    );
    assert_eq!(
        told(&third, "resumed apart").len() + told(&third, "resumed").len(),
        1
    );
    let (again, gone) = lines(dir);
    assert_eq!(gone, [lost.clone(), left..ends]);
    assert!(cut.iter().all(|(seq, line)| again[seq] == *line));
    assert!(again.keys().any(|seq| *seq >= ends), "it goes on");

    // Without streams, and with the store of others, nothing is opened.
    let (streams, aside) = (dir.join("state/streams"), dir.join("aside"));
    fs::rename(&streams, &aside).unwrap();
    let refused = serve(dir, &play);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(
        text.contains("lines of owls's stream") && text.contains("hint: "),
        "{text}"
    );
    fs::remove_dir_all(&streams).unwrap();
    fs::rename(&aside, &streams).unwrap();
    assert!(serve(dir, &play).status.success());
    assert!(again.iter().all(|(seq, line)| lines(dir).0[seq] == *line));
}

#[test]
fn a_team_hears_of_a_withdrawal_once_however_often_the_company_is_opened() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut begin = [0; 256];
            let length = stream.read(&mut begin).unwrap_or_default();
            if begin[..length].starts_with(b"GET /takedown/") {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"));
        }
    });
    course(dir, "Asia/Kolkata", &[("owls", None)], &address);
    let mut text = fs::read_to_string(dir.join("course.toml")).unwrap();
    text.push_str("takedown = '/takedown/{movie}'\n");
    fs::write(dir.join("course.toml"), text).unwrap();
    let today = Clock::start().now_utc().date_naive();
    let [yesterday, tomorrow] = [today.pred_opt(), today.succ_opt()].map(Option::unwrap);
    fs::create_dir_all(dir.join("assignments/m3")).unwrap();
    let incident = format!(
        "schema = 'reelworld/incidents/v1'\n[[incident]]\nname = 'court'\nkind = 'takedown'\ngrace_s = 600\nmovie_line = 3\n\
         from = '{yesterday}T10:00'\nuntil = '{tomorrow}T23:00'\n"
    );
    fs::write(dir.join("assignments/m3/incidents.toml"), incident).unwrap();
    for round in 0..2 {
        let output = serve(dir, &["--stop-after", "4"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        let withdrawn = told(&output, "withdrawn");
        // Ten o'clock there, as everybody reads it.
        assert_eq!(withdrawn[0]["since"], format!("{yesterday}T04:30:00Z"), "{text}");
        assert_eq!(
            told(&output, "team told").len(),
            usize::from(round == 0),
            "{text}"
        );
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[test]
fn a_store_that_is_lost_is_made_again_from_a_long_stream() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    course(dir, "UTC", &[("owls", None)], &nobody());
    let first = serve(dir, &["--stop-after", "4"]);
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let request = |line: &&String| line.contains("recommendation request");
    let line = lines(dir).0.values().find(request).unwrap().clone();
    let topic = TopicName::of_team("1").unwrap();
    let archive = Archive::new(dir.join("state/streams"));
    // More than is saved at once.
    let mut publisher = archive
        .publisher(&topic, WriteOptions::default(), Clock::start())
        .unwrap();
    for _ in 0..12_345 {
        publisher.publish(0, line.as_bytes()).unwrap();
    }
    drop(publisher);
    for file in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        drop(fs::remove_file(dir.join("state").join(file)));
    }
    let second = serve(dir, &["--stop-after", "2"]);
    assert!(
        second.status.success(),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    let course = CourseFiles::open(Some(dir)).course().unwrap();
    let world = Arc::new(World::new(&course.key, course.world, 2));
    let mut store = Store::open(dir.join("state/store.sqlite").to_str().unwrap()).unwrap();
    let all = (SimTime(0), SimTime(i64::MAX));
    let stored = store.requests(1, all, &Titles(world)).unwrap();
    let (there, _) = lines(dir);
    assert_eq!(stored.len(), there.values().filter(request).count());
    assert!(stored.len() > 12_345);
    assert_eq!(store.counted(1).unwrap(), there.len() as u64);
}
